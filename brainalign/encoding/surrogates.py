"""How would every feature score beside responses that were made up? The general way, for any surrogate response.

The stimuli stay, and so do their Gram matrices, eigendecompositions and transforms. Each
surrogate response is made once per block of features, transformed in short segments, and
scored with all features of the block at once. Slower than turning stimuli or pairing
stories anew, where no response has to be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.backend import Array
from brainalign.encoding.folds import assign_folds, by_fold
from brainalign.encoding.lookup import Layout, ring_layout
from brainalign.encoding.maps import split_rows
from brainalign.encoding.massunivariate import PENALTIES, LagModel, penalty_grid, require_long_trials
from brainalign.encoding.memory import Compute, blocks, each
from brainalign.encoding.nest import FoldMoments, Nest, build_nest, nest_bytes
from brainalign.encoding.rotations import inverse_spread, ring_nest, same_stimuli
from brainalign.encoding.scoring import PenaltyPer, Workspace, on_device, pick
from brainalign.encoding.segments import Cut, feature_segments, lag_products, response_segments, ring_columns, toeplitz
from brainalign.encoding.sparse_moments import (
    is_cheaper_sparse,
    sparse_autocorrelations,
    sparse_block,
    sparse_products,
)

Responses = Callable[[int], list[np.ndarray]]
_FEATURES = 256


def surrogate_scores(
    design: Design,
    responses: Responses,
    *,
    n: int,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    model: LagModel | None = None,
    compute: Compute | None = None,
) -> Iterator[np.ndarray]:
    """Yield, feature by feature, the scores beside every response of a list.

    Parameters
    ----------
    design
        Trials apart; of the responses only their shape is looked at.
    responses
        Returns response number 0 to ``n - 1``: per trial, ``(n_frames, n_channels)``, in any unit,
        unusable frames at the channel's mean. Number 0 is the data. Called once per number
        and block of features; the same number must give the same values.
    n
        How many there are.
    penalties, n_folds, dtype, model, compute
        As in `brainalign.encoding.massunivariate.rotated_scores`; the penalty is chosen anew for
        every response. Workers share blocks of up to 256 features out.

    Yields
    ------
    numpy.ndarray
        Held-out r averaged over folds, shape ``(n, n_channels)``. Edges are circular.
    """
    groups = surrogate_listeners(
        [design], [responses], n=n, penalties=penalties, n_folds=n_folds, dtype=dtype, model=model, compute=compute
    )
    for (scores,) in groups:
        yield scores


def surrogate_listeners(
    designs: Sequence[Design],
    responses: Sequence[Responses],
    *,
    n: int,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    model: LagModel | None = None,
    compute: Compute | None = None,
) -> Iterator[list[np.ndarray]]:
    """Yield, feature by feature, every listener's scores beside that listener's responses.

    Listeners who heard the same trials in the same order share all that depends on the
    stimulus alone. Parameters as in `surrogate_scores`, with one design and one function per listener.
    """
    model, compute, grid = model or LagModel(), compute or Compute(), penalty_grid(penalties)
    _require_scorable(designs, n=n, model=model)
    layouts = [
        ring_layout(d, assign_folds([t.name for t in d.trials], n_folds), dtype=dtype, basis=model.basis,
                    device=compute.device)
        for d in designs
    ]  # fmt: skip
    work = _Work(tuple(designs), tuple(responses), tuple(layouts), same_stimuli(designs), grid, model.penalty_per, n)
    spans, n_workers = work.plan(compute)
    yield from each(work.block, spans, n_workers=n_workers, prefer=compute.prefer)


@dataclass(frozen=True, eq=False)
class _Work:
    """Listeners, their surrogate responses, and how they are scored."""

    designs: tuple[Design, ...]
    responses: tuple[Responses, ...]
    layouts: tuple[Layout, ...]
    stimuli: tuple[int, ...]
    grid: np.ndarray
    per: PenaltyPer
    n: int

    def plan(self, compute: Compute) -> tuple[list[tuple[int, int]], int]:
        """Return blocks of features and how many to work on at once, within the budget."""
        layout = max(self.layouts, key=lambda item: sum(item.n_frames))
        n_channels, frames, size = len(self.designs[0].channels), sum(layout.n_frames), layout.itemsize
        n_folds, cut = int(layout.folds.max()) + 1, Cut.for_lags(len(layout.lags))
        heads = 3 * frames * size + 8 * frames
        columns = n_folds * n_channels * (2 * cut.n_fft + 6 * layout.halves.n_lags + 4 * len(self.grid)) * size
        nests = len(set(self.stimuli)) * (nest_bytes(layout.halves, n_folds, len(self.grid)) + heads)
        results = len(self.designs) * self.n * n_channels * size
        # One surrogate response and its copies, and one trial's stretches.
        working = n_channels * (4 * 8 * frames + 6 * max(layout.n_frames) * size)
        per_block = compute.block_size(nests + columns + results, fixed=working, most=_FEATURES)
        spans = blocks(self.designs[0].n_features, per_block)
        return spans, compute.workers(working + per_block * (nests + columns + results))

    def block(self, span: tuple[int, int]) -> Iterator[list[np.ndarray]]:
        """Yield every listener's scores, feature by feature."""
        stages = {i: _stage(self.designs[i], self.layouts[i], self.grid, span) for i in set(self.stimuli)}
        results = [self._listener(number, stages[i]) for number, i in enumerate(self.stimuli)]
        for f in range(span[1] - span[0]):
            yield [np.ascontiguousarray(scores[:, f]) for scores in results]

    def _listener(self, number: int, stage: _Stage) -> np.ndarray:
        """Return one listener's scores of a block, ``(n, n_features, n_channels)``."""
        design, layout = self.designs[number], self.layouts[number]
        b, n_channels = layout.backend, len(design.channels)
        shape = (int(layout.folds.max()) + 1, stage.n_features, len(self.grid), n_channels)
        space = Workspace(b, halves=layout.halves, shape=shape, dtype=layout.dtype)
        out: np.ndarray = np.empty((self.n, stage.n_features, n_channels), dtype=layout.dtype)
        for i in range(self.n):
            y = _standard(design, self.responses[number](i), number=i)
            raw, spread = _raw_moments(stage, y)
            space.raw[...] = b.put(raw)
            r, _ = pick(space.run(stage.nest, b.put(spread)), b, per=self.per, n_channels=n_channels)
            out[i] = b.get(r.mean(0))
        return out


