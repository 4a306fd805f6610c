"""Would something plainer have done? The study's best feature beside the best of its controls.

Half of the stories choose: in each set of features, the one (and its sensor) with the largest
score over listeners. The other half judge: its score in each listener, from models that were
fitted and tested there alone. No set's choice has seen what it is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import child_seed, generator
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.stage import Stage
from brainalign.pipeline.stages.sittings import heard_design, recordings_of

CLAIM = "claim"
FEWEST_STORIES = 6
FEWEST_LISTENERS = 2


def randomise_coder(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Make a coder of the same size and sparsity with random directions."""
    from brainalign.sae.coder import SparseCoder
    from brainalign.sae.controls import random_coder

    frames = [Trajectory.unpack(item) for item in inputs["frames"]]
    seed = child_seed(settings["seed"], "random-sae")
    return random_coder(SparseCoder.unpack(inputs["coder"]), frames, seed=seed).pack()


def match_coder(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Make a random direction for every candidate feature, as often active and as variable."""
    from brainalign.sae.controls import matched_coder

    columns = np.asarray(inputs["selection"].arrays["columns"])
    codes = [Trajectory.unpack(item).select(columns) for item in inputs["codes"]]
    frames = [Trajectory.unpack(item) for item in inputs["frames"]]
    return matched_coder(codes, frames, seed=child_seed(settings["seed"], "matched")).pack()


def map_halves(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Score a set of features in one listener, on each half of the stories by itself."""
    from brainalign.encoding.massunivariate import feature_maps

    stories = settings["stimuli"]
    features = dict(zip(stories, map(Trajectory.unpack, inputs["features"]), strict=True))
    columns = _columns(list(features.values()), settings, n_most=inputs["selection"].arrays["columns"].size)
    chosen = {name: item.select(columns) for name, item in features.items()}
    design = heard_design(chosen, recordings_of(inputs["recordings"]), settings)
    arrays = {}
    for half, names in zip(("choose", "judge"), (stories[::2], stories[1::2]), strict=True):
        trials = tuple(trial for trial in design.trials if trial.name in names)
        n_folds = min(settings["n_folds"], len({trial.name for trial in trials}))
        maps = feature_maps(replace(design, trials=trials), penalties=settings["penalties"], n_folds=n_folds)
        arrays[half] = maps.score
    return Artefact("halves", {"features": design.features, "channels": design.channels}, arrays)


def _columns(features: list[Trajectory], settings: Mapping[str, Any], *, n_most: int) -> np.ndarray:
    """Return the features that are active often enough, at most as many as the claim has."""
    from brainalign.features.select import active_features

    columns = active_features(features, min_per_second=settings["min_per_second"])
    if not len(columns):
        raise ValueProblem(
            f"the control {settings['kind']!r} has no feature that is active often enough",
            got=f"none of {features[0].n_features} at {settings['min_per_second']:g} per second",
            fix="lower model.min_per_second, or leave this control out (test.controls)",
        )
    if len(columns) > n_most:
        rng = generator(settings["seed"], "control-features", settings["kind"])
        columns = np.sort(rng.choice(columns, n_most, replace=False))
    return columns


def compare(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Compare what the claim's and the controls' chosen features reach, over listeners."""
    from brainalign.stats.compare import CONTROLS, compare_maps

    sets = {kind: _judged(inputs[kind]) for kind in (CLAIM, *settings["controls"])}
    scores = {kind: row.pop("scores") for kind, row in sets.items()}
    claim = scores.pop(CLAIM)
    found = compare_maps(
        claim, {kind: values[:, None] for kind, values in scores.items()}, tail="two-sided", seed=settings["seed"]
    )
    rows = []
    for number, kind in enumerate(found.names):
        numbers = {
            name: float(getattr(found, name)[number]) for name in ("difference", "low", "high", "p", "p_corrected")
        }
        rows.append({"control": kind, "meaning": CONTROLS[kind], **sets[kind], **numbers})
    meta = {
        "claim": sets[CLAIM],
        "rows": rows,
        "n_listeners": found.n_listeners,
        "n_permutations": found.n_permutations,
        "exact": found.exact,
    }
    return Artefact("comparison", meta, {"claim": claim, **scores})


def _judged(parts: Any) -> dict[str, Any]:
    """Return the feature and sensor that one half of the stories chose, and its scores in the other half."""
    choose = np.mean([np.arctanh(item.arrays["choose"]) for item in parts], axis=0)
    f, c = np.unravel_index(int(choose.argmax()), choose.shape)
    scores = np.array([item.arrays["judge"][f, c] for item in parts])
    meta = parts[0].meta
    return {
        "feature": meta["features"][f],
        "channel": meta["channels"][c],
        "n_features": len(meta["features"]),
        "r": float(np.tanh(np.arctanh(scores).mean())),
        "scores": scores,
    }


RANDOM_CODER = Stage("random-coder", 1, randomise_coder)
MATCHED_CODER = Stage("matched-coder", 1, match_coder)
HALVES = Stage("halves", 2, map_halves)
COMPARE = Stage("compare", 1, compare)
