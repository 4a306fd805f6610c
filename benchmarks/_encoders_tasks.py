"""What is compared? Ours with transformers' own hidden states and plain hooks: numbers, core-seconds, memory, seams."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._encoders_models import KINDS, RATE, Model, babble, write_babble, write_model
from benchmarks._engine_job import Job, run_job
from brainalign.audio.read import read_audio
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.frames import FrameClock
from brainalign.encoders.hugging import HuggingEncoder, load_encoder
from brainalign.encoders.windows import OnePass, Window, Windowing

Row = dict[str, Any]
# Of the standard deviation: single precision through every block.
TOLERANCE = 1e-4
# Types whose frames know how far into the window they are, which another window changes.
_PLACED = ("whisper", "audio-spectrogram-transformer")
# Two runs of the very same code differ by so much.
NOISE = 0.03


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes
    ----------
    model
        Size of the models whose speed and seams are measured.
    kinds
        Types whose speed is measured.
    seconds, n_windows, repeats
        Length of a window, windows in a batch, and runs of which the fastest counts.
    minutes, long_model, budget
        The short and the long sound, the size of the model that they are sent through, and its memory budget.
    seam_kinds, seam_blocks
        Types whose seams are measured, and how many blocks they have.
    seams, seam_window, seam_sound
        Seconds.
    judged
        Whether times are judged.
    """

    model: str = "base"
    kinds: tuple[str, ...] = KINDS
    seconds: float = 5.0
    n_windows: int = 2
    repeats: int = 3
    minutes: tuple[float, float] = (5.0, 60.0)
    long_model: str = "medium"
    budget: str = "100MB"
    seam_kinds: tuple[str, ...] = KINDS
    seam_blocks: int | None = 6
    seams: tuple[float, ...] = (2.0, 4.0, 8.0)
    seam_window: float = 24.0
    seam_sound: float = 29.0
    judged: bool = True


FULL = Size()
QUICK = Size(
    model="small", kinds=("hubert", "whisper"), seconds=6.0, repeats=1,
    minutes=(0.5, 5.0), long_model="small", budget="100MB",
    seam_kinds=("hubert",),
    seam_blocks=None, judged=False,
)  # fmt: skip


@dataclass(eq=False)
class Found:
    """A run: how large, where models are written, real weights if there are any, and what has been found.

    Attributes
    ----------
    size
        Of the run.
    folder
        For models and results.
    weights, speech
        Folder of real Whisper weights and a sound file for it, or None.
    rows, claims
        Found so far.
    """

    size: Size
    folder: Path
    weights: Path | None = None
    speech: Path | None = None
    rows: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)

    def model(self, kind: str, *, size: str, blocks: int | None = None) -> Model:
        """Return a model, written anew."""
        return write_model(self.folder / f"{kind}-{size}-{blocks}", kind, size=size, blocks=blocks)

    def add(self, task: str, who: str, *, note: str = "", **shown: Any) -> None:
        """Keep a row."""
        self.rows.append({"task": task, "who": who, "shown": shown, "note": note})

    def claim(self, name: str, value: float, *, unit: str, target: str, ok: bool | None, timed: bool = False) -> None:
        """Keep a claim, judged or not (None); one about times is judged at full size only."""
        verdict = None if ok is None or (timed and not self.size.judged) else bool(ok)
        self.claims.append({"name": name, "value": float(value), "unit": unit, "target": target, "ok": verdict})


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread, so that core-seconds mean something."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def plain(model: Model, waveforms: np.ndarray, *, units: int | None = None) -> list[np.ndarray]:
    """Run transformers as one would without us: all hidden states, and a hook for one block's hidden units."""
    states: list[torch.Tensor] = []
    ends = [model.blocks[-1].register_forward_hook(lambda _, __, out: states.append(_tensor(out)))]
    if units:
        hook = model.units(units).register_forward_pre_hook(lambda _, args: states.append(args[0]))
        ends.append(hook)
    with torch.inference_mode():
        given = {name: item.to(next(model.model.parameters()).dtype) for name, item in model.heard(waveforms).items()}
        found = model.model(**given, output_hidden_states=True).hidden_states
    for hook in ends:
        hook.remove()
    # The last entry is before or after the final norm, depending on type and version: the hook's is the block's own.
    last = states[-1]
    return [item.float().numpy() for item in (*found[: len(model.blocks)], last, *states[:-1])]


def _tensor(output: Any) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


def _as_frames(values: np.ndarray, encoder: HuggingEncoder) -> np.ndarray:
    """Bring plain outputs of a batch to ours: bands averaged, special tokens left out."""
    n_bands = encoder.inputs.n_bands
    if n_bands == 1:
        return values
    n = n_bands * (encoder.inputs.n_most or 0)
    values = values.reshape(-1, values.shape[-2], values.shape[-1])[:, -n:]
    return values.reshape(len(values), n_bands, -1, values.shape[-1]).mean(axis=1)