@dataclass(frozen=True, eq=False)
class _Stage:
    """A block of features, ready for any response.

    Attributes
    ----------
    layout, nest
        How trials are looked at, and the block's nest on the device.
    heads
        Per trial, the features' transformed segments on the device, or their non-zeros.
    """

    layout: Layout
    design: Design
    nest: Nest
    heads: list[Any]
    n_features: int

    @property
    def cut(self) -> Cut:
        """How signals are cut."""
        return Cut.for_lags(self.design.lags.n)

    def products(self, y: list[np.ndarray]) -> np.ndarray:
        """Return products with a response per fold, ``(n_folds, n_features, n_lags, n_channels)``."""
        folds = self.layout.folds
        return np.array([self._fold(np.flatnonzero(folds == f).tolist(), y) for f in range(folds.max() + 1)])

    def _fold(self, members: list[int], y: list[np.ndarray]) -> np.ndarray:
        total = self._trial(members[0], y[members[0]])
        for k in members[1:]:
            total = total + self._trial(k, y[k])
        if isinstance(self.heads[0], sparse.csc_array):
            return total
        return lag_products(total, cut=self.cut, n_lags=self.design.lags.n, backend=self.layout.backend)

    def _trial(self, k: int, y: np.ndarray) -> Array:
        b, lags = self.layout.backend, self.design.lags
        bulk: np.ndarray = y.astype(self.layout.dtype)
        if isinstance(self.heads[k], sparse.csc_array):
            return sparse_products(self.heads[k], bulk, lags, edges="circular")
        return b.matmul(self.heads[k], response_segments(bulk, lags, cut=self.cut, edges="circular", backend=b))


