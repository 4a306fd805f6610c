"""When, in the recording, was each word heard? Tables of words go through the clock that their sound goes through.

The features of a sound reach the recording by `ListeningClock`, its onset and drift. So do its
words: an impulse made from what `heard` returns stands where the features of that moment stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from brainalign.align.checks import Finding
from brainalign.align.clock import ListeningClock
from brainalign.core.errors import GridMismatch
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import Number, exact


class Timed(Protocol):
    """Things with exact onsets in seconds and labels; ``"offset"`` and ``"duration"``, if there, are in seconds."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """What they are."""
        ...

    @property
    def onsets(self) -> tuple[Fraction, ...]:
        """When each began."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """What each was."""
        ...

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """Further columns."""
        ...

    @property
    def provenance(self) -> Provenance:
        """The steps that made them."""
        ...


E = TypeVar("E", bound=Timed)


def heard(events: E, clock: ListeningClock) -> E:
    """Move events from stimulus time to the recording's, by onset and drift, exactly.

    Parameters
    ----------
    events
        Words or phonemes with onsets in seconds from the sound's first sample
        (`brainalign.audio.words.read_words`).
    clock
        When the sound was heard: the one that `align` is given, or that `find_sound` found.

    Returns
    -------
    Timed
        The same events with onsets (and offsets and durations, where they have them) in seconds of the recording.
        `brainalign.audio.impulses.impulses` puts them on the recording's own axis.
    """
    pace = 1 + clock.drift
    columns = dict(events.columns)
    for column, moved in (("offset", clock.recording_time), ("duration", lambda length: pace * exact(length))):
        if column in columns:
            columns[column] = tuple(repr(float(moved(entry))) if entry else "" for entry in columns[column])
    told = events.provenance.then("heard", onset=clock.onset, drift=clock.drift)
    return replace(
        events, onsets=tuple(clock.recording_time(onset) for onset in events.onsets), columns=columns, provenance=told
    )


def with_events(recording: Recording, events: Timed, *, by_label: bool = False) -> Recording:
    """Return a recording with events among its onsets, so that MNE's epochs and other tools find them.

    Parameters
    ----------
    recording
        The recording; it stays as it was, and so do its other onsets.
    events
        In seconds of the recording: what `heard` returns.
    by_label
        Onsets are called ``"words/Alice"`` instead of ``"words"``.
    """
    clock = recording.axis
    outside = [not clock.t0 <= onset < clock.t0 + clock.duration for onset in events.onsets]
    if any(outside):
        first = outside.index(True)
        raise GridMismatch(
            f"{events.name!r} were not all heard within {recording.label}",
            got=f"{sum(outside)} of {len(outside)}, the first at {float(events.onsets[first]):.3f} s of "
            f"{float(clock.t0):.3f} to {float(clock.t0 + clock.duration):.3f} s ({events.labels[first]!r})",
            fix="bring stimulus time to the recording's with heard(events, clock), or check the clock",
        )
    onsets = dict(recording.onsets)
    for onset, label in zip(events.onsets, events.labels, strict=True):
        name = f"{events.name}/{label}" if by_label else events.name
        onsets[name] = (*onsets.get(name, ()), onset)
    told = recording.provenance.then("with_events", name=events.name, n=len(events.onsets), by_label=by_label)
    return replace(recording, onsets={name: tuple(sorted(times)) for name, times in onsets.items()}, provenance=told)


def check_events(
    events: Timed, *, seconds: Number, stimulus: str = "", tolerance: float = 0.005
) -> tuple[Finding, ...]:
    """Look whether a table fits its sound: its end, its order, words that run into the next, words without length.

    Parameters
    ----------
    events
        In seconds from the sound's first sample.
    seconds
        Length of the sound.
    stimulus
        Its name; what the events are called by default.
    tolerance
        What is forgiven, in seconds.

    Returns
    -------
    tuple of Finding
        ``"end"`` (seconds that the last event reaches past the sound), ``"order"`` (largest step backwards from one
        row to the next), ``"overlap"`` (the longest that one event runs into the next) and ``"length"`` (0, and how
        many have none). Nothing is changed.
    """
    who, end = stimulus or events.name, float(exact(seconds))
    starts = np.array([float(onset) for onset in events.onsets])
    stops = _stops(events, starts)
    over = max([0.0, *(stops - end)])
    late = int(np.count_nonzero(starts >= end))
    back = max([0.0, *-np.diff(starts)])
    order = np.argsort(starts, kind="stable")
    into = stops[order][:-1] - starts[order][1:]
    crossing = into[into > 0]
    empty = int(np.count_nonzero(stops <= starts)) if "offset" in events.columns else 0
    usual = f"half of them by {float(np.median(crossing)):.4g} s or more" if crossing.size else "none"
    return (
        Finding(who, "end", float(over), tolerance, f"{late} of {starts.size} begin after the sound's {end:.6g} s"),
        Finding(who, "order", float(back), tolerance, f"{np.count_nonzero(np.diff(starts) < 0)} steps go back in time"),
        Finding(who, "overlap", float(max([0.0, *crossing])), tolerance, f"{crossing.size} reach the next: {usual}"),
        Finding(who, "length", 0.0, tolerance, f"{empty} of {starts.size} have no length"),
    )


def _stops(events: Timed, starts: np.ndarray) -> np.ndarray:
    """Return when each event ended; where nobody says, when it began."""
    told = events.columns.get("offset")
    if told is None:
        return starts
    return np.array([float(entry) if entry else start for entry, start in zip(told, starts, strict=True)])
