"""Would other listeners' models of one feature predict this listener? Leave one out, feature by feature.

What `brainalign.encoding.generic` does for joint models, for thousands of features: a listener's
moments are worked out once, and the others' sums are decomposed once per training set and feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from operator import add

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem
from brainalign.encoding.generic import Generic, listeners_folds, require_signs
from brainalign.encoding.maps import Bench, block_moments, make_bench
from brainalign.encoding.memory import blocks
from brainalign.encoding.penalty import PENALTIES, check_penalties

_FEATURES, _BLOCK_BYTES = 32, 64_000_000
Moments = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class _Sums:
    """Raw moments of a block of features per fold: n, sum x, sum y and products, features first."""

    n: np.ndarray
    sx: np.ndarray
    sy: np.ndarray
    sxx: np.ndarray
    sxy: np.ndarray
    syy: np.ndarray

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def flipped(self, signs: np.ndarray) -> _Sums:
        """Return the same with a copy of all channels for every sign."""
        n, each = len(signs), np.repeat(signs.astype(float), self.sy.shape[1])
        return replace(self, sy=np.tile(self.sy, n) * each, sxy=np.tile(self.sxy, n) * each, syy=np.tile(self.syy, n))

    def of(self, folds: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return centred ``Sxx``, ``Sxy`` and ``Syy`` of these folds together."""
        at = list(folds)
        n, sy = self.n[at].sum(), self.sy[at].sum(axis=0)
        sx = self.sx[:, at].sum(axis=1)
        sxx = self.sxx[:, at].sum(axis=1) - sx[:, :, None] * sx[:, None, :] / n
        sxy = self.sxy[at].sum(axis=0) - sx[:, :, None] * sy / n
        return sxx, sxy, self.syy[at].sum(axis=0) - sy * sy / n


def leave_one_listener_out_maps(
    designs: Sequence[Design],
    *,
    new_story: bool = True,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
) -> Generic:
    """Predict each listener by the others' models of one feature at a time.

    The same numbers as `leave_one_listener_out` gives for ``design.select([k])``, feature after feature, with a
    penalty for every feature and channel. Features are worked on in blocks of 32.

    Parameters
    ----------
    designs, new_story, n_folds
        As in `leave_one_listener_out`.
    penalties
        Candidates above 0, relative to a feature's own variance.
    """
    grid = _grid(penalties)
    benches = [_bench(design, folds, n_folds) for design, folds in listeners_folds(designs, n_folds)]
    first, parts = designs[0], []
    for span in blocks(first.n_features, _FEATURES):
        sums = [_sums(bench, span) for bench in benches]
        parts.append([_map_listener(sums, number, grid, new_story=new_story) for number in range(len(sums))])
    scores, alpha = (
        np.concatenate([np.array([listener[which] for listener in part]) for part in parts], axis=2) for which in (0, 1)
    )
    return Generic(scores, alpha, tuple(d.subject for d in designs), first.features, first.channels, new_story)