def _stage(design: Design, layout: Layout, grid: np.ndarray, span: tuple[int, int]) -> _Stage:
    """Prepare a block of features: by non-zeros where that is cheaper."""
    b = layout.backend
    if is_cheaper_sparse(design, n_lags=design.lags.n):
        heads = [sparse_block(trial.x, *span) for trial in design.trials]
        nest = _sparse_nest(layout, heads, grid)
    else:
        columns, cut = ring_columns(design, *span), Cut.for_lags(design.lags.n)
        nest = ring_nest(layout, columns, grid)
        heads = [feature_segments(x.astype(layout.dtype), cut=cut, backend=b) for x in columns]
    return _Stage(layout, design, on_device(nest, b), heads, span[1] - span[0])


def _sparse_nest(layout: Layout, heads: list[sparse.csc_array], grid: np.ndarray) -> Nest:
    n_lags = len(layout.lags)
    first = [sparse_autocorrelations(x, n_lags, edges="circular") for x in heads]
    totals = [np.asarray(x.astype(np.float64).sum(axis=0)).reshape(-1, 1) for x in heads]
    sxx = np.swapaxes(toeplitz(by_fold(first, layout.folds)), 0, 1)
    sx = np.swapaxes(np.repeat(by_fold(totals, layout.folds), n_lags, axis=-1), 0, 1)
    if layout.basis is not None:
        sxx, sx = layout.basis.T @ sxx @ layout.basis, sx @ layout.basis
    n = by_fold(np.array(layout.n_frames, dtype=float), layout.folds)
    return build_nest(FoldMoments(n, sx, sxx), grid, halves=layout.halves, dtype=layout.dtype)


def _standard(design: Design, y: list[np.ndarray], *, number: int) -> list[np.ndarray]:
    """Centre and scale a response by constants over all frames, float64; a constant channel becomes 0."""
    if [item.shape for item in y] != [trial.y.shape for trial in design.trials]:
        raise ShapeMismatch(
            "a surrogate response must have the shapes of the data's",
            got=f"number {number}: {[item.shape for item in y][:4]}",
            fix=f"return {[trial.y.shape for trial in design.trials][:4]} ...",
        )
    n = sum(len(item) for item in y)
    mean = sum(item.sum(axis=0, dtype=np.float64) for item in y) / n
    centred = [item - mean for item in y]
    scale = np.sqrt(sum(np.square(item).sum(axis=0) for item in centred) / n)
    return [item / np.where(scale > 0, scale, 1) for item in centred]


def _raw_moments(stage: _Stage, y: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return what a workspace scores: moments with their sum row, and ``1 / sqrt(Syy)`` per fold and channel."""
    layout = stage.layout
    sxy = stage.products(y)
    if layout.basis is not None:
        sxy = layout.basis.T.astype(sxy.dtype) @ sxy
    rows = split_rows(sxy, layout.halves)
    sums, squares = (
        by_fold(part, layout.folds)
        for part in ([item.sum(axis=0) for item in y], [np.square(item).sum(axis=0) for item in y])
    )
    n = by_fold(np.array(layout.n_frames, dtype=float), layout.folds)
    raw: np.ndarray = np.empty((*rows.shape[:-2], layout.halves.height + 1, rows.shape[-1]), dtype=layout.dtype)
    raw[..., :-1, :] = rows
    raw[..., -1, :] = sums[:, None, None]
    return raw, inverse_spread(squares, sums, n=n[:, None]).astype(layout.dtype)


def _require_scorable(designs: Sequence[Design], *, n: int, model: LagModel) -> None:
    for design in designs:
        require_long_trials(design)
    if n < 1:
        raise ValueProblem("there must be at least one response", got=n, fix="give n = 1 + number of surrogates")
    if model.penalty_per == "all":
        raise ValueProblem(
            "surrogates are scored feature by feature", got="penalty_per='all'", fix="use 'feature' or 'channel'"
        )
