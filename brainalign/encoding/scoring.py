"""How well do nested models predict? Scores of many columns at once, through one set of buffers.

A column is a channel, or a channel under one rotation of the stimulus. Columns come in
portions small enough that a portion's moments stay in the processor's cache and its
products in BLAS's kernel for small matrices (about twice as fast as the general one).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from brainalign.encoding.backend import Array, Backend
from brainalign.encoding.nest import Halves, Nest

PenaltyPer = Literal["channel", "feature", "all"]
_SMALL_PRODUCT = 1_000_000
_ROWS_TIMES_COLUMNS = 16_384


def columns_at_once(halves: Halves, n_channels: int) -> int:
    """Return how many columns to score at once: whole rotations, small products, buffers that stay in cache."""
    widest = 2 * halves.height * (halves.height + 1)
    fitting = min(_SMALL_PRODUCT // widest, _ROWS_TIMES_COLUMNS // halves.height)
    return max(1, fitting // n_channels) * n_channels


@dataclass(frozen=True, eq=False)
class Scores:
    """Held-out r of one portion of columns.

    Attributes
    ----------
    merit
        Inner r summed over the folds inside each training set, ``(n_folds, n_features, n_penalties, n_columns)``.
    outer
        Held-out r for every penalty, same shape.
    """

    merit: Array
    outer: Array


class Workspace:
    """Buffers for scoring portions of up to ``n_columns`` columns of ``n_features`` features."""

    def __init__(self, backend: Backend, *, halves: Halves, shape: tuple[int, int, int, int], dtype: type) -> None:
        """Set the buffers up; ``shape`` is ``(n_folds, n_features, n_penalties, n_columns)``."""
        n_folds, n_features, n_penalties, n_columns = shape
        h, parts = halves.height, halves.n_parts
        self.backend, self.shape, self.halves, self.dtype = backend, shape, halves, dtype
        empty = backend.empty
        self.raw = empty((n_folds, n_features, parts, h + 1, n_columns), dtype)
        self._after = empty((n_folds + 1, n_features, parts, h + 1, n_columns), dtype)
        self._before, self._between, self._rest = (
            empty((n_features, parts, h + 1, n_columns), dtype) for _ in range(3)
        )
        self._z = empty((n_features, parts, h, n_columns), dtype)
        self._q = empty((n_features, parts, h, n_columns), dtype)
        self._bent = empty((n_features, parts, 2 * h, n_columns), dtype)
        self._power = empty((n_features, n_penalties, n_columns), dtype)
        self._r = empty((n_features, n_penalties, n_columns), dtype)
        self.merit = empty((n_folds, n_features, n_penalties, n_columns), dtype)
        self.outer = empty((n_folds, n_features, n_penalties, n_columns), dtype)

    def run(self, nest: Nest, inverse_spread: Array) -> Scores:
        """Score what stands in `raw`.

        Parameters
        ----------
        nest
            On this workspace's device (see `on_device`).
        inverse_spread
            ``1 / sqrt(Syy)`` per fold and column, ``(n_folds, n_columns)``.
        """
        b = self.backend
        self._start()
        started: set[int] = set()
        scoring = 0
        for t, out in enumerate(nest.trainings):
            if not out:
                continue
            b.matmul(nest.project[:, t], self._training_moments(out), out=self._z)
            for fold in out:
                self._score(nest, t, scoring, fold)
                b.multiply(self._r, inverse_spread[fold], out=self._r)
                self._keep(out, fold, started)
                scoring += 1
        # Rounding may carry r past 1, and far past it where a prediction is next to nothing.
        n_inner = len(self.raw) - 1
        b.clip(self.merit, -n_inner, n_inner, out=self.merit)
        b.clip(self.outer, -1.0, 1.0, out=self.outer)
        return Scores(self.merit, self.outer)

    def _start(self) -> None:
        self._before[...] = 0
        self._after[-1][...] = 0
        for k in range(len(self.raw) - 1, 0, -1):
            self.backend.add(self._after[k + 1], self.raw[k], out=self._after[k])

    def _training_moments(self, out: tuple[int, ...]) -> Array:
        """Add the kept folds up, two additions a set (taking left-out folds off a total would leave their rounding).

        Training sets come in order: (0,), (0, 1), (0, 2), ..., (1,), (1, 2), ...
        """
        b = self.backend
        rest = b.add(self._before if len(out) == 1 else self._between, self._after[out[-1] + 1], out=self._rest)
        if len(out) == 1:
            self._between[...] = self._before
            b.add(self._before, self.raw[out[0]], out=self._before)
        else:
            b.add(self._between, self.raw[out[1]], out=self._between)
        return rest

    def _score(self, nest: Nest, t: int, scoring: int, fold: int) -> None:
        """Leave ``sum g z q / sqrt(D)`` in ``_r``, 0 where the prediction is constant."""
        b, (f, parts, h, n) = self.backend, self._z.shape
        b.matmul(nest.held[:, scoring], self.raw[fold], out=self._q)
        b.multiply(self._z, self._q, out=self._q)
        b.matmul(nest.bend[:, scoring], self._z, out=self._bent)
        pairs = self._bent.reshape(f, parts, 2, h, n)
        b.multiply(pairs, self._z[:, :, None], out=pairs)
        b.matmul(nest.gains[:, t], self._q.reshape(f, parts * h, n), out=self._r)
        b.matmul(nest.bend_gains[:, t], self._bent.reshape(f, parts * 2 * h, n), out=self._power)
        b.at_least(self._power, float(np.finfo(self.dtype).tiny), out=self._power)
        b.sqrt(self._power, out=self._power)
        b.divide(self._r, self._power, out=self._r)

    def _keep(self, out: tuple[int, ...], fold: int, started: set[int]) -> None:
        if len(out) == 1:
            self.outer[fold][...] = self._r
            return
        other = out[0] if fold == out[1] else out[1]
        if other in started:
            self.backend.add(self.merit[other], self._r, out=self.merit[other])
        else:
            self.merit[other][...] = self._r
            started.add(other)


def on_device(nest: Nest, backend: Backend, feature: int | None = None) -> Nest:
    """Return a nest (of one feature of the block) with its bulk matrices on a device."""
    at = slice(None) if feature is None else slice(feature, feature + 1)
    names = ("project", "held", "bend", "gains", "bend_gains")
    return replace(nest, **{name: backend.put(getattr(nest, name)[at]) for name in names})


def pick(scores: Scores, backend: Backend, *, per: PenaltyPer, n_channels: int) -> tuple[Array, Array]:
    """Return outer r at the penalty with the largest merit, and its number, ``(n_folds, n_features, n_columns)``.

    ``per="feature"`` lets the channels of a feature (under one rotation) choose together, by
    their mean; ``"all"`` lets the features at hand choose together too. Of equals, the
    smallest penalty is taken.
    """
    merit = scores.merit if per == "channel" else _together(scores.merit, per=per, n_channels=n_channels)
    if backend.name == "numpy":
        return _pick_fast(merit, scores.outer)
    return _pick_in_turn(merit, scores.outer, backend)


def _pick_fast(merit: np.ndarray, outer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mark the best (of equals, the first) and add up what is marked: ten times faster than choosing."""
    marked = (merit == merit.max(axis=2, keepdims=True)).astype(merit.dtype)
    if np.count_nonzero(marked) > marked.size // marked.shape[2]:
        k, f, n = np.nonzero(marked.sum(axis=2) > 1)
        columns = marked[k, f, :, n]
        marked[k, f, :, n] = np.arange(columns.shape[1]) == columns.argmax(axis=1)[:, None]
    choice = np.einsum("kfan,a->kfn", marked, np.arange(marked.shape[2], dtype=marked.dtype))
    return np.multiply(outer, marked, out=marked).sum(axis=2), choice.astype(np.intp)


def _pick_in_turn(merit: Array, outer: Array, backend: Backend) -> tuple[Array, Array]:
    best, r = merit[:, :, 0], outer[:, :, 0]
    choice = backend.where(best < best, 1, 0)
    for number in range(1, merit.shape[2]):
        better = merit[:, :, number] > best
        best = backend.where(better, merit[:, :, number], best)
        r = backend.where(better, outer[:, :, number], r)
        choice = backend.where(better, number, choice)
    return r, choice


def _together(merit: Array, *, per: PenaltyPer, n_channels: int) -> Array:
    k, f, a, n = merit.shape
    mean = merit.reshape(k, f, a, n // n_channels, n_channels).mean(-1)
    if per == "all":
        mean = mean.mean(1)[:, None]
    return (mean[..., None] + 0 * merit.reshape(k, f, a, n // n_channels, n_channels)).reshape(k, f, a, n)
