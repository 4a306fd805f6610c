"""From a study's listeners to clean recordings; and, in a simulation, the truth behind them."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from brainalign.core.artefact import Artefact
from brainalign.core.errors import ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.seeds import child_seed, generator
from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.schema import CleaningPart
from brainalign.pipeline.stage import Stage

LEAD_IN, PAUSE = 3.0, 3.0
MAX_LIKENESS = 0.3
RESPONSE_FRAMES = 5


def plant(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Choose which features drive the brain, where and when: the truth, for the simulation and the verdict alone."""
    from brainalign.eeg.simulate import PLANTED_SITES

    planting, seed = settings["planting"], settings["seed"]
    codes = [Trajectory.unpack(item) for item in inputs["codes"]]
    chosen = _choose_features(codes, inputs["selection"].arrays["columns"], planting, generator(seed, "planted"))
    rng = generator(seed, "planted", "responses")
    sites = rng.permutation(sorted(PLANTED_SITES))[: len(chosen)]
    earliest, latest = planting.latencies
    latencies = rng.permutation(np.linspace(earliest, latest, len(chosen)).round(3))
    truth = [
        {"feature": codes[0].features[column], "site": str(site), "latency": float(latency)}
        for column, site, latency in zip(chosen, sites, latencies, strict=True)
    ]
    return Artefact("planting", {"planted": truth, "microvolts": planting.microvolts})


def _choose_features(
    codes: list[Trajectory], columns: np.ndarray, planting: Any, rng: np.random.Generator
) -> list[int]:
    """Pick features at random that fire often enough and do not mirror one another.

    Likeness is the correlation after smoothing over a response's width: two features that
    always fire within one response cannot be told apart by any model, so planting both
    would plant an ambiguity.
    """
    values = np.concatenate([trajectory.select(columns).block(0, len(columns)) for trajectory in codes])
    density = (values > 0).mean(axis=0)
    smooth = ndimage.uniform_filter1d(values, RESPONSE_FRAMES, axis=0)
    likeness = np.abs(np.corrcoef(smooth.T))
    low, high = planting.density
    chosen: list[int] = []
    for candidate in rng.permutation(np.flatnonzero((density >= low) & (density <= high))):
        if all(likeness[candidate, other] <= MAX_LIKENESS for other in chosen):
            chosen.append(int(candidate))
        if len(chosen) == planting.n_features:
            return [int(columns[i]) for i in chosen]
    raise ValueProblem(
        "too few features can be planted",
        got=f"{len(chosen)} of {planting.n_features}",
        fix="widen listeners.planting.density or plant fewer features",
    )


def listen(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Simulate one listener's recording of all stimuli."""
    from brainalign.eeg.simulate import PLANTED_SITES, NoiseLevels, PlantedSource, ResponseKernel, simulate_listener

    codes = [Trajectory.unpack(item) for item in inputs["codes"]]
    stimuli = [Stimulus.unpack(item) for item in inputs["stimuli"]]
    truth = inputs["planting"].meta
    pairs = list(zip(stimuli, codes, strict=True))
    sources = []
    for entry in truth["planted"]:
        column = codes[0].features.index(entry["feature"])
        site, latency = PLANTED_SITES[entry["site"]], entry["latency"]
        sources.append(
            PlantedSource(
                name=entry["feature"],
                drives={s.name: (c.block(column, column + 1)[:, 0], c.axis) for s, c in pairs},
                kernel=ResponseKernel(latency=latency, width=min(0.07, latency), undershoot=0.4),
                position=site.position,
                orientation=site.orientation,
                peak_microvolts=truth["microvolts"],
            )
        )
    onsets = _onsets(stimuli, generator(settings["seed"], "onsets", settings["subject"]))
    last = stimuli[-1]
    raw = simulate_listener(
        sources,
        onsets,
        seconds=float(onsets[last.name] + last.axis.duration) + PAUSE,
        seed=child_seed(settings["seed"], "listener"),
        subject=settings["subject"],
        noise=NoiseLevels(bad_channels=1),
    )
    return Recording.from_mne(raw, subject=settings["subject"]).pack()


def _onsets(stimuli: list[Stimulus], rng: np.random.Generator) -> dict[str, Fraction]:
    """Start each stimulus after a pause whose length falls between samples."""
    onsets, time = {}, Fraction(LEAD_IN)
    for stimulus in stimuli:
        onsets[stimulus.name] = time
        time += stimulus.axis.duration + Fraction(PAUSE) + Fraction(int(rng.integers(10_000)), 10_000)
    return onsets


def read_recording(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Read one recording from disk; without sensor positions nothing could be drawn in the end."""
    from brainalign.eeg.read import read_eeg

    recording = read_eeg(
        files[0],
        subject=settings["subject"],
        run=settings["run"] or "",
        montage=files[-1] if settings["places_from_file"] else settings["montage"],
        units=settings["units"],
    )
    if (sound := settings["starts_with"]) is not None:
        recording = replace(recording, onsets={**recording.onsets, sound: (Fraction(0),)})
    require_places(recording)
    return recording.pack()


def require_places(recording: Recording) -> None:
    """Refuse a recording with EEG channels of which nobody knows where they sat.

    Parameters
    ----------
    recording
        As it was read.
    """
    placed = np.isfinite(recording.positions).all(axis=1)
    lost = [
        name
        for name, kind, is_placed in zip(recording.channels, recording.kinds, placed, strict=True)
        if kind == "eeg" and not is_placed
    ]
    if lost:
        raise ValueProblem(
            f"{recording.label} holds EEG channels without a sensor position",
            got=f"{len(lost)} of {recording.kinds.count('eeg')}: {', '.join(lost[:6])}",
            fix="name the cap in the configuration, e.g. montage: biosemi64, and mark channels that are no EEG as such",
        )


def clean_recording(settings: CleaningPart, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Clean one recording with MNE."""
    from brainalign.api import clean

    return clean(Recording.unpack(inputs["recording"]), **settings.model_dump()).pack()


def judge_quality(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Compare a recording before and after cleaning."""
    from brainalign.eeg.quality import quality

    found = quality(Recording.unpack(inputs["recording"]), Recording.unpack(inputs["clean"]))
    return Artefact("quality", asdict(found))


PLANT = Stage("plant", 1, plant)
LISTEN = Stage("listen", 1, listen)
READ_RECORDING = Stage("read-recording", 2, read_recording)
CLEAN = Stage("clean", 1, clean_recording)
QUALITY = Stage("quality", 2, judge_quality)
