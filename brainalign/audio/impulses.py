"""How do words and phonemes become a predictor? Impulses at their onsets, on an exact clock.

An impulse stands at the frame nearest to its onset, or is shared between the two frames
around it so that its centre of gravity lies exactly at its onset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy import sparse

from brainalign.audio.annotations import Events
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.time import TimeAxis, nearest
from brainalign.core.trajectory import Trajectory

OUTSIDE = ("refuse", "drop")
"""What may happen to events that are not on the clock."""


def impulses(
    events: Events,
    *,
    axis: TimeAxis,
    heights: str | Sequence[str] | None = None,
    place: Literal["nearest", "shared"] = "nearest",
    outside: Literal["refuse", "drop"] = "refuse",
    by_label: bool = False,
) -> Trajectory:
    """Turn events into impulses on a clock.

    Parameters
    ----------
    events
        The events.
    axis
        The clock, e.g. a model's frames.
    heights
        Columns that say how high the impulses are, e.g. ``"surprisal"``; 1 by default.
    place
        ``"nearest"``: at the frame nearest to the onset. ``"shared"``: between the two frames
        around it, each the more the nearer it is, so that the mean time is exact.
    outside
        What to do with events whose nearest frame is not on the clock.
    by_label
        One feature per label instead of one for all; the trajectory is sparse then.

    Returns
    -------
    Trajectory
        Features named ``"words"``, ``"words surprisal"`` or ``"phones AH"``. What falls on one
        frame adds up: the sum over time is the sum of the heights.
    """
    if place not in PLACES:
        raise unknown_name(place, among=PLACES, kind="placing of impulses")
    positions = [(onset - axis.t0) * axis.rate for onset in events.onsets]
    inside = np.array([0 <= nearest(position) < axis.n for position in positions], dtype=bool)
    if outside not in OUTSIDE:
        raise unknown_name(outside, among=OUTSIDE, kind="treatment of events outside the clock")
    if outside == "refuse" and not inside.all():
        first = int(np.argmin(inside))
        raise ValueProblem(
            "events lie outside the clock",
            got=f"{np.count_nonzero(~inside)} of {events.n}, the first at {float(events.onsets[first]):g} s, on {axis}",
            fix='check the onsets\' unit and origin, or give outside="drop"',
        )
    kept = events.select(inside)
    frames, weights, owner = PLACES[place](
        [position for position, ok in zip(positions, inside, strict=True) if ok], axis.n
    )
    features, columns, size = _layout(kept, heights=heights, by_label=by_label)
    where = np.broadcast_to(frames[:, None], columns[owner].shape).ravel(), columns[owner].ravel()
    weighted = (weights[:, None] * size[owner]).ravel()
    matrix = sparse.csr_array((weighted, where), shape=(axis.n, len(features)))
    # A word in ten thousand is rare: one feature per label stays sparse.
    values = matrix if by_label else matrix.toarray()
    provenance = events.provenance.then("impulses", heights=heights, place=place, outside=outside, by_label=by_label)
    return Trajectory(values, axis, features, provenance)


def _layout(
    events: Events, *, heights: str | Sequence[str] | None, by_label: bool
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return the features' names, and for every event the columns it goes to and how high, ``(n, n_columns)``."""
    columns = (heights,) if isinstance(heights, str) else tuple(heights or ())
    size = np.column_stack([events.heights(column) for column in columns]) if columns else np.ones((events.n, 1))
    if not by_label:
        names = tuple(f"{events.name} {column}" for column in columns) or (events.name,)
        return names, np.broadcast_to(np.arange(len(names)), size.shape), size
    labels = sorted(set(events.labels))
    kinds = tuple(f" {column}" for column in columns) or ("",)
    number = {label: i for i, label in enumerate(labels)}
    first = np.array([number[label] for label in events.labels], dtype=np.intp) * len(kinds)
    names = tuple(f"{events.name} {label}{kind}" for label in labels for kind in kinds)
    return names, first[:, None] + np.arange(len(kinds)), size


Placed = tuple[np.ndarray, np.ndarray, np.ndarray]


def _nearest(positions: Sequence[Fraction], n: int) -> Placed:
    """Return each event's frame, weight and number."""
    frames = np.array([nearest(position) for position in positions], dtype=np.intp)
    return frames, np.ones(frames.size), np.arange(frames.size)


def _shared(positions: Sequence[Fraction], n: int) -> Placed:
    """Return two frames, weights and numbers per event; before the first and after the last frame, that one twice."""
    before = np.array([math.floor(position) for position in positions], dtype=np.intp)
    late = np.array([float(position - math.floor(position)) for position in positions])
    frames = np.clip(np.concatenate([before, before + 1]), 0, max(0, n - 1))
    return frames, np.concatenate([1 - late, late]), np.tile(np.arange(before.size), 2)


PLACES: dict[str, Callable[[Sequence[Fraction], int], Placed]] = {"nearest": _nearest, "shared": _shared}
"""Where an impulse may stand; every entry takes positions in frames and the number of frames."""
