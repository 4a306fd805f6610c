"""Do neighbours agree, without choosing a threshold? Threshold-free cluster enhancement (Smith & Nichols 2009).

    TFCE(v) = integral from 0 to h_v of  e_v(h)^E  h^H  dh,        E = 0.5, H = 2

e_v(h) being the size of the cluster that v is in at threshold h. The size changes only where
clusters merge, at heights of the statistic itself, so the integral is exact: one maximum
spanning tree per map gives all merges. A sum over steps, as elsewhere, is the same tree with
steps in place of the integral.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.stats.graph import pairs_of
from brainalign.stats.maxstat import corrected_p

Tail = Literal["greater", "less", "two-sided"]
_SIGNS = {"greater": (1,), "less": (-1,), "two-sided": (1, -1)}


@dataclass(frozen=True)
class Enhancement:
    """How clusters are rewarded.

    Parameters
    ----------
    extent, height
        The exponents E and H.
    step
        None for the exact integral, or the width of steps: at thresholds 0, step, 2 step, ... each adds
        ``e^E h^H step``, which is MNE's sum for ``dict(start=0, step=step)``.
    """

    extent: float = 0.5
    height: float = 2.0
    step: float | None = None

    def __post_init__(self) -> None:
        if self.extent < 0 or self.height < 0 or (self.step is not None and self.step <= 0):
            raise ValueProblem("exponents and step must be positive", got=self, fix="use Enhancement()")

    def below(self, heights: np.ndarray) -> np.ndarray:
        """Return the integral (or the sum over steps) of ``h^H`` from 0 up to some heights."""
        if self.step is None:
            return heights ** (self.height + 1) / (self.height + 1)
        # Thresholds strictly below a height count.
        top = float(np.max(heights, initial=0.0))
        sums = np.concatenate([[0.0], np.cumsum(np.arange(0, top, self.step) ** self.height * self.step)])
        return sums[np.searchsorted(np.arange(0, top, self.step), heights, side="left")]


@dataclass(frozen=True, eq=False)
class EnhancedTest:
    """Enhanced statistics, corrected over all tests.

    Attributes
    ----------
    enhanced
        TFCE of the data, signed, in the statistic's shape.
    p_corrected
        Corrected by the max-statistic, same shape.
    maxima
        Largest of each member of the group, the data's own first, ``(1 + B,)``.
    """

    enhanced: np.ndarray
    p_corrected: np.ndarray
    maxima: np.ndarray


def tfce(
    statistic: np.ndarray,
    adjacency: sparse.sparray,
    *,
    tail: Tail = "two-sided",
    enhancement: Enhancement | None = None,
) -> np.ndarray:
    """Return the enhanced statistic, negative where the statistic is.

    Parameters
    ----------
    statistic
        Any shape; flattened in C order.
    adjacency
        Symmetric, of all tests.
    tail
        ``"greater"``, ``"less"`` or ``"two-sided"``; signs never mix.
    enhancement
        Exponents, and steps if wanted.

    Examples
    --------
    >>> from scipy import sparse
    >>> tfce(np.array([3.0, 3.0]), sparse.csr_array(np.ones((2, 2)))).round(3)
    array([12.728, 12.728])
    """
    statistic = np.asarray(statistic, dtype=float)
    require_finite(np.atleast_2d(statistic), name="the statistic", fix="leave out constant channels")
    pairs = pairs_of(adjacency, n_tests=statistic.size)
    return _enhanced(statistic.ravel(), pairs, tail, enhancement or Enhancement()).reshape(statistic.shape)


def tfce_test(
    group: np.ndarray,
    adjacency: sparse.sparray,
    *,
    tail: Tail = "two-sided",
    enhancement: Enhancement | None = None,
) -> EnhancedTest:
    """Test enhanced statistics against the largest of every surrogate.

    Parameters
    ----------
    group
        Statistic of the data (row 0) and its surrogates, ``(1 + B, ...)``.
    adjacency, tail, enhancement
        As in `tfce`.
    """
    group = np.asarray(group, dtype=float)
    if group.ndim < 2 or len(group) < 2:
        raise ShapeMismatch(
            "a group is the data's statistic and its surrogates'", got=group.shape, fix="give (1 + B, ...), data first"
        )
    require_finite(group, name="the statistic", fix="leave out constant channels")
    flat = group.reshape(len(group), -1)
    pairs = pairs_of(adjacency, n_tests=flat.shape[1])
    enhance: Callable[[np.ndarray], np.ndarray] = partial(
        _enhanced, pairs=pairs, tail=tail, enhancement=enhancement or Enhancement()
    )
    data = enhance(flat[0])
    maxima = np.array([np.abs(data).max(), *(np.abs(enhance(row)).max() for row in flat[1:])])
    p = corrected_p(np.abs(data) * (1 - 1e-12), maxima)
    return EnhancedTest(data.reshape(group.shape[1:]), p.reshape(group.shape[1:]), maxima)


def _enhanced(
    values: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], tail: Tail, enhancement: Enhancement
) -> np.ndarray:
    if tail not in _SIGNS:
        raise unknown_name(tail, among=_SIGNS, kind="tail")
    return sum((sign * _one_sign(sign * values, pairs, enhancement) for sign in _SIGNS[tail]), np.zeros(len(values)))


def _one_sign(values: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], enhancement: Enhancement) -> np.ndarray:
    """Add up, from every positive test to the root of its tree of merges, what each stretch contributes."""
    heights = np.maximum(values, 0)
    merges = _merges(heights, pairs)
    n, n_nodes = len(heights), len(heights) + len(merges)
    top, size = np.zeros(n_nodes), np.ones(n_nodes)
    top[:n] = heights
    parent = np.full(n_nodes, -1)
    root = list(range(n_nodes))
    for number, (height, one, other) in enumerate(merges, start=n):
        for child in (_root(root, int(one)), _root(root, int(other))):
            parent[child] = root[child] = number
            size[number] += size[child]
        size[number] -= 1
        top[number] = height
    lowest = np.where(parent >= 0, top[parent], 0.0)
    gained = size**enhancement.extent * (enhancement.below(top) - enhancement.below(lowest))
    for node in range(n_nodes - 1, -1, -1):
        if parent[node] >= 0:
            gained[node] += gained[parent[node]]
    return gained[:n]


def _merges(heights: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> list[tuple[float, int, int]]:
    """Return at which heights which clusters merge, highest first: the maximum spanning forest."""
    joined = np.minimum(heights[pairs[0]], heights[pairs[1]])
    kept = joined > 0
    # The smallest spanning tree of the negatives; SciPy takes a stored 0 for no edge, and there is none.
    weights = (-joined[kept], (pairs[0][kept], pairs[1][kept]))
    tree = sparse.coo_array(csgraph.minimum_spanning_tree(sparse.csr_array(weights, shape=(len(heights),) * 2)))
    order = np.argsort(tree.data, kind="stable")
    return list(zip((-tree.data[order]).tolist(), tree.row[order].tolist(), tree.col[order].tolist(), strict=True))


def _root(root: list[int], node: int) -> int:
    while root[node] != node:
        root[node] = root[root[node]]
        node = root[node]
    return node