def flipped_listeners_maps(
    designs: Sequence[Design],
    signs: np.ndarray,
    *,
    new_story: bool = True,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
) -> Iterator[np.ndarray]:
    """Yield the scores with listeners' responses flipped, ``(n_patterns, n_listeners, n, n_channels)``.

    In blocks of features; see `brainalign.encoding.generic.flipped_listeners`.

    Parameters
    ----------
    designs, new_story, penalties, n_folds
        As in `leave_one_listener_out_maps`; penalties are chosen anew under every pattern.
    signs
        ``(n_patterns, n_listeners)``, 1 or -1; a row of ones is the data.
    """
    require_signs(signs, designs)
    grid, benches = _grid(penalties), [_bench(d, folds, n_folds) for d, folds in listeners_folds(designs, n_folds)]
    for span in blocks(designs[0].n_features, _FEATURES):
        sums = [_sums(bench, span) for bench in benches]
        step = max(1, _BLOCK_BYTES // (8 * len(grid) * sum(item.sxy.size for item in sums)))
        parts = [signs[start : start + step] for start in range(0, len(signs), step)]
        yield np.concatenate([_flipped_scores(sums, part, grid, new_story=new_story) for part in parts])


def _flipped_scores(sums: Sequence[_Sums], signs: np.ndarray, grid: np.ndarray, *, new_story: bool) -> np.ndarray:
    flipped = [item.flipped(own) for item, own in zip(sums, signs.T, strict=True)]
    scores = np.array([_map_listener(flipped, i, grid, new_story=new_story)[0].mean(axis=0) for i in range(len(sums))])
    by_pattern = scores.reshape(*scores.shape[:2], len(signs), -1)
    return np.moveaxis(by_pattern, 2, 0)


def _grid(penalties: Sequence[float]) -> np.ndarray:
    grid = check_penalties(penalties)
    if (grid == 0).any():
        raise ValueProblem("penalties of single features must be above 0", got=grid, fix="give e.g. (0.1, 1, 10)")
    return grid


def _bench(design: Design, folds: np.ndarray, n_folds: int) -> Bench:
    """Prepare a listener with the folds that all listeners share: trials in their order, named by them."""
    trials = tuple(
        Trial(f"fold {folds[k]}", design.trials[k].x, design.trials[k].y, design.trials[k].mask)
        for k in np.argsort(folds, kind="stable")
    )
    dealt = replace(design, trials=trials)
    return make_bench(dealt, n_folds=n_folds, edges="zero", dtype=np.float64, basis=None, device=None)


def _sums(bench: Bench, span: tuple[int, int]) -> _Sums:
    own, sxy = block_moments(bench, *span)
    squares = np.array([np.square(item).sum(axis=0) for item in bench.responses])
    syy = np.array([squares[bench.folds == k].sum(axis=0) for k in range(bench.n_folds)])
    return _Sums(own.n, own.sx, bench.sums, own.sxx, sxy, syy)


def _map_listener(
    sums: Sequence[_Sums], number: int, grid: np.ndarray, *, new_story: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return a left-out listener's scores and penalties, ``(n_folds, n_features, n_channels)`` each."""
    others, own = reduce(add, [item for i, item in enumerate(sums) if i != number]), sums[number]
    every = list(range(len(own.n)))
    if not new_story:
        among = [_path_r(others.of([k for k in every if k != fold]), others.of([fold]), grid) for fold in every]
        choice = np.mean(among, axis=0).argmax(axis=1)[None].repeat(len(every), axis=0)
        train = others.of(every)
        outer = np.array([_path_r(train, own.of([fold]), grid) for fold in every])
    else:
        choice = _inner_choice(others, grid)
        outer = np.array([_path_r(others.of([k for k in every if k != f]), own.of([f]), grid) for f in every])
    return np.take_along_axis(outer, choice[:, :, None], axis=2)[:, :, 0], grid[choice]


def _inner_choice(others: _Sums, grid: np.ndarray) -> np.ndarray:
    """Return the candidate with the best mean r inside each fold's training trials, of the others alone."""
    every = range(len(others.n))
    merit: list[np.ndarray | float] = [0.0 for _ in every]
    for pair in combinations(every, 2):
        train = others.of([k for k in every if k not in pair])
        for outer, held in (pair, pair[::-1]):
            merit[outer] = merit[outer] + _path_r(train, others.of([held]), grid)
    return np.array([np.asarray(item).argmax(axis=1) for item in merit])


def _path_r(train: Moments, held: Moments, grid: np.ndarray) -> np.ndarray:
    """Return held-out r of every candidate, ``(n_features, n_penalties, n_channels)``; 0 where nothing is predicted."""
    sxx, sxy, _ = train
    power = np.trace(sxx, axis1=1, axis2=2) / sxx.shape[1]
    unit = np.where(power > 0, power, 1)[:, None, None]
    values, basis = np.linalg.eigh(sxx / unit)
    z = basis.swapaxes(1, 2) @ (sxy / unit)
    r = np.empty((len(sxx), len(grid), sxy.shape[2]))
    for number, penalty in enumerate(grid):
        weights = basis @ (z / (np.clip(values, 0, None) + penalty)[:, :, None])
        product = (weights * held[1]).sum(axis=1)
        spread = np.sqrt(np.clip((weights * (held[0] @ weights)).sum(axis=1) * held[2], 0, None))
        r[:, number] = np.divide(product, spread, out=np.zeros_like(spread), where=spread > 0)
    return r
