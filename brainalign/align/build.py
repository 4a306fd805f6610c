"""Which response belongs to which frames? From features and a recording to a `Design`.

Every stimulus' onset becomes an exact clock, the EEG is evaluated at the frame centres,
and each hearing becomes a trial of its own. The features are not touched: sparse ones
stay sparse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np

from brainalign.align.clock import ListeningClock
from brainalign.align.grid import outside_spans, response_on_grid
from brainalign.core.arrays import require_shape
from brainalign.core.design import Design, Trial
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import Lags, Number, exact
from brainalign.core.trajectory import Trajectory

BRAIN_KINDS = ("eeg", "csd", "mag", "grad", "seeg", "ecog", "dbs")
ONLY_STIMULUS = "stimulus"

Features = Trajectory | Mapping[str, Trajectory]
Onset = Number | Mapping[str, Number] | None
Mask = np.ndarray | Mapping[str, np.ndarray] | None


@dataclass(frozen=True)
class _Hearing:
    """One stimulus, heard once."""

    name: str
    clock: ListeningClock


def align(
    features: Features,
    recording: Recording,
    *,
    lags: tuple[Number, Number] = (-0.1, 0.5),
    onset: Onset = None,
    name: str | None = None,
    trim: Number = 0.0,
    mask: Mask = None,
    drift: Number | Mapping[str, Number] = 0,
) -> Design:
    """Put features beside the response that followed them.

    Parameters
    ----------
    features
        One stimulus' features, or stimulus name -> features. Frame times are frame
        centres in stimulus time.
    recording
        The response. Its brain channels (EEG, MEG, intracranial) are used, EOG and
        triggers are not. None of them may be marked bad.
    lags
        First and last lag of the model, in seconds; positive means the stimulus came first.
    onset
        When the stimulus began, in seconds of the recording (or stimulus name -> seconds).
        Left out, the recording's annotations named after the stimuli say it; annotations
        of other names are ignored. A stimulus annotated twice gives two trials of its name.
    name
        The stimulus' name, if ``features`` is a single trajectory.
    trim
        Seconds cut from both ends of each trial, in which the response to the sound's
        onset and end stands: ``ceil(trim * rate)`` frames, so that the rest stays on its grid.
    mask
        Frames that may be used, shape ``(n_frames,)`` before trimming, bool (or stimulus
        name -> mask).
    drift
        How much longer a stimulus second lasts on the recording's clock, as a share (or stimulus name -> share;
        stimuli left out have none).

    Returns
    -------
    Design
        Trials in the order of hearing; ``x`` on its own frames in stimulus time, ``y`` in
        volts, float32 (microvolts are 1e-6 and their squares 1e-12: far from float32's
        smallest number, 1e-38).

    Notes
    -----
    Nothing is scaled or centred here: that is learnt on training trials only. Frames within the recording's
    bad spans are masked; the trial keeps its length and its clock.
    """
    named = _named(features, name)
    masks = _per_stimulus(mask, named, what="mask")
    brain = _brain(recording)
    hearings = _hearings(named, recording, onset=onset, drift=drift)
    trials = tuple(
        _trial(item, named[item.name], brain, trim=exact(trim), mask=masks.get(item.name)) for item in hearings
    )
    rates = sorted({trajectory.axis.rate for trajectory in named.values()})
    window = Lags.from_seconds(lags[0], lags[1], rate=_one_rate(rates))
    heard = {item.name: [h.clock.onset for h in hearings if h.name == item.name] for item in hearings}
    return Design(
        trials=trials,
        lags=window,
        channels=brain.channels,
        positions=brain.positions,
        subject=recording.subject,
        provenance=recording.provenance.then("align", onsets=heard, trim=exact(trim), drift=_told(drift), lags=window),
    )


def _named(features: Features, name: str | None) -> Mapping[str, Trajectory]:
    if isinstance(features, Trajectory):
        return {name or ONLY_STIMULUS: features}
    if name is not None:
        raise ValueProblem(
            "name= goes with a single trajectory", got=f"{name!r} and {len(features)} stimuli", fix="leave name= out"
        )
    if not features:
        raise ValueProblem("there are no features to align", got="an empty mapping", fix="give stimulus -> Trajectory")
    return features


def _per_stimulus(value: object, named: Mapping[str, Trajectory], *, what: str) -> Mapping[str, Any]:
    """Read an option that is given once (for a single stimulus) or by stimulus name."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - set(named))
        if unknown:
            raise UnknownName(f"{what}= names stimuli without features", got=unknown, fix=f"use {sorted(named)[:8]}")
        return value
    if len(named) > 1:
        raise ValueProblem(
            f"one {what} cannot serve several stimuli",
            got=f"{len(named)} stimuli",
            fix=f"give {what}= as a mapping from stimulus name to {what}",
        )
    return dict.fromkeys(named, value)


