"""What are the moments, scores and response functions of a block of features? The work behind `feature_maps`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.design import Design
from brainalign.core.time import Lags
from brainalign.encoding.backend import Array, Backend, get_backend
from brainalign.encoding.basis import is_mirrored, lag_basis
from brainalign.encoding.folds import assign_folds, by_fold
from brainalign.encoding.moments import Edges, standardised
from brainalign.encoding.nest import FoldMoments, Halves, Nest, build_nest
from brainalign.encoding.scoring import PenaltyPer, Scores, Workspace, on_device, pick
from brainalign.encoding.segments import (
    Cut,
    lag_products,
    padded_moments,
    response_segments,
    ring_columns,
    ring_moments,
    segment_products,
)
from brainalign.encoding.sparse_moments import is_cheaper_sparse, sparse_block, sparse_moments


@dataclass(frozen=True, eq=False)
class Bench:
    """One listener's responses, prepared once for all features.

    Attributes
    ----------
    design, folds, edges, dtype, backend
        As given.
    responses
        Per trial, standardised by constants, 0 at unusable frames, ``(n_frames, n_channels)``.
    segments
        Per trial, spectra of the response's stretches, on the device.
    cut
        How they were cut.
    n
        Frames that count per fold, ``(n_folds,)``.
    sums, inverse_spread
        Per fold and channel: the sum of the response, and ``1 / sqrt(Syy)`` (0 for a constant one).
    scale
        Standard deviation per channel, in the response's unit.
    basis, halves
        The lag basis or None, and whether even and odd halves part.
    """

    design: Design
    folds: np.ndarray
    edges: Edges
    dtype: type
    backend: Backend
    responses: tuple[np.ndarray, ...]
    segments: tuple[Array, ...]
    cut: Cut
    n: np.ndarray
    sums: np.ndarray
    inverse_spread: np.ndarray
    scale: np.ndarray
    basis: np.ndarray | None
    halves: Halves

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.n)

    @property
    def lags(self) -> Lags:
        """The lag window."""
        return self.design.lags


def make_bench(
    design: Design, *, n_folds: int, edges: Edges, dtype: type, basis: str | np.ndarray | None, device: str | None
) -> Bench:
    """Prepare one listener's responses."""
    folds, backend = assign_folds([trial.name for trial in design.trials], n_folds), get_backend(device)
    y, scale = standardised(design.trials)
    cut = Cut.for_lags(design.lags.n)
    bulk: tuple[np.ndarray, ...] = tuple(item.astype(dtype) for item in y)
    n = [trial.axis.n if edges == "circular" else np.count_nonzero(trial.mask) for trial in design.trials]
    per_fold = by_fold(np.array(n, dtype=float), folds)
    sums = by_fold([item.sum(axis=0) for item in y], folds)
    squares = by_fold([np.square(item).sum(axis=0) for item in y], folds)
    spread = np.sqrt(np.clip(squares - sums**2 / per_fold[:, None], 0, None))
    matrix = lag_basis(basis, design.lags)
    parts = 2 if edges == "circular" and is_mirrored(matrix) else 1
    return Bench(
        design=design,
        folds=folds,
        edges=edges,
        dtype=dtype,
        backend=backend,
        responses=bulk,
        segments=tuple(response_segments(item, design.lags, cut=cut, edges=edges, backend=backend) for item in bulk),
        cut=cut,
        n=per_fold,
        sums=sums,
        inverse_spread=np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0),
        scale=scale,
        basis=matrix,
        halves=Halves(design.lags.n if matrix is None else matrix.shape[1], parts),
    )


@dataclass(frozen=True, eq=False)
class Fitted:
    """A block of features, decomposed and scored.

    Attributes
    ----------
    nest
        On NumPy.
    raw
        Moments with the responses per fold, as `Workspace` takes them.
    scores
        For every penalty, on NumPy.
    """

    nest: Nest
    raw: np.ndarray
    scores: Scores


def fit_block(bench: Bench, penalties: np.ndarray, span: tuple[int, int]) -> Fitted:
    """Score a block of features under every penalty."""
    moments, sxy = block_moments(bench, *span)
    nest = build_nest(moments, penalties, halves=bench.halves, dtype=bench.dtype)
    shape = (bench.n_folds, span[1] - span[0], len(penalties), sxy.shape[-1])
    space = Workspace(bench.backend, halves=bench.halves, shape=shape, dtype=bench.dtype)
    raw = np.zeros(tuple(space.raw.shape), dtype=bench.dtype)
    raw[:, :, :, :-1] = split_rows(sxy, bench.halves)
    raw[:, :, :, -1] = bench.sums[:, None, None]
    space.raw[...] = bench.backend.put(raw)
    inverse_spread = bench.backend.put(bench.inverse_spread.astype(bench.dtype))
    scores = space.run(on_device(nest, bench.backend), inverse_spread)
    return Fitted(nest, raw, Scores(bench.backend.get(scores.merit), bench.backend.get(scores.outer)))


