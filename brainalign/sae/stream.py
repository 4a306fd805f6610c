"""In which order does training see the frames? Shuffled minibatches at bounded memory.

Neighbouring frames at 50 Hz are near duplicates, so a batch must mix frames from all over
the corpus. Short runs of frames are drawn at random over all trajectories into a buffer,
the buffer is permuted and served: reads stay nearly sequential on a memory-mapped corpus,
and a corpus that fits the buffer is permuted perfectly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory

RUN_FRAMES = 64
BUFFER_FRAMES = 65_536
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


def survey(trajectories: Sequence[Trajectory]) -> Corpus:
    """Check a corpus and measure its mean and mean squared norm in one pass.

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
    total, square, n_frames = np.zeros(trajectories[0].n_features), 0.0, 0
    for number, block in enumerate(blocks(trajectories)):
        require_finite(block, name=f"the corpus (block {number} of frames)", fix="check the encoder's output")
        wide = block.astype(np.float64)
        total += wide.sum(axis=0)
        square += float(np.einsum("ij,ij->", wide, wide))
        n_frames += len(block)
    if not n_frames or square == 0:
        raise ValueProblem(
            "an SAE needs frames that are not all zero", got=f"{n_frames} frames", fix="check the audio and the layer"
        )
    return Corpus(total / n_frames, square / n_frames, n_frames)


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


def minibatches(
    trajectories: Sequence[Trajectory],
    *,
    n_batch: int,
    rng: np.random.Generator,
    n_buffer: int = BUFFER_FRAMES,
) -> Iterator[np.ndarray]:
    """Yield shuffled batches without end: each epoch is a new permutation of all frames.

    The batches one after another are the epochs one after another; a batch may span two
    epochs, so that all batches have one size.

    Parameters
    ----------
    trajectories
        Dense trajectories of one width.
    n_batch
        Frames per batch.
    rng
        Where the order comes from.
    n_buffer
        Frames held in memory at once.

    Yields
    ------
    numpy.ndarray
        float32, shape ``(n_batch, d_in)``, a new array each time.
    """
    held: list[np.ndarray] = []
    n_held = 0
    for rows in _shuffled_rows(trajectories, rng=rng, n_buffer=n_buffer):
        held.append(rows)
        n_held += len(rows)
        if n_held < n_batch:
            continue
        joined = np.concatenate(held) if len(held) > 1 else rows
        whole = n_held - n_held % n_batch
        for start in range(0, whole, n_batch):
            yield joined[start : start + n_batch].copy()
        held, n_held = [joined[whole:].copy()], n_held - whole


def _shuffled_rows(
    trajectories: Sequence[Trajectory], *, rng: np.random.Generator, n_buffer: int
) -> Iterator[np.ndarray]:
    """Yield permuted buffers for ever, an epoch's buffers together holding each frame once."""
    runs = [(i, start) for i, item in enumerate(trajectories) for start in range(0, item.axis.n, RUN_FRAMES)]
    per_buffer = max(1, n_buffer // RUN_FRAMES)
    while True:
        order = rng.permutation(len(runs))
        for first in range(0, len(runs), per_buffer):
            chosen = [runs[j] for j in order[first : first + per_buffer]]
            rows = np.concatenate([trajectories[i].values[start : start + RUN_FRAMES] for i, start in chosen])
            yield rows[rng.permutation(len(rows))]
