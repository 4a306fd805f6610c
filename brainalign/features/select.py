"""Which features say anything at all? Those that are active often enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.trajectory import Trajectory

Counting = Literal["frames", "onsets"]


def active_features(
    trajectories: Sequence[Trajectory], *, min_per_second: float = 1.0, counting: Counting = "frames"
) -> np.ndarray:
    """Return the features that are not zero often enough, over all the trajectories together.

    Parameters
    ----------
    trajectories
        Trials with the same features. Which features are active is learnt from these, so give
        training trials only where it matters.
    min_per_second
        Fewest frames with a value other than zero, per second of sound.
    counting
        What is counted: every such ``"frames"``, or ``"onsets"``, those after a frame (or the
        beginning of the sound) at which the feature was zero.

    Returns
    -------
    numpy.ndarray
        Column numbers in rising order, for `Trajectory.select`.
    """
    require_same_features(trajectories)
    if counting not in COUNTS:
        raise unknown_name(counting, among=COUNTS, kind="way to count activity")
    counts = sum((COUNTS[counting](trajectory) for trajectory in trajectories), start=np.zeros(1, dtype=np.int64))
    seconds = float(sum(trajectory.axis.duration for trajectory in trajectories))
    return np.flatnonzero(counts >= max(min_per_second * seconds, 1))


def _active_frames(trajectory: Trajectory) -> np.ndarray:
    values = trajectory.values
    if isinstance(values, np.ndarray):
        return np.count_nonzero(values, axis=0)
    # Zeros may be stored: only what differs from zero counts.
    return np.bincount(values.indices[values.data != 0], minlength=trajectory.n_features)


def _onsets(trajectory: Trajectory) -> np.ndarray:
    active = sparse.csc_array(trajectory.values)
    active.eliminate_zeros()
    active.sort_indices()
    column = np.repeat(np.arange(trajectory.n_features), np.diff(active.indptr))
    goes_on = (np.diff(active.indices) == 1) & (np.diff(column) == 0)
    starts = np.concatenate([np.ones(min(len(column), 1), dtype=bool), ~goes_on])
    return np.bincount(column[starts], minlength=trajectory.n_features)


COUNTS: Mapping[str, Callable[[Trajectory], np.ndarray]] = {"frames": _active_frames, "onsets": _onsets}


def require_same_features(trajectories: Sequence[Trajectory]) -> None:
    """Refuse an empty sequence, or trajectories whose features differ."""
    if not trajectories:
        raise ValueProblem("at least one trajectory is needed", got="none", fix="give the trials' trajectories")
    first = trajectories[0].features
    for i, trajectory in enumerate(trajectories):
        if trajectory.features != first:
            raise ShapeMismatch(
                "all trajectories must have the same features in the same order",
                got=f"trajectory {i} has {trajectory.n_features}, the first {len(first)}, or their names differ",
                fix="make them with one model, and select the same columns of each",
            )
