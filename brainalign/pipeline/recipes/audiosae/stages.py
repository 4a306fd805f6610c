"""The paper's steps, one stage each: features drawn and scaled, one electrode, response functions, tests."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.design import Design, Trial
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.seeds import generator
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.recipes.audiosae.schema import EegPart
from brainalign.pipeline.recipes.audiosae.split import Piece, minutes, split_pieces
from brainalign.pipeline.stage import Stage
from brainalign.pipeline.stages.listening import read_recording


def draw(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Draw features at random among those active often enough, and take the maximum of each over all stories."""
    from brainalign.features.scale import feature_maxima
    from brainalign.features.select import active_features

    codes = [Trajectory.unpack(item) for item in inputs["codes"]]
    active = active_features(codes, min_per_second=settings["min_per_second"], counting=settings["activity"])
    if not len(active):
        raise ValueProblem(
            "no feature is active often enough",
            got=f"none of {codes[0].n_features} at {settings['min_per_second']} per second",
            fix="lower features.min_per_second, or look at the coder's quality",
        )
    n_drawn = min(settings["n_drawn"], len(active))
    columns = np.sort(generator(settings["seed"], "drawn-features").permutation(active)[:n_drawn]).astype(np.int64)
    maxima = feature_maxima([item.select(columns) for item in codes])
    meta = {"n_features": codes[0].n_features, "n_active": len(active), "n_drawn": n_drawn}
    return Artefact("selection", meta, {"columns": columns, "maxima": maxima})


