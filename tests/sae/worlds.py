"""A planted dictionary: sparse Zipf-distributed causes, mixed by known directions, far off the origin."""

from dataclasses import dataclass

import numpy as np

from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory


@dataclass(frozen=True)
class Planted:
    """What was planted, and the frames that hold it."""

    directions: np.ndarray
    trajectories: tuple[Trajectory, ...]

    @property
    def frames(self) -> np.ndarray:
        """All frames, shape ``(n_frames, d_in)``."""
        return np.concatenate([item.values for item in self.trajectories])


def as_trajectory(values: np.ndarray) -> Trajectory:
    """Put frames on a 50 Hz clock."""
    names = tuple(f"h{i}" for i in range(values.shape[1]))
    return Trajectory(values.astype(np.float32), TimeAxis(50, len(values), "0.0125"), names)


def planted(seed: int, *, n_frames: int = 24_000) -> Planted:
    """Mix 128 causes, about 5 at a time, into 48 inputs."""
    rng = np.random.default_rng(seed)
    d_in, n_causes, n_active = 48, 128, 5.0
    directions = rng.standard_normal((n_causes, d_in))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chance = np.arange(1, n_causes + 1) ** -0.6
    chance = np.minimum(0.5, n_active * chance / chance.sum())
    causes = (rng.random((n_frames, n_causes)) < chance) * (0.5 + rng.exponential(0.5, (n_frames, n_causes)))
    x = causes @ directions + 3 * rng.standard_normal(d_in) / np.sqrt(d_in)
    x += 0.02 * rng.standard_normal(x.shape)
    return Planted(directions, tuple(as_trajectory(x[start::4]) for start in range(4)))
