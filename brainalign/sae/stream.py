"""What is in a corpus of frames, and how does training pass through it?

Neighbouring frames at 50 Hz are near duplicates, so a batch must mix frames from all over
the corpus: `brainalign.sae.batches` has the shuffling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.units import unit_rows

READ_ROWS = 8_192


@dataclass(frozen=True, eq=False)
class Corpus:
    """What is known of the training frames after one pass.

    Parameters
    ----------
    mean
        Mean frame, float64, shape ``(d_in,)``.
    mean_square_norm
        Mean of ``|x|^2`` over frames (not centred).
    n_frames
        Number of frames.
    """

    mean: np.ndarray
    mean_square_norm: float
    n_frames: int

    @property
    def d_in(self) -> int:
        """Number of inputs."""
        return self.mean.size

    @property
    def scale(self) -> float:
        """The factor that makes the mean squared norm 1."""
        return float(self.mean_square_norm**-0.5)

    @property
    def variance(self) -> float:
        """Mean squared distance to the mean frame, summed over inputs."""
        return self.mean_square_norm - float(self.mean @ self.mean)


def blocks(trajectories: Sequence[Trajectory], *, rows: int = READ_ROWS) -> Iterator[np.ndarray]:
    """Yield every frame once, in order, in blocks of at most ``rows`` rows of one trajectory."""
    for item in trajectories:
        for start in range(0, item.axis.n, rows):
            yield np.asarray(item.values[start : start + rows])


def survey(
    trajectories: Sequence[Trajectory], *, weights: np.ndarray | None = None, unit_frames: bool = False
) -> Corpus:
    """Check a corpus and measure its mean and mean squared norm in one pass.

    Parameters
    ----------
    trajectories
        Dense trajectories of one width.
    weights
        How often a frame of each trajectory counts, shape ``(n_trajectories,)``; once by default.
    unit_frames
        Whether to measure the frames divided by their norms.

    Raises
    ------
    ValueProblem
        No frames, sparse frames, or frames that are all zero.
    ShapeMismatch
        Trajectories of different widths.
    NotFinite
        NaN or infinity among the frames.
    """
    _check_widths(trajectories)
    total, square, mass = np.zeros(trajectories[0].n_features), 0.0, 0.0
    for item, weight in zip(trajectories, np.ones(len(trajectories)) if weights is None else weights, strict=True):
        for number, block in enumerate(blocks([item])):
            require_finite(block, name=f"the corpus (block {number} of a trajectory)", fix="check the encoder's output")
            wide = (unit_rows(block) if unit_frames else block).astype(np.float64)
            total += weight * wide.sum(axis=0)
            square += float(weight * np.einsum("ij,ij->", wide, wide))
        mass += float(weight * item.axis.n)
    n_frames = sum(item.axis.n for item in trajectories)
    if not n_frames or square == 0:
        raise ValueProblem(
            "an SAE needs frames that are not all zero", got=f"{n_frames} frames", fix="check the audio and the layer"
        )
    return Corpus(total / mass, square / mass, n_frames)


def _check_widths(trajectories: Sequence[Trajectory]) -> None:
    if not trajectories:
        raise ValueProblem("an SAE needs at least one trajectory", got="none", fix="give the encoder's trajectories")
    widths = [item.n_features for item in trajectories]
    if len(set(widths)) > 1:
        raise ShapeMismatch(
            "all trajectories must have the same features", got=f"widths {sorted(set(widths))}", fix="use one layer"
        )
    if any(item.is_sparse for item in trajectories):
        raise ValueProblem("an SAE reads dense frames", got="a sparse trajectory", fix="give the encoder's own output")