def equal(found: Found) -> None:
    """Compare residual stream and hidden units with transformers' own, for every type."""
    stimulus = babble(6.0)
    for kind in KINDS:
        model = found.model(kind, size="small")
        encoder = load_encoder(model.folder)
        layers = range(encoder.n_layers + 1)
        ours = encoder.encode_sites(stimulus, [*(("residual", k) for k in layers), ("mlp", 2)])
        theirs = [_as_frames(item, encoder) for item in plain(model, stimulus.waveform[None], units=2)]
        errors = []
        for trajectory, other in zip(ours.values(), theirs, strict=True):
            there = other.reshape(-1, other.shape[-1])[: trajectory.axis.n]
            errors.append(float(np.abs(trajectory.values - there).max() / there.std()))
        residual, units = max(errors[:-1]), errors[-1]
        found.add("equal", kind, **{"residual 0 to n": f"{residual:.1e}", "mlp": f"{units:.1e}"})
        found.claim(
            f"equal: {kind}, residual stream and hidden units", max(residual, units),
            unit="of the standard deviation", target=f"at most {TOLERANCE:g}", ok=max(errors) <= TOLERANCE,
        )  # fmt: skip


def speed(found: Found) -> None:
    """Time all hidden states, ours and the plain loop's in turns, and what early stopping and bfloat16 change."""
    size = found.size
    with one_thread():
        for kind in size.kinds:
            _speed_of(found, found.model(kind, size=size.model))


def _speed_of(found: Found, model: Model) -> None:
    size = found.size
    exact, rough = (_end_to_end(model, size, dtype) for dtype in ("float32", "bfloat16"))
    last, middle = exact.encoder.n_layers, exact.encoder.n_layers // 2
    ways: dict[str, Callable[[], Any]] = {
        "plain": partial(plain, model, exact.rows),
        "ours": partial(exact.run, range(last + 1)),
        "middle": partial(exact.run, [middle]),
        "bfloat16": partial(rough.run, range(last + 1)),
    }
    times = _in_turns(ways, size.repeats)
    ratios = {name: times["plain"] / times[name] for name in ways}
    error = relative(rough.run([last])[last].values, exact.run([last])[last].values)
    found.add(
        "speed", model.kind,
        **{
            "plain, core-s": f"{times['plain']:.3g}", "ours, core-s": f"{times['ours']:.3g}",
            "ours, times real time": f"{float(exact.stimulus.axis.duration) / times['ours']:.3g}",
            "plain / ours": f"{ratios['ours']:.2f}", "up to block n/2": f"{ratios['middle']:.2f}",
            "bfloat16": f"{ratios['bfloat16']:.2f}", "bfloat16, error": f"{error:.1%}",
        },
    )  # fmt: skip
    found.claim(
        f"speed: {model.kind}, the plain loop takes", ratios["ours"], unit="x our core-seconds",
        target=f"at least 1 (less {NOISE:.0%} of noise)", ok=ratios["ours"] >= 1 - NOISE, timed=True,
    )  # fmt: skip


@dataclass(frozen=True)
class EndToEnd:
    """Windows that follow one another without overlap, all in one batch: the plain loop's way.

    Attributes
    ----------
    n_frames, n_windows
        Of a window, and of the batch.
    """

    n_frames: int
    n_windows: int

    def check(self, clock: FrameClock, *, n_most: int | None) -> None:
        """Refuse nothing."""

    def batches(self, n_samples: int, clock: FrameClock) -> Iterator[tuple[Window, ...]]:
        """Yield the one batch."""
        edges = [(i * self.n_frames, (i + 1) * self.n_frames) for i in range(self.n_windows)]
        yield tuple(Window(start, stop, start, stop, strict=True) for start, stop in edges)

    def axis(self, n_samples: int, clock: FrameClock) -> TimeAxis:
        """Return the centres of the windows' frames."""
        return TimeAxis(clock.rate, self.n_frames * self.n_windows, clock.first_centre)

    def describe(self, *, n_windows: int) -> dict[str, Any]:
        """Return the number of windows."""
        return {"windows": n_windows}


@dataclass(frozen=True)
class _Batch:
    """An encoder, a sound that is one batch for it, and the same windows as rows."""

    encoder: HuggingEncoder
    stimulus: Stimulus
    rows: np.ndarray

    def run(self, layers: Any) -> dict[int, Any]:
        """Encode the sound."""
        return self.encoder.encode(self.stimulus, list(layers))


