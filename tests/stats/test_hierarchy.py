"""The tree of layers, features and channels: what nests, what is never lost, what is refused. Values: oracles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.stats.hierarchy import hierarchical_fdr, simes

SEEDS = st.integers(0, 2**32 - 1)


def world(seed, *, n_features=12, n_channels=4):
    rng = np.random.default_rng(seed)
    p = rng.random((n_features, n_channels)) ** rng.integers(1, 5)
    p[0] *= 1e-4
    return p, rng.choice(["3", "6", "12"], size=n_features).tolist(), rng


def everything(tree):
    return tree.layer_found, tree.feature_found, tree.found


@given(SEEDS)
def test_what_is_found_is_inside_of_what_was_found(seed):
    p, layers, _ = world(seed)
    tree = hierarchical_fdr(p, layers=layers, level=0.1)
    of_feature = np.array([tree.layers.index(layer) for layer in layers])
    np.testing.assert_array_equal(
        tree.found.any(axis=1), tree.feature_found
    )  # Simes: never a feature without a channel
    inside = [tree.feature_found[of_feature == k].any() for k in range(len(tree.layers))]
    np.testing.assert_array_equal(inside, tree.layer_found)


@given(SEEDS)
def test_the_order_of_features_and_channels_does_not_matter(seed):
    p, layers, rng = world(seed)
    rows, columns = rng.permutation(p.shape[0]), rng.permutation(p.shape[1])
    tree = hierarchical_fdr(p, layers=layers, level=0.1)
    other = hierarchical_fdr(p[rows][:, columns], layers=[layers[f] for f in rows], level=0.1)
    np.testing.assert_array_equal(other.found, tree.found[rows][:, columns])
    np.testing.assert_array_equal(other.feature_found, tree.feature_found[rows])
    assert dict(zip(other.layers, other.layer_found, strict=True)) == dict(
        zip(tree.layers, tree.layer_found, strict=True)
    )


@given(SEEDS, st.floats(0, 1))
def test_smaller_p_values_and_a_higher_level_lose_nothing(seed, factor):
    p, layers, rng = world(seed)
    less = np.where(rng.random(p.shape) < 0.3, factor * p, p)
    before = hierarchical_fdr(p, layers=layers, level=0.1)
    for after in (hierarchical_fdr(less, layers=layers, level=0.1), hierarchical_fdr(p, layers=layers, level=0.2)):
        for one, other in zip(everything(before), everything(after), strict=True):
            assert (one <= other).all()


def test_a_rich_layer_makes_no_room_for_an_empty_one():
    """Over all pairs, a bar of 0.05 would let every p-value of 0.03 in the second layer pass."""
    p = np.full((20, 8), 1e-6)
    p[10:] = 0.03
    p[10:, 4:] = 0.6
    tree = hierarchical_fdr(p, layers=["6"] * 10 + ["12"] * 10)
    assert (np.sort(p.ravel()) <= 0.05 * np.arange(1, 161) / 160).nonzero()[0].max() >= 100
    assert tree.layer_found.tolist() == [True, False]
    assert tree.found[:10].all()
    assert not tree.found[10:].any()


def test_given_p_values_of_features_take_the_place_of_simes():
    p = np.array([[0.5, 0.04], [0.5, 0.04], [0.9, 0.9]])
    assert not hierarchical_fdr(p, layers="aab").feature_found.any()
    tree = hierarchical_fdr(p, layers="aab", feature_p=np.array([0.001, 0.002, 0.9]))
    assert tree.feature_found.tolist() == [True, True, False]
    assert tree.layer_p.tolist() == [0.002, 0.9]
    assert not tree.found.any()  # 0.04 on one of two channels does not reach 0.05 / 2 / 2


def test_nothing_is_found_in_nothing():
    tree = hierarchical_fdr(np.ones((3, 2)), layers=["a", "b", "a"])
    assert not any(part.any() for part in everything(tree))
    assert tree.layers == ("a", "b")
    assert "TreeBH at 0.05" in tree.note


def test_a_whole_encoder_takes_little_time(rng):
    layers = np.repeat([str(k) for k in range(12)], 4096).tolist()
    assert hierarchical_fdr(rng.random((len(layers), 64)), layers=layers).found.shape == (49152, 64)


def test_what_is_refused():
    p = np.full((3, 2), 0.5)
    for wrong in (np.nan, -0.1, 1.1):
        bad = p.copy()
        bad[1, 1] = wrong
        with pytest.raises(ValueProblem, match="between 0 and 1"):
            hierarchical_fdr(bad, layers="aab")
        with pytest.raises(ValueProblem, match="between 0 and 1"):
            hierarchical_fdr(p, layers="aab", feature_p=bad[:, 1])
    with pytest.raises(ShapeMismatch, match="its layer"):
        hierarchical_fdr(p, layers="ab")
    with pytest.raises(ShapeMismatch, match="features by channels"):
        hierarchical_fdr(p[0], layers="ab")
    with pytest.raises(ShapeMismatch, match="feature_p must have shape"):
        hierarchical_fdr(p, layers="aab", feature_p=np.ones(2))
    with pytest.raises(ValueProblem, match="level must lie"):
        hierarchical_fdr(p, layers="aab", level=0.0)
    with pytest.raises(ShapeMismatch, match="p-values to combine"):
        simes(np.ones((2, 0)))
