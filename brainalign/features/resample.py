"""How does a trajectory get onto another clock? Dense ones by interpolation; sparse ones stay."""

from __future__ import annotations

from dataclasses import replace

from brainalign.core.errors import GridMismatch
from brainalign.core.resample import resample
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory


def resample_trajectory(trajectory: Trajectory, axis: TimeAxis) -> Trajectory:
    """Bring a dense trajectory onto another clock, without aliasing.

    Parameters
    ----------
    trajectory
        Dense features.
    axis
        The wanted clock, inside the trajectory's span.

    Returns
    -------
    Trajectory
        Same features at the times of ``axis``.
    """
    if trajectory.axis == axis:
        return trajectory
    if trajectory.is_sparse:
        raise GridMismatch(
            "a sparse trajectory cannot be resampled and stay sparse",
            got=f"{trajectory.axis}, wanted {axis}",
            fix="bring the EEG to the frame grid instead: brainalign.align does so by itself",
        )
    values = resample(trajectory.values, trajectory.axis, axis)
    provenance = trajectory.provenance.then("resample_trajectory", axis=axis.to_json())
    return replace(trajectory, values=values, axis=axis, provenance=provenance)