def split_rows(rows: np.ndarray, halves: Halves) -> np.ndarray:
    """Turn ``(..., n_lags, n_columns)`` into sums and differences ``(..., n_parts, h, n_columns)`` (unscaled)."""
    if halves.n_parts == 1:
        return rows[..., None, :, :]
    first, mirrored = rows[..., : halves.height, :], rows[..., ::-1, :][..., : halves.height, :]
    return np.stack([first + mirrored, first - mirrored], axis=-3)


def block_moments(bench: Bench, start: int, stop: int) -> tuple[FoldMoments, np.ndarray]:
    """Return a block's own moments and, per fold, its products ``(n_features, n_lags, n_channels)``."""
    sparse = is_cheaper_sparse(bench.design, n_lags=bench.lags.n)
    parts = _sparse_parts(bench, start, stop) if sparse else _dense_parts(bench, start, stop)
    sxx = np.swapaxes(by_fold([part[0] for part in parts], bench.folds), 0, 1)
    sx = np.swapaxes(by_fold([part[1] for part in parts], bench.folds), 0, 1)
    sxy = _products_by_fold(bench, [part[2] for part in parts], in_lags=sparse)
    if bench.basis is not None:
        sxx, sx = bench.basis.T @ sxx @ bench.basis, sx @ bench.basis
        sxy = bench.basis.T.astype(sxy.dtype) @ sxy
    return FoldMoments(bench.n, sx, sxx), sxy


def _products_by_fold(bench: Bench, parts: Sequence[Array], *, in_lags: bool) -> np.ndarray:
    folds = []
    for k in range(bench.n_folds):
        members = [part for part, fold in zip(parts, bench.folds, strict=True) if fold == k]
        total = members[0]
        for member in members[1:]:
            total = total + member
        folds.append(
            total if in_lags else lag_products(total, cut=bench.cut, n_lags=bench.lags.n, backend=bench.backend)
        )
    return np.array(folds)


def _dense_parts(bench: Bench, start: int, stop: int) -> list[tuple[np.ndarray, np.ndarray, Array]]:
    """Return each trial's Gram matrices, sums, and cross-spectra with the responses."""
    circular, lags = bench.edges == "circular", bench.lags
    trials = bench.design.trials
    columns = ring_columns(bench.design, start, stop) if circular else [trial.x.block(start, stop) for trial in trials]
    parts = []
    for x, trial, segments in zip(columns, trials, bench.segments, strict=True):
        bulk: np.ndarray = x.astype(bench.dtype, copy=False)
        products = segment_products(bulk, segments, cut=bench.cut, backend=bench.backend)
        own = ring_moments(x, lags.n) if circular else padded_moments(x, trial.mask, lags)
        parts.append((*own, products))
    return parts


def _sparse_parts(bench: Bench, start: int, stop: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return each trial's Gram matrices, sums, and products with the responses."""
    return [
        sparse_moments(sparse_block(trial.x, start, stop), y, mask=trial.mask, lags=bench.lags, edges=bench.edges)
        for trial, y in zip(bench.design.trials, bench.responses, strict=True)
    ]


def final_weights(bench: Bench, fitted: Fitted, *, per: PenaltyPer) -> tuple[np.ndarray, np.ndarray]:
    """Fit all trials with the penalty that predicts held-out folds best; return the weights and its number."""
    merit = fitted.scores.outer.sum(axis=0)[None]
    _, choice = pick(Scores(merit, merit), get_backend(), per=per, n_channels=merit.shape[-1])
    return weights_at(bench, fitted, choice[0]), choice[0]


def weights_at(bench: Bench, fitted: Fitted, choice: np.ndarray) -> np.ndarray:
    """Return the weights of all trials' fit at the penalties of these numbers, ``(n_features, n_lags, n_channels)``.

    In units of the response per unit of the feature.
    """
    nest, halves = fitted.nest, bench.halves
    z = nest.project[:, -1] @ fitted.raw.sum(axis=0)
    gains = 1 / (nest.values[:, -1, :, :, None] + nest.penalties[choice][:, None, None, :])
    unit = np.sqrt(np.where(nest.unit[:, -1] > 0, nest.unit[:, -1], 1))[:, None, None, None]
    model = nest.basis[:, -1] @ (gains * z) / unit
    lagged = np.einsum("phl,fphn->fln", halves.matrix, model) if halves.n_parts > 1 else model[:, 0]
    return (lagged if bench.basis is None else bench.basis @ lagged) * bench.scale