def prepare_features(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Divide one story's features by their maxima and bring them to the common rate."""
    from brainalign.features.resample import upsample_trajectory
    from brainalign.features.scale import unit_maximum

    drawn = inputs["selection"].arrays
    codes = Trajectory.unpack(inputs["codes"]).select(drawn["columns"])
    (scaled,) = unit_maximum([codes], maxima=drawn["maxima"])
    if settings["frame_time"] == "start":
        scaled = replace(scaled, axis=scaled.axis.moved(-scaled.axis.t0))
    return upsample_trajectory(scaled, settings["rate"], method=settings["upsampling"]).pack()


def prepare_electrode(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Clean one recording, keep one electrode of it, and scale that by median and inter-quartile range."""
    from brainalign.eeg.clean import RobustScale, clean

    part: EegPart = settings["eeg"]
    given = inputs.get("recording") or read_recording(settings["reading"], {}, files=files, progress=progress)
    cleaned = clean(Recording.unpack(given), _cleaning(part))
    return clean(_electrode(cleaned, part.electrode), [RobustScale(), *_resampling(part)]).pack()


def _cleaning(part: EegPart) -> list[Any]:
    from brainalign.eeg.clean import BadChannels, BandPass, Butterworth, Interpolate, LineNoise, Reference

    filters = {
        "fir": BandPass(low=part.low, high=part.high),
        "butterworth": Butterworth(part.low, part.high, part.order),
        "butterworth-forward": Butterworth(part.low, part.high, part.order, phase="forward"),
    }
    steps = [
        LineNoise(frequencies=part.line) if part.line else None,
        BadChannels() if part.bad_channels else None,
        filters[part.filter],
        Interpolate(),
        None if part.reference == "none" else Reference(part.reference),
    ]
    return [step for step in steps if step is not None]


def _resampling(part: EegPart) -> list[Any]:
    from brainalign.eeg.clean import Resample

    return [] if part.resampler == "sinc" else [Resample(part.rate, method=part.resampler)]


def _electrode(recording: Recording, names: tuple[str, ...]) -> Recording:
    """Return the recording with one channel: the first of some names that it has."""
    found = [name for name in names if name in recording.channels]
    if not found:
        raise UnknownName(
            f"{recording.label} has none of the electrodes asked for",
            got=", ".join(names),
            fix=f"name one of its own in eeg.electrode: {', '.join(recording.channels[:8])}, ...",
        )
    at = recording.channels.index(found[0])
    return replace(
        recording,
        values=recording.values[:, at : at + 1],
        channels=(found[0],),
        kinds=(recording.kinds[at],),
        positions=recording.positions[at : at + 1],
        bads=(),
        provenance=recording.provenance.then("electrode", name=found[0]),
    )


def lay_beside(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Put one listener's electrode beside the features of all stories, in the stories' order."""
    from brainalign.align.build import align

    stories, window = settings["stories"], (settings["tmin"], settings["tmax"])
    features = dict(zip(stories, map(Trajectory.unpack, inputs["features"]), strict=True))
    recordings = [Recording.unpack(item) for item in inputs["electrodes"]]
    parts = [
        align({name: features[name] for name in onsets}, recording, lags=window, onset=onsets)
        for recording, onsets in _onsets(recordings, stories, onset=settings["onset"])
    ]
    by_story = {trial.name: trial for part in parts for trial in part.trials}
    trials = tuple(by_story[name] for name in stories)
    lags = Lags.from_seconds(*window, rate=trials[0].axis.rate, rounding="outward")
    first = parts[0]
    # Caps name the same place differently; listeners can only be put together under one name.
    name = (settings["electrode"],)
    return Design(trials, lags, name, first.positions, subject=settings["subject"], provenance=first.provenance).pack()


def _onsets(
    recordings: list[Recording], stories: tuple[str, ...], *, onset: float | None
) -> list[tuple[Recording, dict[str, Any]]]:
    """Return each recording with its stories' onsets: marked in one recording of all, or given for one each."""
    if onset is None:
        (recording,) = recordings
        return [(recording, {name: recording.onset(name) for name in stories})]
    return [(recording, {name: onset}) for recording, name in zip(recordings, stories, strict=True)]


def respond(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Fit every feature's response function for all listeners at once: they are the channels of one design.

    All heard the same sounds on the same clock, so what depends on the features alone is worked out once.
    """
    from brainalign.encoding.mtrf_maps import mtrf_maps

    designs = [Design.unpack(item) for item in inputs["designs"]]
    rate = designs[0].lags.rate
    pieces = _pieces(designs[0], settings["split"], part=settings["part"])
    groups = [[piece] for piece in pieces] if settings["apart"] else [pieces]
    weights = []
    for done, group in enumerate(groups):
        progress(done, len(groups), "response functions")
        weights.append(mtrf_maps(_together(designs, group), settings["regularization"], kind=settings["kind"]))
    meta = {"minutes": minutes(pieces, rate), "n_parts": len(groups), "lags": designs[0].lags.to_json()}
    return Artefact("response-functions", meta, {"weights": np.stack(weights, axis=-1)})


def _pieces(design: Design, split: Any, *, part: str) -> list[Piece]:
    rate: Fraction = design.lags.rate
    development, test = split_pieces([trial.axis.n for trial in design.trials], split, rate=rate)
    return development if part == "development" else test


def _together(designs: list[Design], pieces: list[Piece]) -> Design:
    trials = []
    for piece in pieces:
        cut = slice(piece.start, piece.stop)
        mine = [design.trials[piece.story] for design in designs]
        y = np.hstack([trial.y[cut] for trial in mine])
        trials.append(Trial(mine[0].name, mine[0].x.frames(piece.start, piece.stop), y, mine[0].mask[cut]))
    subjects = tuple(design.subject for design in designs)
    return Design(tuple(trials), designs[0].lags, subjects, np.full((len(designs), 3), np.nan))


def judge_lags(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Choose each feature's lags on development data and test the weights there on test data."""
    from brainalign.stats.lagtests import lag_tests

    development = np.asarray(inputs["development"].arrays["weights"])[..., 0]
    test = np.asarray(inputs["test"].arrays["weights"])
    found = lag_tests(development, test, lags_from=settings["lags_from"], family=settings["family"])
    arrays = {name: getattr(found, name) for name in ("lags", "mean", "t", "p", "p_adjusted")}
    meta = {"dof": found.dof, "lags": inputs["test"].meta["lags"]}
    arrays |= {"development": development.mean(axis=2), "response": test.mean(axis=3)}
    return Artefact("lag-tests", meta, arrays)


DRAW = Stage("audiosae-draw", 1, draw)
FEATURES = Stage("audiosae-features", 1, prepare_features)
ELECTRODE = Stage("audiosae-electrode", 1, prepare_electrode)
BESIDE = Stage("audiosae-beside", 1, lay_beside)
RESPOND = Stage("audiosae-respond", 1, respond)
LAG_TESTS = Stage("audiosae-lag-tests", 1, judge_lags)
