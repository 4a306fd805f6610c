"""False discoveries on the tree: each level's own rate, with channels and features that depend on each other."""

import numpy as np
import pytest
from scipy import special

from brainalign.stats.hierarchy import hierarchical_fdr
from brainalign.stats.multiple import benjamini_hochberg

N_STUDIES, N_LAYERS, N_EACH, N_CHANNELS, LEVEL = 800, 6, 20, 10, 0.1
LAYERS = np.repeat([f"l{k}" for k in range(N_LAYERS)], N_EACH)


def study(rng, *, truth, channels, features):
    """Return p-values: noise shared by channels of a feature, and by features of all layers on a channel."""
    n = len(LAYERS)
    z = np.sqrt(channels) * rng.standard_normal((n, 1)) + np.sqrt(features) * rng.standard_normal((1, N_CHANNELS))
    z = z + np.sqrt(1 - channels - features) * rng.standard_normal((n, N_CHANNELS)) + 3.5 * truth
    return special.ndtr(-z)


def false_shares(tree, truth):
    """Return the three levels' shares of false discoveries; 0 where nothing was found."""
    by_layer = truth.reshape(N_LAYERS, N_EACH, N_CHANNELS)
    layer_true, feature_true = by_layer.any(axis=(1, 2)), by_layer.any(axis=2)
    feature_found, found = tree.feature_found.reshape(N_LAYERS, -1), tree.found.reshape(by_layer.shape)
    of_features, of_channels = [], []
    for k in np.flatnonzero(tree.layer_found):
        inside = np.flatnonzero(feature_found[k])
        of_features.append(np.mean(~feature_true[k, inside]))
        of_channels.append(np.mean([np.mean(~by_layer[k, f, found[k, f]]) for f in inside]))
    if not of_features:
        return 0.0, 0.0, 0.0
    return np.mean(~layer_true[tree.layer_found]), np.mean(of_features), np.mean(of_channels)


def sparse_truth(rng, *, rich=0):
    """Two layers with few features on half of the channels; one more with many, if asked for."""
    truth = np.zeros((N_LAYERS, N_EACH, N_CHANNELS), dtype=bool)
    for k in (0, 1):
        truth[k, rng.choice(N_EACH, 4, replace=False), :5] = True
    truth[2, :rich] = True
    return truth.reshape(-1, N_CHANNELS)


def rates(rng, *, n_studies=N_STUDIES, signal=True, rich=0, **dependence):
    shares = []
    for _ in range(n_studies):
        truth = sparse_truth(rng, rich=rich) if signal else np.zeros((len(LAYERS), N_CHANNELS), dtype=bool)
        tree = hierarchical_fdr(study(rng, truth=truth, **dependence), layers=LAYERS.tolist(), level=LEVEL)
        shares.append(false_shares(tree, truth))
    shares = np.array(shares)
    return shares.mean(axis=0), 2.576 * shares.std(axis=0) / np.sqrt(n_studies)


@pytest.mark.parametrize(("channels", "features"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.5, 0.4)])
@pytest.mark.parametrize("signal", [False, True])
def test_every_levels_rate_is_at_most_the_level(rng, signal, channels, features):
    rate, reach = rates(rng, signal=signal, channels=channels, features=features)
    assert (rate - reach <= LEVEL).all(), rate
    if not signal and channels == features == 0:
        assert (rate + reach >= LEVEL).all()  # and it is not wasted


def test_beside_a_rich_layer_small_ones_stay_clean_where_one_rate_over_all_pairs_does_not(rng):
    """Benjamini and Hochberg over all pairs: the layers with few effects fill with false discoveries."""
    tree_shares, flat_shares = [], []
    for _ in range(150):
        truth = sparse_truth(rng, rich=N_EACH)
        p = study(rng, truth=truth, channels=0.3, features=0.0)
        tree = hierarchical_fdr(p, layers=LAYERS.tolist(), level=LEVEL)
        tree_shares.append(false_shares(tree, truth)[0])
        flat = (benjamini_hochberg(p) <= LEVEL).reshape(N_LAYERS, -1).any(axis=1)
        flat_shares.append(np.mean(~truth.reshape(N_LAYERS, -1).any(axis=1)[flat]))
    assert np.mean(tree_shares) <= LEVEL
    assert np.mean(flat_shares) > 2 * LEVEL


def test_planted_layers_features_and_channels_are_found(rng):
    hits = []
    for _ in range(50):
        truth = sparse_truth(rng)
        tree = hierarchical_fdr(
            study(rng, truth=truth, channels=0.3, features=0.0), layers=LAYERS.tolist(), level=LEVEL
        )
        hits.append(
            (tree.layer_found[:2].mean(), tree.feature_found[truth.any(axis=1)].mean(), tree.found[truth].mean())
        )
    assert (np.mean(hits, axis=0) > [0.95, 0.7, 0.5]).all(), np.mean(hits, axis=0)
