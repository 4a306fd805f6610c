"""Which frames count? Stretches of time without the silence and the padding between them.

A stretch is a trajectory on the exact clock of its own frames, so that what is left out
never makes neighbours of frames that were none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brainalign.core.errors import ShapeMismatch
from brainalign.core.trajectory import Trajectory


def stretches(trajectory: Trajectory, keep: np.ndarray) -> tuple[Trajectory, ...]:
    """Return the uninterrupted stretches of the frames that count, each on its own clock.

    Parameters
    ----------
    trajectory
        Dense or sparse frames.
    keep
        Which frames count, bool, shape ``(n_frames,)``.
    """
    return tuple(trajectory.frames(start, stop) for start, stop in _bounds(trajectory, keep))


def kept_rows(trajectory: Trajectory, keep: np.ndarray | None, *, start: int) -> tuple[np.ndarray, list[list[Any]]]:
    """Return the rows that count, and ``[first, stop, axis]`` of each stretch where rows go to ``start`` on."""
    parts = [(0, trajectory.axis.n)] if keep is None and trajectory.axis.n else []
    if keep is not None:
        parts = _bounds(trajectory, keep)
    rows = np.concatenate([np.arange(a, b) for a, b in parts]) if parts else np.zeros(0, dtype=np.int64)
    table: list[list[Any]] = []
    for a, b in parts:
        table.append([start, start + b - a, trajectory.axis.part(a, b).to_json()])
        start += b - a
    return rows, table


def _bounds(trajectory: Trajectory, keep: np.ndarray) -> list[tuple[int, int]]:
    mask = np.asarray(keep)
    if mask.dtype != bool or mask.shape != (trajectory.axis.n,):
        raise ShapeMismatch(
            "a mask holds one truth value per frame",
            got=f"{mask.dtype} {mask.shape} for {trajectory.axis.n} frames",
            fix="give a bool array on the trajectory's own clock",
        )
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
