"""How does a training go? A line of JSON every so often, TensorBoard if wished, progress for people."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainalign.core.errors import DamagedArtefact, MissingPackage
from brainalign.sae.learner import Learner
from brainalign.sae.loss import LossStep
from brainalign.sae.resume import RunFolder
from brainalign.sae.state import State

Progress = Callable[[int, int, str], None]

N_REPORTS = 100


class Watch:
    """What a run tells about itself, and how far that has got.

    A line holds means over the steps since the last line (``loss``, ``l0``), the explained
    variance of the line's own batch, and where the run is. Only ``seconds`` and ``frames_per_s``
    differ between two runs of one seed; both go on over a resumption.

    Parameters
    ----------
    learner
        The run.
    variance
        Mean squared distance of scaled frames to their mean.
    rate
        Frames per second of audio, None where there is no one rate.
    progress
        Called as ``progress(done, total, note)``.
    run
        Where the metrics go; None means nowhere.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        variance: float,
        rate: float | None,
        progress: Progress | None,
        run: RunFolder | None,
    ) -> None:
        self._learner, self._variance, self._rate, self._progress, self._run = learner, variance, rate, progress, run
        wished = run.log_every if run else None
        self._every = wished or max(1, learner.n_steps // N_REPORTS)
        self._writer = _tensorboard() if run and run.tensorboard else None
        self._board: Any = None
        self._sums = {"loss": 0.0, "active": 0, "steps": 0}
        self._seconds, self._n_lines = 0.0, 0
        self._line_at = self._started = time.perf_counter()

    def note(self, step: LossStep, *, held_out: float | None, last: bool) -> None:
        """Count a step; tell about it where a line is due."""
        self._sums["loss"] += step.loss
        self._sums["active"] += len(step.pattern.columns)
        self._sums["steps"] += 1
        if last or held_out is not None or self._learner.step % self._every == 0:
            line = self._line(step, held_out=held_out)
            self._write(line)
            if self._progress:
                self._progress(self._learner.step, self._learner.n_steps, self._words(line))
            self._sums = {"loss": 0.0, "active": 0, "steps": 0}
            self._line_at = time.perf_counter()

    def _line(self, step: LossStep, *, held_out: float | None) -> dict[str, Any]:
        learner, n, now = self._learner, self._sums["steps"], time.perf_counter()
        n_rows = len(step.residual)
        done = learner.step * n_rows
        explained = 1 - float(step.residual.square().sum()) / (n_rows * self._variance)
        line = {
            "step": learner.step,
            "frames": done,
            "hours": None if self._rate is None else done / self._rate / 3600,
            "loss": self._sums["loss"] / n,
            "explained_variance": explained,
            "l0": self._sums["active"] / (n * n_rows),
            "dead_share": learner.dead_share,
            "learning_rate": learner.optimiser.param_groups[0]["lr"],
            "frames_per_s": n * n_rows / max(now - self._line_at, 1e-9),
            "seconds": self._seconds + now - self._started,
        }
        return line if held_out is None else {**line, "held_out_explained_variance": held_out}

    def _words(self, line: dict[str, Any]) -> str:
        left = (self._learner.n_steps * line["frames"] / line["step"] - line["frames"]) / line["frames_per_s"]
        return f"loss {line['loss']:.4f}, {line['frames_per_s']:,.0f} frames/s, {_duration(left)} left"

    def _write(self, line: dict[str, Any]) -> None:
        if self._run is None:
            return
        Path(self._run.path).mkdir(parents=True, exist_ok=True)
        with self._run.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self._n_lines += 1
        self._show(line)

    def _show(self, line: dict[str, Any]) -> None:
        if self._run is None or self._writer is None:
            return
        if self._board is None:
            # What an earlier process told of later steps is taken back.
            self._board = self._writer(str(Path(self._run.path) / "tensorboard"), purge_step=line["step"])
        for name, value in line.items():
            if value is not None and name not in ("step", "frames"):
                self._board.add_scalar(name, value, line["step"])

    def state(self) -> State:
        """Return the sums since the last line and the number of lines, which are on the disk by then."""
        if self._run is not None and self._run.metrics.exists():
            with self._run.metrics.open("a", encoding="utf-8") as stream:
                os.fsync(stream.fileno())
        seconds = self._seconds + time.perf_counter() - self._started
        return State({"sums": self._sums, "n_lines": self._n_lines, "seconds": seconds})

    def restore(self, state: State) -> None:
        """Go on from there: lines that were written after the checkpoint are taken back."""
        self._sums, self._n_lines = dict(state.numbers["sums"]), state.numbers["n_lines"]
        self._seconds = state.numbers["seconds"]
        self._line_at = self._started = time.perf_counter()
        if self._run is not None:
            _keep_lines(self._run.metrics, self._n_lines)

    def close(self) -> None:
        """Flush what TensorBoard has not written yet."""
        if self._board is not None:
            self._board.close()


def forget_lines(run: RunFolder) -> None:
    """Take back the lines of a run that was killed before its first checkpoint."""
    if run.metrics.exists():
        _keep_lines(run.metrics, 0)


def _keep_lines(path: Path, n: int) -> None:
    """Keep the first n lines of a file, which is replaced whole."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    if len(lines) < n:
        raise DamagedArtefact(
            "the metrics lack lines that the checkpoint knows of",
            got=f"{path}: {len(lines)} lines, {n} were written",
            fix="put the file back, or begin anew in another folder",
        )
    aside = path.with_name(f".{path.name}.tmp")
    with aside.open("w", encoding="utf-8") as stream:
        stream.writelines(lines[:n])
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _tensorboard() -> Any:
    """Return TensorBoard's writer, before any work is done."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackage(
            "TensorBoard's files need tensorboard", got=error, fix="pip install tensorboard, or leave tensorboard out"
        ) from error
    return SummaryWriter
