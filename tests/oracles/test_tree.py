"""TreeBH, written out node by node as published, and special cases that statsmodels knows."""

import numpy as np
import pytest

from brainalign.stats.hierarchy import hierarchical_fdr, simes

N_CHANNELS = 5


def simes_by_hand(p):
    ordered = sorted(p)
    return min(len(ordered) * value / rank for rank, value in enumerate(ordered, start=1))


def bh_by_hand(p, bar):
    """Return the places that Benjamini and Hochberg's procedure finds, by trying every number of discoveries."""
    for n in range(len(p), 0, -1):
        inside = [i for i, value in enumerate(p) if value <= bar * n / len(p)]
        if len(inside) >= n:
            return inside
    return []


def tree_by_hand(p, layers, level):
    names = list(dict.fromkeys(layers))
    of_features = [simes_by_hand(row) for row in p]
    members = {name: [f for f, own in enumerate(layers) if own == name] for name in names}
    of_layers = [simes_by_hand([of_features[f] for f in members[name]]) for name in names]
    layers_found, features_found, pairs_found = bh_by_hand(of_layers, level), [], []
    for k in layers_found:
        family = members[names[k]]
        bar = level * len(layers_found) / len(names)
        inside = [family[i] for i in bh_by_hand([of_features[f] for f in family], bar)]
        features_found += inside
        for f in inside:
            pairs_found += [(f, c) for c in bh_by_hand(p[f], bar * len(inside) / len(family))]
    return layers_found, sorted(features_found), sorted(pairs_found)


@pytest.mark.parametrize("seed", range(60))
def test_every_node_of_the_tree(seed):
    rng = np.random.default_rng(seed)
    layers = rng.choice(list("abcd"), size=23).tolist()
    p = rng.random((23, N_CHANNELS)) ** rng.choice([1, 2, 5])
    p[rng.random(p.shape) < 0.1] *= 1e-3
    if seed % 2:
        p = np.ceil(200 * p) / 200  # counted p-values: ties, and values on the bars
    tree = hierarchical_fdr(p, layers=layers, level=0.1)
    layers_found, features_found, pairs_found = tree_by_hand(p, layers, 0.1 * (1 + 1e-9))
    assert np.flatnonzero(tree.layer_found).tolist() == layers_found
    assert np.flatnonzero(tree.feature_found).tolist() == features_found
    assert list(map(tuple, np.argwhere(tree.found).tolist())) == pairs_found


def test_one_layer_is_benjamini_and_hochberg_over_features(rng):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    p = rng.random((300, N_CHANNELS)) ** 2
    tree = hierarchical_fdr(p, layers=["6"] * 300, level=0.2)
    expected = multitest.multipletests(simes(p), alpha=0.2, method="fdr_bh")[0]
    assert 0 < expected.sum() < 300
    np.testing.assert_array_equal(tree.feature_found, expected)
    share = expected.mean()
    for f in np.flatnonzero(expected):
        inside = multitest.multipletests(p[f], alpha=0.2 * share, method="fdr_bh")[0]
        np.testing.assert_array_equal(tree.found[f], inside)


def test_simes_is_the_smallest_adjusted_p_value(rng):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    p = rng.random((50, 7))
    expected = [multitest.multipletests(row, method="fdr_bh")[1].min() for row in p]
    np.testing.assert_allclose(simes(p), expected, rtol=1e-12)
