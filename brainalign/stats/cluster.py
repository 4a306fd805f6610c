"""Do neighbours agree? Clusters of tests above a threshold, against the largest that chance makes.

A cluster's p-value says that there is an effect somewhere; not that it begins, ends or
covers what the cluster does (Sassenhagen & Draschkow 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.stats.graph import pairs_of

Weigh = Literal["mass", "size"]
Tail = Literal["greater", "less", "two-sided"]
_SIGNS = {"greater": (1,), "less": (-1,), "two-sided": (1, -1)}
WEIGHTS = ("mass", "size")
ASSUMPTION = (
    "Surrogates are as likely as the data if there is no effect anywhere; a cluster's p-value speaks for an effect "
    "somewhere, not for the cluster's extent, onset or peak."
)


@dataclass(frozen=True, eq=False)
class Cluster:
    """Neighbouring tests beyond the threshold.

    Attributes
    ----------
    members
        Test numbers, in the flattened order of the statistic.
    weight
        Sum of the statistic over members (negative for a negative cluster), or signed number of members.
    p
        Share of the group's largest clusters that weigh as much.
    """

    members: np.ndarray
    weight: float
    p: float


@dataclass(frozen=True, eq=False)
class ClusterTest:
    """Clusters of the data beside the largest clusters of its surrogates.

    Attributes
    ----------
    clusters
        Heaviest first.
    p
        Every test's cluster's p-value, 1 outside of clusters, in the statistic's shape.
    maxima
        Heaviest cluster of each member of the group, the data's own first, ``(1 + B,)``.
    threshold, tail, weigh
        As asked for.
    assumption
        What it takes for granted, and what it does not say.
    """

    clusters: tuple[Cluster, ...]
    p: np.ndarray
    maxima: np.ndarray
    threshold: float
    tail: Tail
    weigh: Weigh
    assumption: str = ASSUMPTION


def find_clusters(
    statistic: np.ndarray, adjacency: sparse.sparray, *, threshold: float, tail: Tail = "two-sided"
) -> list[np.ndarray]:
    """Return the clusters beyond a threshold, each as test numbers; positive ones first.

    Parameters
    ----------
    statistic
        Any shape; flattened in C order.
    adjacency
        Symmetric, of all tests.
    threshold
        Above 0; beyond it (strictly) lies what forms clusters, below its negative for the other tail.
    tail
        ``"greater"``, ``"less"`` or ``"two-sided"``; signs never mix in a cluster.
    """
    flat = np.asarray(statistic, dtype=float).ravel()
    pairs = pairs_of(adjacency, n_tests=len(flat))
    found = []
    for sign in _signs(tail, threshold=threshold):
        inside, labels = _components(sign * flat, pairs, threshold=threshold)
        order = np.argsort(labels, kind="stable")
        cuts = np.flatnonzero(np.diff(labels[order])) + 1
        found += [inside[part] for part in np.split(order, cuts) if len(part)]
    return found


def cluster_test(
    group: np.ndarray,
    adjacency: sparse.sparray,
    *,
    threshold: float,
    tail: Tail = "two-sided",
    weigh: Weigh = "mass",
) -> ClusterTest:
    """Test clusters against the heaviest of every surrogate.

    Parameters
    ----------
    group
        Statistic of the data (row 0) and its surrogates, ``(1 + B, ...)``: t-values of sign flips
        (`brainalign.stats.signflip.flipped`), or studentised scores of rotations.
    adjacency
        Symmetric, of the flattened tests; `brainalign.stats.graph.over_lags` for lags by channels.
    threshold
        Where clusters begin; chosen before the data is seen. It decides what kind of effect is
        found most easily, not whether the test is valid.
    tail
        ``"greater"``, ``"less"`` or ``"two-sided"``.
    weigh
        ``"mass"``: sum of the statistic; ``"size"``: number of tests.

    Examples
    --------
    >>> from scipy import sparse
    >>> line = sparse.csr_array(np.eye(4, k=1) + np.eye(4, k=-1))
    >>> found = cluster_test(np.array([[3.0, 4, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]]), line, threshold=2)
    >>> [(cluster.members.tolist(), cluster.weight, round(cluster.p, 3)) for cluster in found.clusters]
    [([0, 1], 7.0, 0.333)]
    """
    if weigh not in WEIGHTS:
        raise unknown_name(weigh, among=WEIGHTS, kind="weight")
    group = _checked(group)
    flat = group.reshape(len(group), -1)
    pairs, signs = pairs_of(adjacency, n_tests=flat.shape[1]), _signs(tail, threshold=threshold)
    maxima = np.array(
        [max(_heaviest(sign * row, pairs, threshold=threshold, weigh=weigh) for sign in signs) for row in flat]
    )
    clusters = []
    for members in find_clusters(flat[0], adjacency, threshold=threshold, tail=tail):
        values = flat[0, members]
        weight = float(values.sum() if weigh == "mass" else np.sign(values[0]) * len(values))
        # Sums in another order differ in their last digits; that is no difference.
        p = (1 + np.count_nonzero(maxima[1:] >= abs(weight) * (1 - 1e-12))) / len(maxima)
        clusters.append(Cluster(members, weight, float(p)))
    p_map = np.ones(flat.shape[1])
    for cluster in clusters:
        p_map[cluster.members] = cluster.p
    heaviest_first = tuple(sorted(clusters, key=lambda cluster: -abs(cluster.weight)))
    return ClusterTest(heaviest_first, p_map.reshape(group.shape[1:]), maxima, threshold, tail, weigh)


def _heaviest(values: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], *, threshold: float, weigh: Weigh) -> float:
    inside, labels = _components(values, pairs, threshold=threshold)
    if not len(inside):
        return 0.0
    return float(np.bincount(labels, weights=values[inside] if weigh == "mass" else None).max())


def _components(
    values: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], *, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the tests above a threshold and the number of the cluster that each is in."""
    above = values > threshold
    inside = np.flatnonzero(above)
    number = np.cumsum(above) - 1
    both = above[pairs[0]] & above[pairs[1]]
    first, second = number[pairs[0][both]], number[pairs[1][both]]
    graph = sparse.coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(len(inside), len(inside)))
    return inside, csgraph.connected_components(graph, directed=False)[1]


def _signs(tail: Tail, *, threshold: float) -> tuple[int, ...]:
    if tail not in _SIGNS:
        raise unknown_name(tail, among=_SIGNS, kind="tail")
    if not threshold > 0:
        raise ValueProblem(
            "a threshold for clusters must be above 0", got=threshold, fix="give e.g. the t-value of p = 0.05"
        )
    return _SIGNS[tail]


def _checked(group: np.ndarray) -> np.ndarray:
    group = np.asarray(group, dtype=float)
    if group.ndim < 2 or len(group) < 2:
        raise ShapeMismatch(
            "a group is the data's statistic and its surrogates'", got=group.shape, fix="give (1 + B, ...), data first"
        )
    require_finite(group, name="the statistic", fix="leave out constant channels")
    return group
