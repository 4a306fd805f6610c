"""How good is a sparse coder? Sparsity, what it explains, and how much of it is alive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.arrays import read_only
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.stream import blocks, survey


@dataclass(frozen=True, eq=False)
class SaeQuality:
    """A coder's quality on a corpus.

    Parameters
    ----------
    l0
        Mean number of active features per frame.
    explained_variance
        ``1 - sum |x - x_hat|^2 / sum |x - corpus mean|^2``: one global variance, accumulated
        over the corpus and not averaged over batches.
    normalised_mse
        ``sum |x - x_hat|^2 / sum |x|^2`` (flattering where the mean frame is far from zero).
    cosine
        Mean over frames of the cosine between x and x_hat.
    alive_share
        Share of features active at least once on this corpus.
    n_frames
        Number of frames.
    density
        Share of frames in which each feature is active, shape ``(d_sae,)``.
    """

    l0: float
    explained_variance: float
    normalised_mse: float
    cosine: float
    alive_share: float
    n_frames: int
    density: np.ndarray


def measure_sae(coder: SparseCoder, trajectories: Trajectory | Sequence[Trajectory]) -> SaeQuality:
    """Measure a coder on dense frames of its layer, in blocks."""
    frames = (trajectories,) if isinstance(trajectories, Trajectory) else tuple(trajectories)
    corpus = survey(frames)
    if corpus.d_in != coder.d_in:
        raise ShapeMismatch(
            "the trajectories do not fit the coder",
            got=f"{corpus.d_in} features, the coder reads {coder.d_in}",
            fix="give frames of the encoder and layer that the coder was trained on",
        )
    if corpus.variance <= 1e-12 * corpus.mean_square_norm:
        raise ValueProblem("frames that never change have no variance to explain", got="0", fix="give other frames")
    error, cosine, counts = 0.0, 0.0, np.zeros(coder.d_sae, dtype=np.int64)
    for x in blocks(frames):
        features = coder.encode(x)
        counts += np.bincount(features.indices, minlength=coder.d_sae)
        x_hat = coder.decode(features).astype(np.float64)
        error += float(np.square(x - x_hat).sum())
        cosine += float(_cosines(x.astype(np.float64), x_hat).sum())
    n = corpus.n_frames
    return SaeQuality(
        l0=int(counts.sum()) / n,
        explained_variance=1 - error / (n * corpus.variance),
        normalised_mse=error / (n * corpus.mean_square_norm),
        cosine=cosine / n,
        alive_share=float(np.mean(counts > 0)),
        n_frames=n,
        density=read_only(counts / n),
    )


def _cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, 0 where one of them is zero."""
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.einsum("ij,ij->i", x, y) / np.where(norms > 0, norms, 1.0)
