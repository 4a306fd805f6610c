"""From trajectories and recordings to maps, nulls and tests. Nothing here sees a simulation's truth."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem
from brainalign.core.result import EncodingResult, NullTest
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory, beside
from brainalign.pipeline.stage import Stage
from brainalign.pipeline.stages.sittings import heard_design, recordings_of

if TYPE_CHECKING:
    from brainalign.mapping import Surrogates


def select(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Keep the features that are active often enough to be tested (a choice that no response enters).

    Here all stories stand together, so one sound under two names is found before anything is fitted.
    """
    from brainalign.align.split import require_one_name_per_sound
    from brainalign.features.select import active_features

    codes = [Trajectory.unpack(item) for item in inputs["codes"]]
    require_one_name_per_sound(zip(settings["stimuli"], codes, strict=True), same_sound="refuse")
    columns = active_features(codes, min_per_second=settings["min_per_second"])
    if not len(columns):
        raise ValueProblem(
            "no feature is active often enough",
            got=f"none of {codes[0].n_features} at {settings['min_per_second']} per second",
            fix="lower model.min_per_second, or look at the coder's quality",
        )
    return Artefact("selection", {}, {"columns": np.asarray(columns, dtype=np.int64)})


def offer(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Return one trial's candidate features; decoys, where there are some, hide among them."""
    from brainalign.features.controls import mix_with_decoys

    played, unplayed = _candidates(inputs)
    if unplayed is None:
        return played.pack()
    (mixed,), _ = mix_with_decoys([played], [unplayed], seed=settings["seed"])
    return mixed.pack()


def answer_key(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Say which candidates are decoys: for the verdict alone."""
    from brainalign.features.controls import mix_with_decoys

    played, unplayed = _candidates(inputs)
    if unplayed is None:
        raise ValueProblem("there are no decoys to tell apart", got="no unheard sound", fix="set listeners.decoys")
    _, key = mix_with_decoys([played], [unplayed], seed=settings["seed"])
    return Artefact("answer-key", key.to_json())


def _candidates(inputs: Any) -> tuple[Trajectory, Trajectory | None]:
    columns = inputs["selection"].arrays["columns"]
    played = Trajectory.unpack(inputs["codes"]).select(columns)
    if "unheard" not in inputs:
        return played, None
    return played, Trajectory.unpack(inputs["unheard"]).select(columns)


def align_listener(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Bring one listener's recordings onto the frame grid of every stimulus."""
    features = dict(zip(settings["stimuli"], map(Trajectory.unpack, inputs["candidates"]), strict=True))
    return heard_design(features, recordings_of(inputs["recordings"]), settings).pack()


def map_listener(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Fit one lagged model per feature to one listener."""
    from brainalign.encoding.massunivariate import feature_maps

    design = Design.unpack(inputs["design"])
    return feature_maps(design, penalties=settings["penalties"], n_folds=settings["n_folds"]).pack()


def choose_null(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Choose the null that all listeners are tested against, from their stimuli alone."""
    from brainalign import mapping

    designs = [Design.unpack(item) for item in inputs["designs"]]
    key, reason = mapping.choose_null(designs, scheme=settings["scheme"])
    return Artefact("null-choice", {"scheme": key, "reason": reason})


def draw_surrogates(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Draw one listener's surrogates, if the recording bears the null."""
    from brainalign import mapping

    found = mapping.draw_surrogates(
        Design.unpack(inputs["design"]),
        scheme=inputs["choice"].meta["scheme"],
        n_permutations=settings["n_permutations"],
        seed=settings["seed"],
        n_listeners=settings["n_listeners"],
    )
    meta = {name: getattr(found, name) for name in ("scheme", "note", "doubts", "subject")}
    return Artefact("surrogates", meta, {"values": found.values})


def score_block(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Score a block of features under every surrogate, for all listeners, and summarise the group's null."""
    from brainalign.mapping import null_summary

    designs = [Design.unpack(item) for item in inputs["designs"]]
    columns = np.array_split(np.arange(designs[0].n_features), settings["n_blocks"])[settings["block"]]
    if not len(columns):
        return Artefact("null-block")
    summary = null_summary(
        [design.select(columns) for design in designs],
        [_surrogates(item) for item in inputs["surrogates"]],
        penalties=settings["penalties"],
        n_folds=settings["n_folds"],
        report=progress,
    )
    arrays = {item.name: getattr(summary, item.name) for item in fields(summary)}
    return Artefact("null-block", {}, arrays)


def _surrogates(artefact: Artefact) -> Surrogates:
    from brainalign.mapping import Surrogates

    values = {**artefact.meta, **artefact.arrays}
    return Surrogates(**values | {"doubts": tuple(values["doubts"])})


def correct_group(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Put the blocks together and correct for all features and channels."""
    from brainalign.mapping import null_test
    from brainalign.stats.permutation import NullSummary

    blocks = [NullSummary(**item.arrays) for item in inputs["blocks"] if item.arrays]
    surrogates = [_surrogates(item) for item in inputs["surrogates"]]
    design, reason = Design.unpack(inputs["design"]), inputs["choice"].meta["reason"]
    return null_test(design, blocks, surrogates=surrogates, seed=settings["seed"], reason=reason).pack()


def find(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """List the features that survived correction, strongest first, with place and latency."""
    from brainalign.mapping import group_score

    test = NullTest.unpack(inputs["test"])
    maps = [EncodingResult.unpack(item) for item in inputs["maps"]]
    coef = np.mean([item.coef for item in maps], axis=0)
    score = group_score(maps)
    rows = []
    for f in np.flatnonzero(test.p_corrected.min(axis=1) <= settings["level"]):
        best = int(test.z[f].argmax())
        rows.append(
            {
                "feature": test.features[f],
                "channel": test.channels[best],
                "n_channels": int((test.p_corrected[f] <= settings["level"]).sum()),
                "r": float(score[f, best]),
                "z": float(test.z[f, best]),
                "p_corrected": float(test.p_corrected[f, best]),
                "latency": _peak_inside(coef[f, :, best], maps[0].lags),
            }
        )
    return Artefact("findings", {"found": sorted(rows, key=lambda row: -row["z"]), "level": settings["level"]})


def _peak_inside(response: np.ndarray, lags: Lags) -> float | None:
    """Return the latency of the peak in seconds, or None if the response has none inside the window."""
    from brainalign.encoding.peaks import peak_latency

    latency = peak_latency(response, lags)
    return latency if lags.seconds[0] < latency < lags.seconds[-1] else None


def contribute(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Measure what each found feature adds, in one listener, to a model with acoustics and the other found ones."""
    from brainalign.encoding.joint import unique_contributions

    names = [row["feature"] for row in inputs["findings"].meta["found"][: settings["n_candidates"]]]
    design = Design.unpack(inputs["design"])
    if not names:
        return Artefact("unique", {"features": []}, {"full": np.zeros(len(design.channels))})
    columns = np.array([design.features.index(name) for name in names])
    acoustics = dict(zip(settings["stimuli"], map(Trajectory.unpack, inputs["acoustics"]), strict=True))
    trials = tuple(_with_baseline(trial, acoustics[trial.name], columns) for trial in design.trials)
    kept = trials[0].x.n_features - len(columns)
    joint = Design(trials, design.lags, design.channels, design.positions, subject=design.subject)
    found = unique_contributions(joint, kept=kept, n_folds=settings["n_folds"])
    return Artefact("unique", {"features": names, "baselines": kept}, {"full": found.full, "unique": found.unique})


def _with_baseline(trial: Trial, acoustics: Trajectory, columns: np.ndarray) -> Trial:
    start = acoustics.axis.index(trial.axis.t0)
    baseline = acoustics.frames(start, start + trial.axis.n)
    return Trial(trial.name, beside(baseline, trial.x.select(columns)), trial.y, trial.mask)


SELECT = Stage("select", 2, select)
OFFER = Stage("offer", 1, offer)
ANSWER_KEY = Stage("answer-key", 1, answer_key)
ALIGN = Stage("align", 2, align_listener)
MAP = Stage("map", 1, map_listener)
CHOOSE = Stage("choose-null", 1, choose_null)
DRAW = Stage("draw", 1, draw_surrogates)
SCORE = Stage("score", 1, score_block)
TEST = Stage("test", 3, correct_group)
FIND = Stage("find", 1, find)
CONTRIBUTE = Stage("contribute", 1, contribute)
