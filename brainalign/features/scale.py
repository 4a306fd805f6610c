"""How are features brought to one size without losing their zeros? Division only, never centring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from brainalign.core.arrays import require_shape
from brainalign.core.errors import ValueProblem
from brainalign.core.trajectory import Trajectory, Values
from brainalign.features.select import require_same_features


def feature_maxima(trajectories: Sequence[Trajectory]) -> np.ndarray:
    """Return each feature's largest absolute value over all the trajectories, shape ``(n_features,)``."""
    require_same_features(trajectories)
    return np.max([_maxima(trajectory.values) for trajectory in trajectories], axis=0)


def _maxima(values: Values) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return np.abs(values).max(axis=0, initial=0)
    top = np.zeros(values.shape[1], dtype=np.float32)
    np.maximum.at(top, values.indices, np.abs(values.data))
    return top


def unit_maximum(trajectories: Sequence[Trajectory], *, maxima: np.ndarray | None = None) -> tuple[Trajectory, ...]:
    """Divide each feature by its maximum, one maximum for all trials.

    Parameters
    ----------
    trajectories
        Trials with the same features.
    maxima
        What to divide by, e.g. `feature_maxima` of the training trials; by default that of the
        trials given. Features that are zero throughout stay zero.

    Returns
    -------
    tuple of Trajectory
        Sparse stays sparse.
    """
    require_same_features(trajectories)
    scale = np.asarray(feature_maxima(trajectories) if maxima is None else maxima, dtype=np.float32)
    require_shape(scale.shape, (trajectories[0].n_features,), name="maxima", axes="features")
    if np.any(scale < 0) or not np.all(np.isfinite(scale)):
        raise ValueProblem("maxima must be finite and not negative", got=scale.min(), fix="use feature_maxima")
    divisor = np.where(scale > 0, scale, np.float32(1))
    return tuple(
        replace(item, values=_divided(item.values, divisor), provenance=item.provenance.then("unit_maximum"))
        for item in trajectories
    )


def _divided(values: Values, divisor: np.ndarray) -> Values:
    if isinstance(values, np.ndarray):
        return values / divisor
    parts = (values.data / divisor[values.indices], values.indices, values.indptr)
    return sparse.csr_array(parts, shape=values.shape)
