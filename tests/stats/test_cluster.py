"""Clusters and TFCE by hand, their invariances and what is refused. Against MNE: tests/oracles."""

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.stats.cluster import cluster_test, find_clusters
from brainalign.stats.graph import over_lags, pairs_of
from brainalign.stats.tfce import Enhancement, tfce, tfce_test


def line(n):
    return sparse.csr_array(np.eye(n, k=1) + np.eye(n, k=-1))


def test_clusters_on_a_line():
    found = find_clusters(np.array([3.0, 2.5, 0, -4, -3, 2.1, 1.9]), line(7), threshold=2.0)
    assert [list(members) for members in found] == [[0, 1], [5], [3, 4]]
    assert find_clusters(np.zeros(7), line(7), threshold=2.0) == []
    # exactly at the threshold is not beyond it
    assert find_clusters(np.full(3, 2.0), line(3), threshold=2.0) == []


def test_weights_and_p_values_by_hand():
    group = np.array([[3.0, 3, 0, -5], [2.5, 0, 2.5, 0], [0, 0, 0, 6], [2.2, 2.2, 2.2, 0]])
    found = cluster_test(group, line(4), threshold=2.0)
    np.testing.assert_allclose(found.maxima, [6, 2.5, 6, 6.6])
    assert [(cluster.weight, cluster.p) for cluster in found.clusters] == [(6.0, 3 / 4), (-5.0, 3 / 4)]
    np.testing.assert_array_equal(found.p, [0.75, 0.75, 1, 0.75])
    sizes = cluster_test(group, line(4), threshold=2.0, weigh="size")
    assert [(cluster.weight, cluster.p) for cluster in sizes.clusters] == [(2.0, 0.5), (-1.0, 1.0)]


def test_tfce_is_its_integral(rng):
    values = np.abs(rng.standard_normal(9)) + 0.01
    adjacency = line(9) + sparse.csr_array(([1.0, 1.0], ([0, 5], [5, 0])), shape=(9, 9))
    exact = tfce(values, adjacency, tail="greater")
    heights = np.unique(values)
    by_hand = np.zeros(9)
    for low, high in zip(np.concatenate([[0], heights[:-1]]), heights, strict=True):
        for members in find_clusters(values, adjacency, threshold=(low + high) / 2, tail="greater"):
            by_hand[members] += len(members) ** 0.5 * (high**3 - low**3) / 3
    np.testing.assert_allclose(exact, by_hand, rtol=1e-12)


def test_tfce_knows_signs_ties_and_lonely_tests(rng):
    values = np.array([2.0, 2.0, -1.0, 0.0, 3.0])
    found = tfce(values, line(5))
    np.testing.assert_allclose(found, [np.sqrt(2) * 8 / 3, np.sqrt(2) * 8 / 3, -1 / 3, 0, 9])
    np.testing.assert_allclose(tfce(-values, line(5)), -found)
    np.testing.assert_allclose(tfce(values, line(5), tail="greater"), np.maximum(found, 0))


def test_order_of_tests_does_not_matter(rng):
    values, order = rng.standard_normal(30), rng.permutation(30)
    dense = line(30).toarray()
    turned = sparse.csr_array(dense[np.ix_(order, order)])
    np.testing.assert_allclose(tfce(values[order], turned), tfce(values, line(30))[order], rtol=1e-12)


def test_maps_keep_their_shape(rng):
    channels = line(4)
    adjacency, group = over_lags(channels, n_lags=3), rng.standard_normal((20, 3, 4))
    assert cluster_test(group, adjacency, threshold=1.0).p.shape == (3, 4)
    assert tfce_test(group, adjacency).p_corrected.shape == (3, 4)
    assert len(pairs_of(adjacency, n_tests=12)[0]) == 3 * 3 + 2 * 4


def test_what_is_refused(rng):
    group = rng.standard_normal((5, 4))
    with pytest.raises(ShapeMismatch, match="adjacency must be for these tests"):
        cluster_test(group, line(5), threshold=1.0)
    with pytest.raises(ValueProblem, match="symmetric"):
        tfce(group[0], sparse.csr_array(np.eye(4, k=1)))
    with pytest.raises(ValueProblem, match="above 0"):
        cluster_test(group, line(4), threshold=0.0)
    with pytest.raises(UnknownName, match="did you mean 'mass'"):
        cluster_test(group, line(4), threshold=1.0, weigh="mas")
    with pytest.raises(UnknownName):
        tfce(group[0], line(4), tail="up")
    with pytest.raises(ShapeMismatch, match="data's statistic and its surrogates'"):
        tfce_test(group[:1], line(4))
    with pytest.raises(ValueProblem, match="must be positive"):
        Enhancement(step=0.0)
