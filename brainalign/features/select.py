"""Which features are worth a model? Those active often enough, those that vary most, or those of some layers.

All give column numbers in rising order, learnt over all the trajectories together, for
`Trajectory.select`: give training trials only where it matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.trajectory import Trajectory

Counting = Literal["frames", "onsets"]
# Values looked at at once.
_BLOCK = 1 << 20


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


def variable_features(
    trajectories: Sequence[Trajectory], *, n: int | None = None, share: float | None = None
) -> np.ndarray:
    """Return the features that vary most over time, over all the trajectories together.

    Variance is taken in the features' own units around the mean of all frames; of equal ones the
    lower column comes first.

    Parameters
    ----------
    trajectories
        Trials with the same features.
    n
        How many to return; there must be as many that vary.
    share
        How many to return, as a share of those that vary at all, above 0 and at most 1 (rounded up). Give
        this or ``n``.

    Returns
    -------
    numpy.ndarray
        Column numbers in rising order, for `Trajectory.select`.
    """
    if (n is None) == (share is None):
        raise ValueProblem("how many features is said in one way", got=f"{n=}, {share=}", fix="give n or share")
    if share is not None and not 0 < share <= 1:
        raise ValueProblem("a share lies above 0 and is at most 1", got=share, fix="give for example share=0.1")
    variance = feature_variances(trajectories)
    n_variable = int(np.count_nonzero(variance > 0))
    wanted = n if n is not None else math.ceil(float(share or 0) * n_variable)
    if not 0 <= wanted <= n_variable:
        raise ValueProblem(
            "there are not that many features that vary",
            got=f"n={wanted}, {n_variable} of {variance.size} vary",
            fix="ask for fewer, or for a share",
        )
    return np.sort(np.argsort(-variance, kind="stable")[:wanted])


def feature_variances(trajectories: Sequence[Trajectory]) -> np.ndarray:
    """Return each feature's variance over all frames of all trajectories, float64, shape ``(n_features,)``."""
    require_same_features(trajectories)
    n_frames = max(1, sum(item.axis.n for item in trajectories))
    mean = _summed(trajectories, np.zeros(trajectories[0].n_features), power=1) / n_frames
    return _summed(trajectories, mean, power=2) / n_frames


def _summed(trajectories: Sequence[Trajectory], centre: np.ndarray, *, power: int) -> np.ndarray:
    """Return each feature's sum of ``(value - centre) ** power`` in blocks; zeros that are not stored count too."""
    total = np.zeros(centre.size)
    for item in trajectories:
        if isinstance(item.values, np.ndarray):
            for rows in np.array_split(item.values, max(1, item.values.size // _BLOCK)):
                total += ((rows.astype(float) - centre) ** power).sum(axis=0)
        else:
            total += _summed_sparse(item.values, centre, power=power)
    return total


def _summed_sparse(values: sparse.csr_array, centre: np.ndarray, *, power: int) -> np.ndarray:
    n_stored, total = np.zeros(centre.size), np.zeros(centre.size)
    for start in range(0, len(values.data), _BLOCK):
        columns = values.indices[start : start + _BLOCK]
        parts = (values.data[start : start + _BLOCK].astype(float) - centre[columns]) ** power
        total += np.bincount(columns, weights=parts, minlength=centre.size)
        n_stored += np.bincount(columns, minlength=centre.size)
    return total + (values.shape[0] - n_stored) * (-centre) ** power


def layer_features(trajectory: Trajectory, layers: Sequence[str]) -> np.ndarray:
    """Return the features of some layers or sites, where those of several stand beside each other.

    A feature's layer is its name without the last hyphen and what follows: ``"layer9"`` for ``"layer9-17"``,
    ``"layer9-mlp"`` for ``"layer9-mlp-17"``, ``"sae"`` for ``"sae-17"``.

    Parameters
    ----------
    trajectory
        For example what `brainalign.core.trajectory.beside` gave.
    layers
        Their names; a layer's own name does not mean its other sites.

    Returns
    -------
    numpy.ndarray
        Column numbers in rising order, for `Trajectory.select`.
    """
    groups = [name.rpartition("-")[0] for name in trajectory.features]
    for layer in layers:
        if layer not in groups:
            raise unknown_name(layer, among=set(groups), kind="layer")
    wanted = set(layers)
    return np.flatnonzero([group in wanted for group in groups])


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
