"""Where does a killed training go on? At its last checkpoint, to the same bytes as an unbroken one.

A run's folder holds ``checkpoints/step-000001200/`` (artefacts: written aside, flushed,
renamed, hashed; no pickle) and ``metrics.jsonl``. A checkpoint that is damaged is refused;
the one before it is used only when the caller says so.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainalign.core.artefact import Artefact, read_artefact, write_artefact
from brainalign.core.errors import BrainalignError, DamagedArtefact, ValueProblem
from brainalign.core.hashing import plain
from brainalign.sae.state import Resumable, pack_states, restore_states

KIND = "sae-training"
N_KEPT = 2
_NAME = re.compile(r"step-(\d{9})")


@dataclass(frozen=True)
class RunFolder:
    """Where a training keeps its checkpoints and its metrics, and how often.

    Parameters
    ----------
    path
        A folder of this training alone; made where it is missing. If it holds a training
        already, that one is continued.
    every_steps
        Steps between checkpoints; None means by time alone.
    every_minutes
        Minutes between checkpoints; None means by steps alone. When a checkpoint is written
        does not change the result.
    log_every
        Steps between two lines of ``metrics.jsonl``; None means a hundredth of the run.
    previous
        Whether to go on from the checkpoint before the last where the last is damaged.
    tensorboard
        Whether to write TensorBoard's files as well (needs the package).
    """

    path: str | Path
    every_steps: int | None = None
    every_minutes: float | None = 10.0
    log_every: int | None = None
    previous: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_minutes", "log_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueProblem(f"{name} must be positive", got=value, fix=f"give {name} > 0, or None")
        object.__setattr__(self, "path", Path(self.path))

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return Path(self.path) / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The file of the metrics."""
        return Path(self.path) / "metrics.jsonl"


class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    run
        Where they are, and how often one is due.
    identity
        What the run is (settings, seed, corpus): a checkpoint of another one is refused.
    parts
        What is kept, by name.
    """

    def __init__(self, run: RunFolder, *, identity: Mapping[str, Any], parts: Mapping[str, Resumable]) -> None:
        self._run, self._identity, self._parts = run, plain(identity), dict(parts)
        self._written_at = time.monotonic()

    def resume(self) -> bool:
        """Put all parts back to the last checkpoint; return whether there was one."""
        folder = self._run.checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        found = self._newest()
        if found is None:
            return False
        self._require_same_run(found)
        restore_states(found, self._parts)
        return True

    def save_if_due(self, step: int, *, last: bool) -> None:
        """Write a checkpoint if enough steps or minutes have passed, and at the end."""
        every_steps, minutes = self._run.every_steps, self._run.every_minutes
        by_steps = every_steps is not None and step % every_steps == 0
        by_time = minutes is not None and time.monotonic() - self._written_at >= 60 * minutes
        if last or by_steps or by_time:
            self.save(step)

    def save(self, step: int) -> None:
        """Write a checkpoint, then remove all but the newest `N_KEPT`."""
        artefact = pack_states(KIND, {"step": step, "identity": self._identity}, self._parts)
        write_artefact(artefact, self._run.checkpoints / f"step-{step:09d}")
        for old in self._folders()[:-N_KEPT]:
            aside = old.with_name(f".{old.name}.tmp")  # renamed first: a kill leaves no half checkpoint
            shutil.rmtree(old.rename(aside))
        self._written_at = time.monotonic()

    def _folders(self) -> list[Path]:
        return sorted(item for item in self._run.checkpoints.iterdir() if _NAME.fullmatch(item.name))

    def _newest(self) -> Artefact | None:
        """Return the newest sound checkpoint, setting damaged ones aside only when that was asked for."""
        for folder in reversed(self._folders()):
            try:
                return self._read(folder)
            except BrainalignError as error:
                before = [item for item in self._folders() if item.name < folder.name]
                if not (self._run.previous and before):
                    raise self._damaged(folder, error, before=before) from error
            folder.rename(folder.with_name(f"damaged-{folder.name}-{time.time_ns()}"))
        return None

    def _read(self, folder: Path) -> Artefact:
        found = read_artefact(folder, mmap=False)
        if found.kind != KIND or {"step", "identity", "parts"} - found.meta.keys():
            raise DamagedArtefact("not a checkpoint", got=f"{folder}: {found.kind}", fix="delete it")
        if self._parts.keys() - found.meta["parts"].keys():
            raise DamagedArtefact("a part is missing", got=sorted(found.meta["parts"]), fix="delete it")
        return found

    def _damaged(self, folder: Path, error: BrainalignError, *, before: list[Path]) -> DamagedArtefact:
        older = f"give previous=True to go on from {before[-1].name}, or " if before else ""
        return DamagedArtefact(
            "the last checkpoint of this training is damaged",
            got=f"{folder}: {error.what} ({error.got})",
            fix=f"{older}delete {self._run.path} to begin anew",
        )

    def _require_same_run(self, found: Artefact) -> None:
        theirs = found.meta["identity"]
        names = sorted(theirs.keys() | self._identity.keys())
        differ = [name for name in names if theirs.get(name) != self._identity.get(name)]
        if differ:
            raise ValueProblem(
                "the folder holds another training",
                got="; ".join(f"{name}: {theirs.get(name)} there, {self._identity.get(name)} here" for name in differ),
                fix="give the same settings, seed and frames, or another folder",
            )
