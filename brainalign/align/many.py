"""How do many recordings become designs? Every listener's runs side by side, for one set of features or many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from brainalign.align.build import align
from brainalign.align.split import SameSound, require_one_name_per_sound
from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import Number
from brainalign.core.trajectory import Trajectory

Stories = Mapping[str, Trajectory]
Heard = Callable[[Recording], Mapping[str, Number]]


def align_many(
    features: Stories,
    recordings: Sequence[Recording],
    *,
    lags: tuple[Number, Number] = (-0.1, 0.5),
    trim: Number = 0.0,
    heard: Heard | None = None,
    same_sound: SameSound = "refuse",
) -> list[Design]:
    """Put features beside all recordings: one design per listener, a listener's runs joined.

    Parameters
    ----------
    features
        Stimulus name -> features, of all stimuli.
    recordings
        In any order. A recording's annotations say which of the stimuli began when, unless ``heard`` does.
    lags, trim
        As `brainalign.align.build.align` has them.
    heard
        Returns, for a recording, stimulus name -> onset in seconds, where annotations do not tell: for runs that
        begin with their sound, ``lambda recording: {f"audio{recording.run}": 0}``.
    same_sound
        What to do if two names stand for the same features: refuse, or allow.

    Returns
    -------
    list of Design
        In the order in which listeners first appear; trials in the order of sessions, runs and hearing.
    """
    if not recordings:
        raise ValueProblem("there are no recordings to align", got="none", fix="give one Recording per run")
    require_one_name_per_sound(features.items(), same_sound=same_sound)
    order = {subject: i for i, subject in enumerate(dict.fromkeys(item.subject for item in recordings))}
    ranked = sorted(recordings, key=lambda item: (order[item.subject], _natural(item.session), _natural(item.run)))
    parts = [_one(features, item, lags=lags, trim=trim, heard=heard) for item in ranked]
    if unheard := sorted(set(features) - {trial.name for part in parts for trial in part.trials}):
        known = ", ".join(sorted({name for item in ranked for name in item.onsets})[:8]) or "none"
        raise UnknownName(
            "nobody heard some of the stimuli",
            got=", ".join(unheard[:8]),
            fix=f"leave their features out, or name the annotations after the stimuli. Annotations: {known}",
        )
    return [join(list(runs)) for _, runs in groupby(parts, key=lambda part: part.subject)]


def join(runs: Sequence[Design]) -> Design:
    """Join the runs of one listener: their trials stand one after another, and are never concatenated.

    Parameters
    ----------
    runs
        Designs of one listener with the same features, lags and channels.
    """
    first = runs[0]
    for run in runs[1:]:
        for what in ("subject", "lags", "channels", "features"):
            if getattr(run, what) != getattr(first, what):
                raise ShapeMismatch(
                    f"runs that are joined must have the same {what}",
                    got=f"{_told(getattr(first, what))} and {_told(getattr(run, what))}",
                    fix="interpolate bad channels instead of dropping them, and align all runs alike",
                )
    if len(runs) == 1:
        return first
    trials = tuple(trial for run in runs for trial in run.trials)
    provenance = first.provenance.then("join", runs=[run.provenance.to_json() for run in runs[1:]])
    return replace(first, trials=trials, provenance=provenance)


def _one(
    features: Stories, recording: Recording, *, lags: tuple[Number, Number], trim: Number, heard: Heard | None
) -> Design:
    told = None if heard is None else heard(recording)
    known = recording.onsets if told is None else told
    own = {name: features[name] for name in features if name in known}
    if not own:
        raise UnknownName(
            f"none of the stimuli was heard in {recording.label}",
            got=", ".join(sorted(known)[:8]) or "no annotations",
            fix=f"name the annotations after the stimuli ({', '.join(sorted(features)[:4])}...), or give heard=",
        )
    given = None if told is None else {name: told[name] for name in own}
    return align(own, recording, lags=lags, trim=trim, onset=given)


def _natural(name: str) -> tuple[int, str]:
    """Sort 2 before 10."""
    return (int(name), "") if name.isdigit() else (0, name)


def _told(value: object) -> str:
    text = str(value)
    return text if len(text) < 80 else f"{text[:77]}..."
