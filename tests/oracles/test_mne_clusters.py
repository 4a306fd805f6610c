"""Clusters, their masses, their p-values and TFCE are MNE's."""

import mne
import numpy as np
import pytest
from mne.stats import combine_adjacency, permutation_cluster_1samp_test
from mne.stats.cluster_level import _find_clusters, _setup_adjacency

from brainalign.eeg.adjacency import channel_adjacency
from brainalign.stats.cluster import cluster_test, find_clusters
from brainalign.stats.graph import over_lags
from brainalign.stats.signflip import flipped, sign_flips
from brainalign.stats.tfce import Enhancement, tfce, tfce_test

N_LAGS, N_LISTENERS = 12, 6


@pytest.fixture(scope="module")
def cap():
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 64.0, "eeg", verbose="error").set_montage(montage)
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    return info, places


@pytest.fixture(scope="module")
def channels(cap):
    return channel_adjacency(cap[0].ch_names, cap[1])


@pytest.fixture
def values(rng, channels):
    noise = rng.standard_normal((N_LISTENERS, N_LAGS, channels.shape[0]))
    smooth = noise @ (channels.toarray() / channels.sum(axis=1))
    smooth[:, 4:8, :6] += 0.5
    return smooth


def test_adjacency_of_the_cap(cap, channels):
    expected, names = mne.channels.find_ch_adjacency(cap[0], "eeg")
    assert names == cap[0].ch_names
    np.testing.assert_array_equal(channels.toarray(), expected.toarray().astype(bool))


def test_adjacency_over_lags(channels):
    expected = combine_adjacency(N_LAGS, channels.tocoo()).toarray().astype(bool)
    found = over_lags(channels, n_lags=N_LAGS).toarray()
    np.testing.assert_array_equal(found | np.eye(len(found), dtype=bool), expected | np.eye(len(found), dtype=bool))


@pytest.mark.parametrize(("tail", "number"), [("greater", 1), ("less", -1), ("two-sided", 0)])
def test_clusters_masses_and_exact_p_values(values, channels, tail, number):
    adjacency, threshold = over_lags(channels, n_lags=N_LAGS), 2.0
    t, clusters, p, _ = permutation_cluster_1samp_test(
        values, threshold=-threshold if number < 0 else threshold, tail=number, adjacency=adjacency.tocoo(),
        n_permutations=2**N_LISTENERS, out_type="indices", verbose="error", seed=0,
    )  # fmt: skip
    signs, exact = sign_flips(N_LISTENERS, n_permutations=2**N_LISTENERS, rng=np.random.default_rng(0))
    assert exact
    group = flipped(values, signs)
    np.testing.assert_allclose(group[0], t, rtol=1e-10)
    found = cluster_test(group, adjacency, threshold=threshold, tail=tail)
    members = {tuple(np.sort(np.ravel_multi_index(cluster, t.shape))): i for i, cluster in enumerate(clusters)}
    assert len(found.clusters) == len(members) > 3
    for cluster in found.clusters:
        i = members[tuple(cluster.members)]
        assert cluster.weight == pytest.approx(t[clusters[i]].sum(), rel=1e-10)
        if tail != "two-sided":  # MNE counts the data twice among its exact patterns, and leaves one out
            assert cluster.p == pytest.approx(p[i], abs=1 / 64 + 1e-12)


@pytest.mark.parametrize(("tail", "number"), [("greater", 1), ("two-sided", 0)])
def test_tfce_over_steps(values, channels, tail, number):
    adjacency = over_lags(channels, n_lags=N_LAGS)
    t = mne.stats.ttest_1samp_no_p(values)
    neighbours = _setup_adjacency(adjacency.tocoo(), t.size, N_LAGS)
    _, expected = _find_clusters(
        t.ravel(), {"start": 0, "step": 0.2}, tail=number, adjacency=neighbours, max_step=1, include=None,
        partitions=None, t_power=1, show_info=False,
    )  # fmt: skip
    found = tfce(t, adjacency, tail=tail, enhancement=Enhancement(step=0.2))
    np.testing.assert_allclose(np.abs(found).ravel(), expected, rtol=1e-10, atol=1e-12)


def test_small_steps_come_to_the_exact_integral(values, channels):
    adjacency = over_lags(channels, n_lags=N_LAGS)
    t = flipped(values, np.ones((1, N_LISTENERS)))[0]
    exact = tfce(t, adjacency)
    fine = tfce(t, adjacency, enhancement=Enhancement(step=1e-4))
    np.testing.assert_allclose(fine, exact, rtol=2e-3, atol=1e-3)


def test_a_planted_patch_is_found_by_both(values, channels):
    signs, _ = sign_flips(N_LISTENERS, n_permutations=63, rng=np.random.default_rng(0))
    adjacency = over_lags(channels, n_lags=N_LAGS)
    values[:, 4:8, :6] += 2.0
    group = flipped(values, signs)
    mass, enhanced = (
        cluster_test(group, adjacency, threshold=2.0, tail="greater"),
        tfce_test(group, adjacency, tail="greater"),
    )
    assert (mass.p[4:8, :6] <= 1 / 32).all()
    assert (enhanced.p_corrected[4:8, :6] <= 1 / 32).mean() > 0.9
    assert find_clusters(group[0], adjacency, threshold=2.0, tail="greater")
