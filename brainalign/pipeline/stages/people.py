"""Beyond these listeners: what holds in the population, and how much of a response could be predicted at all."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.design import Design
from brainalign.core.result import EncodingResult
from brainalign.pipeline.stage import Stage

FEWEST = 2
STRETCH_SECONDS = 10.0
FEWEST_STRETCHES = 20
N_PATTERNS = 1000


def generalise(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Test over listeners whether scores lie above zero in the population (random effects, sign flips)."""
    from brainalign.stats.signflip import sign_flip_test

    maps = [EncodingResult.unpack(item) for item in inputs["maps"]]
    values = np.arctanh(np.clip([item.score for item in maps], -0.999999, 0.999999))
    found = sign_flip_test(values, n_permutations=N_PATTERNS, seed=settings["seed"])
    meta = {
        "n_listeners": found.n_listeners,
        "n_permutations": found.n_permutations,
        "exact": found.exact,
        "assumption": found.assumption,
    }
    return Artefact("population", meta, {"t": found.observed, "p": found.p, "p_corrected": found.p_corrected})


def find_ceiling(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Measure how much of one listener's response other listeners share: what a model of the sound could reach."""
    from brainalign.stats.ceiling import noise_ceiling

    designs = [Design.unpack(item) for item in inputs["designs"]]
    shared = [shared_responses(designs, name) for name in _heard_by_all(designs)]
    shared = [item for item in shared if item.shape[1] > 1]
    stretch = ceil(STRETCH_SECONDS * float(designs[0].lags.rate))
    if sum(ceil(item.shape[1] / stretch) for item in shared) < FEWEST_STRETCHES:
        return Artefact("ceiling", {"n_stories": 0, "stretch_seconds": STRETCH_SECONDS})
    found = noise_ceiling(shared, block_frames=stretch, seed=settings["seed"])
    meta = {"n_stories": len(shared), "stretch_seconds": STRETCH_SECONDS, "n_listeners": found.n_repeats}
    names = ("reliability", "low", "high", "draws")
    return Artefact("ceiling", meta, {name: getattr(found, name) for name in names})


def shared_responses(designs: Sequence[Design], story: str) -> np.ndarray:
    """Return all listeners' first responses to a story, standardised, at the frames usable in every one.

    Parameters
    ----------
    designs
        One per listener.
    story
        A trial's name.

    Returns
    -------
    numpy.ndarray
        ``(n_listeners, n_frames, n_channels)``; a channel that is constant in a listener is 0.
    """
    trials = [next(trial for trial in design.trials if trial.name == story) for design in designs]
    start = max(trial.axis.t0 for trial in trials)
    offsets = [trial.axis.index(start) for trial in trials]
    n = min(trial.axis.n - offset for trial, offset in zip(trials, offsets, strict=True))
    spans = [slice(offset, offset + n) for offset in offsets]
    usable = np.all([trial.mask[span] for trial, span in zip(trials, spans, strict=True)], axis=0)
    y = np.array([trial.y[span][usable] for trial, span in zip(trials, spans, strict=True)])
    y = y - y.mean(axis=1, keepdims=True)
    spread = y.std(axis=1, keepdims=True)
    return np.divide(y, spread, out=np.zeros_like(y), where=spread > 0)


def _heard_by_all(designs: Sequence[Design]) -> list[str]:
    names = [{trial.name for trial in design.trials} for design in designs]
    return [name for name in dict.fromkeys(trial.name for trial in designs[0].trials) if all(name in n for n in names)]


GENERALISE = Stage("generalise", 1, generalise)
CEILING = Stage("ceiling", 1, find_ceiling)