def _end_to_end(model: Model, size: Size, dtype: Any) -> _Batch:
    encoder = load_encoder(model.folder, dtype=dtype)
    clock = encoder.clock
    # Where a pass has a fixed length it is filled.
    n_frames = encoder.inputs.n_most or int(size.seconds * clock.rate)
    encoder = replace(encoder, windowing=EndToEnd(n_frames, size.n_windows), memory="1TB")
    n_samples = clock.reach(n_frames * size.n_windows - 1)
    stimulus = babble(n_samples / RATE)
    (batch,) = encoder.windowing.batches(n_samples, clock)
    return _Batch(encoder, stimulus, np.stack([stimulus.waveform[item.samples(clock, n_samples)] for item in batch]))


def _in_turns(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the fewest core-seconds of each way, all of them run in turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn:
                times[name].append(time.process_time() - start)
    return {name: min(spent) for name, spent in times.items()}


def relative(values: np.ndarray, others: np.ndarray) -> float:
    """Return the root mean square of a difference, in standard deviations of the others (per feature, over time)."""
    spread = np.square(others - others.mean(axis=0)).mean()
    return float(np.sqrt(np.square(values - others).mean() / spread))


def memory(found: Found) -> None:
    """Send a short and a long sound through `encode_to`, each in a process of its own."""
    size = found.size
    model = found.model("hubert", size=size.long_model)
    config = model.model.config
    told = f"HuBERT, {config.num_hidden_layers} blocks, {config.hidden_size} wide, the last one; budget {size.budget}"
    peaks = []
    for minutes in size.minutes:
        sound = write_babble(found.folder / f"{minutes:g}.npy", minutes)
        options = {"model": str(model.folder), "sound": str(sound), "memory": size.budget}
        job = Job("_encoders_jobs:stream", options=options | {"folder": str(found.folder / f"states-{minutes:g}")})
        measured = run_job(job, found.folder)
        if measured.problem:
            raise RuntimeError(measured.problem)
        peaks.append(measured.peak_mb)
        found.add(
            "memory", f"{minutes:g} min", note=told,
            **{
                "windows": measured.facts["windows"], "MB in all": f"{measured.peak_mb:,.0f}",
                "MB of it the sound": f"{measured.facts['sound_mb']:,.0f}", "core-s": f"{measured.core_s:.4g}",
                "times real time": f"{60 * minutes / measured.core_s:.3g}",
            },
        )  # fmt: skip
    short, long = size.minutes
    found.claim(
        f"memory: {long:g} min take more than {short:g} min by", peaks[1] - peaks[0], unit="MB",
        target="at most 300", ok=peaks[1] - peaks[0] <= 300,
    )  # fmt: skip


def seams(found: Found) -> None:
    """Compare windowed frames with those of one pass, for several lengths of what is thrown away at a cut."""
    with one_thread():
        for kind in found.size.seam_kinds:
            _seams_of(found, kind)


def _seams_of(found: Found, kind: str) -> None:
    size = found.size
    real = found.weights if kind == "whisper" else None
    folder = real or found.model(kind, size=size.model, blocks=size.seam_blocks).folder
    encoder = load_encoder(folder)
    most = float(encoder.inputs.n_most / encoder.clock.rate) if encoder.inputs.n_most else size.seam_sound
    seconds = min(size.seam_sound, most - 0.1)
    window = min(size.seam_window, seconds - 2.0)
    whole = replace(encoder, windowing=OnePass(10**9))
    stimulus, last = _heard(found, seconds, real=real is not None), encoder.n_layers
    expected = whole.encode(stimulus, [last])[last].values
    shown, errors = {}, []
    for seam in size.seams:
        if window < 3 * seam:
            shown[f"{seam:g} s"] = "-"
            continue
        cut = replace(encoder, windowing=Windowing(window, seam)).encode(stimulus, [last])[last].values
        each = np.sqrt(np.square(cut - expected).mean(axis=0) / expected.var(axis=0))
        errors.append(float(np.median(each)))
        shown[f"{seam:g} s"] = f"{errors[-1]:.1%} ({np.quantile(each, 0.95):.1%})"
    weights = "trained" if real else "random"
    told = f"{weights} weights, {last} blocks, {seconds:g} s in windows of {window:g} s"
    found.add("seams", kind, note=f"{told}; knows its place in the window" if kind in _PLACED else told, **shown)
    found.claim(
        f"seams: {kind}, median error at the longest seam", errors[-1], unit="of a feature's standard deviation",
        target="at most 0.1" if kind not in _PLACED else "reported: absolute positions",
        ok=errors[-1] <= 0.1 if kind not in _PLACED else None,
    )  # fmt: skip


def _heard(found: Found, seconds: float, *, real: bool) -> Stimulus:
    """Return speech for real weights, if there is some, and noise otherwise."""
    if not (real and found.speech):
        return babble(seconds, seed=5)
    speech = read_audio(found.speech, rate=RATE)
    n = min(speech.axis.n, int(seconds * RATE))
    return Stimulus(speech.name, speech.waveform[:n], TimeAxis(RATE, n))