def _one_rate(rates: Sequence[Fraction]) -> Fraction:
    if len(rates) > 1:
        raise ValueProblem(
            "all stimuli's features must have one rate",
            got=f"{', '.join(str(rate) for rate in rates)} Hz",
            fix="bring them onto one rate with brainalign.core.resample.resample",
        )
    return rates[0]


def _brain(recording: Recording) -> Recording:
    """Return the recording's brain channels, none of them bad."""
    kept = [i for i, kind in enumerate(recording.kinds) if kind in BRAIN_KINDS]
    if not kept:
        raise ValueProblem(
            f"{recording.label} has no brain channels",
            got=f"kinds {sorted(set(recording.kinds))}",
            fix=f"set the channels' types; these are used: {', '.join(BRAIN_KINDS)}",
        )
    channels = tuple(recording.channels[i] for i in kept)
    bads = [name for name in recording.bads if name in channels]
    if bads:
        raise ValueProblem(
            f"{recording.label} still has bad channels",
            got=", ".join(bads),
            fix="interpolate them with brainalign.eeg.clean, or drop them from every recording alike",
        )
    if len(kept) == len(recording.channels):
        return recording
    return replace(
        recording,
        values=recording.values[:, kept],
        channels=channels,
        kinds=tuple(recording.kinds[i] for i in kept),
        positions=recording.positions[kept],
        bads=(),
    )


def _hearings(
    named: Mapping[str, Trajectory], recording: Recording, *, onset: Onset, drift: Number | Mapping[str, Number]
) -> tuple[_Hearing, ...]:
    """List which stimulus was heard when, in order of time."""
    given = {key: (exact(time),) for key, time in _per_stimulus(onset, named, what="onset").items()}
    marked = {key: recording.onsets[key] for key in named if key in recording.onsets}
    onsets = marked | given
    missing = sorted(set(named) - set(onsets))
    if missing:
        known = ", ".join(sorted(recording.onsets)[:8]) or "none"
        raise UnknownName(
            f"{recording.label}: {len(missing)} of {len(named)} stimuli have no onset",
            got=", ".join(missing),
            fix=f"name the annotations after the stimuli, or give onset= (and name=). Annotations: {known}",
        )
    found = [(time, key) for key, times in onsets.items() for time in times]
    paces = _per_stimulus(drift, named, what="drift") if isinstance(drift, Mapping) else dict.fromkeys(named, drift)
    return tuple(_Hearing(key, ListeningClock(time, paces.get(key, 0))) for time, key in sorted(found))


def _told(drift: Number | Mapping[str, Number]) -> object:
    return {key: exact(share) for key, share in drift.items()} if isinstance(drift, Mapping) else exact(drift)


def _trial(
    hearing: _Hearing, features: Trajectory, recording: Recording, *, trim: Fraction, mask: np.ndarray | None
) -> Trial:
    cut = ceil(trim * features.axis.rate)
    if trim < 0 or 2 * cut >= features.axis.n:
        raise ValueProblem(
            f"trim= must leave something of {hearing.name!r}",
            got=f"{float(trim):g} s from both ends of {float(features.axis.duration):g} s",
            fix="trim less, or leave this stimulus out",
        )
    usable = np.ones(features.axis.n, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    require_shape(usable.shape, (features.axis.n,), name=f"mask of {hearing.name!r}", axes="frames before trimming")
    stop = features.axis.n - cut
    x = features.frames(cut, stop)
    heard = hearing.clock.on_recording(x.axis)
    y = response_on_grid(recording, heard, name=repr(hearing.name))
    return Trial(hearing.name, x, y, usable[cut:stop] & outside_spans(recording.bad_spans, heard))
