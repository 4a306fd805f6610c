"""How good is a sparse coder? Sparsity, what it explains, and how much of it is alive.

All of it is to be measured on sounds that the coder was not trained on: on those it was, a
coder of thousands of features explains what it learnt by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainalign.core.arrays import read_only
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.stream import blocks, survey

RARE = 1e-5
Row = dict[str, Any]


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
    l2_ratio
        Mean over frames of ``|x_hat| / |x|`` (below 1: the reconstruction shrinks).
    l0_counts
        ``l0_counts[i]``: frames with exactly i active features.
    rare_below
        What `rare_share` calls rare, in share of frames.
    """

    l0: float
    explained_variance: float
    normalised_mse: float
    cosine: float
    alive_share: float
    n_frames: int
    density: np.ndarray
    l2_ratio: float
    l0_counts: np.ndarray
    rare_below: float = RARE

    @property
    def dead_share(self) -> float:
        """Share of features never active on this corpus: a longer one would find some of them alive."""
        return 1 - self.alive_share

    @property
    def rare_share(self) -> float:
        """Share of features that are alive, and active in less than ``rare_below`` of the frames."""
        return float(np.mean((self.density > 0) & (self.density < self.rare_below)))

    def density_histogram(self, *, per_decade: int = 2) -> tuple[np.ndarray, np.ndarray]:
        """Return how many living features lie in each bin of log10 of their density.

        Parameters
        ----------
        per_decade
            Bins per factor of ten.

        Returns
        -------
        counts, edges
            The first bin holds the features that are active in one frame of all; the last ends at 0 (every frame).
        """
        lowest = int(np.floor(-np.log10(max(self.n_frames, 2)) * per_decade))
        edges = np.arange(lowest, 1) / per_decade
        logs = np.log10(self.density[self.density > 0])
        counts, _ = np.histogram(np.clip(logs, edges[0], 0), bins=edges)
        return counts, edges

    def row(self) -> Row:
        """Return the numbers as JSON values, and how alive and dead were counted."""
        quantiles = np.repeat(np.arange(len(self.l0_counts)), self.l0_counts)
        spread = np.percentile(quantiles, [5, 50, 95]) if quantiles.size else np.full(3, np.nan)
        return {
            "n_frames": self.n_frames,
            "l0": self.l0,
            **{f"l0_p{name}": float(value) for name, value in zip((5, 50, 95), spread, strict=True)},
            "explained_variance": self.explained_variance,
            "normalised_mse": self.normalised_mse,
            "cosine": self.cosine,
            "l2_ratio": self.l2_ratio,
            "alive_share": self.alive_share,
            "dead_share": self.dead_share,
            "rare_share": self.rare_share,
            "counted": f"dead: active in none of these {self.n_frames} frames; rare: in fewer than {self.rare_below:g}",
        }


def measure_sae(
    coder: SparseCoder, trajectories: Trajectory | Sequence[Trajectory], *, rare_below: float = RARE
) -> SaeQuality:
    """Measure a coder on dense frames of its layer, in blocks.

    Parameters
    ----------
    coder
        The coder.
    trajectories
        Frames of its layer, of sounds that it was not trained on.
    rare_below
        Share of frames below which a living feature counts as rare.
    """
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
    sums = _Sums(coder.d_sae)
    for x in blocks(frames):
        sums.add(coder, x)
    n = corpus.n_frames
    return SaeQuality(
        l0=int(sums.active.sum()) / n,
        explained_variance=1 - sums.error / (n * corpus.variance),
        normalised_mse=sums.error / (n * corpus.mean_square_norm),
        cosine=sums.cosine / n,
        alive_share=float(np.mean(sums.active > 0)),
        n_frames=n,
        density=read_only(sums.active / n),
        l2_ratio=sums.ratio / n,
        l0_counts=read_only(np.trim_zeros(sums.per_frame, "b")),
        rare_below=rare_below,
    )


class _Sums:
    """What is added up over blocks of frames."""

    def __init__(self, d_sae: int) -> None:
        self.error = self.cosine = self.ratio = 0.0
        self.active = np.zeros(d_sae, dtype=np.int64)
        self.per_frame = np.zeros(d_sae + 1, dtype=np.int64)

    def add(self, coder: SparseCoder, block: np.ndarray) -> None:
        """Count one block of frames."""
        features = coder.encode(block)
        x, x_hat = block.astype(np.float64), (coder.decode(features) * coder.lengths(block)).astype(np.float64)
        self.active += np.bincount(features.indices, minlength=len(self.active))
        self.per_frame += np.bincount(np.diff(features.indptr), minlength=len(self.per_frame))
        self.error += float(np.square(x - x_hat).sum())
        self.cosine += float(_cosines(x, x_hat).sum())
        norm = np.linalg.norm(x, axis=1)
        self.ratio += float((np.linalg.norm(x_hat, axis=1) / np.where(norm > 0, norm, 1.0)).sum())


def quality_table(
    coders: Mapping[str, SparseCoder], trajectories: Mapping[str, Sequence[Trajectory]], *, rare_below: float = RARE
) -> list[Row]:
    """Return one row of numbers per coder, such as one per layer.

    Parameters
    ----------
    coders
        By name (``"layer 3"``).
    trajectories
        Held-out frames for each, by the same names.
    rare_below
        As for `measure_sae`.

    Returns
    -------
    list of dict
        Ready for JSON, or for `brainalign.sae.stability.table_of`.
    """
    if coders.keys() != trajectories.keys():
        odd = sorted(coders.keys() ^ trajectories.keys())
        raise ValueProblem(
            "every coder needs frames of its own layer", got=f"without a partner: {odd}", fix="name them alike"
        )
    return [
        {"coder": name, "d_in": coder.d_in, "d_sae": coder.d_sae, "k": coder.k}
        | measure_sae(coder, trajectories[name], rare_below=rare_below).row()
        for name, coder in coders.items()
    ]


def _cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, 0 where one of them is zero."""
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.einsum("ij,ij->i", x, y) / np.where(norms > 0, norms, 1.0)
