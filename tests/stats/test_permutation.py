"""Summaries of nulls: what they say, and that they let the surrogates go."""

import tracemalloc

import numpy as np

from brainalign.stats.permutation import join, summarise


def groups(rng, *, n_features, n_surrogates=400, n_channels=32):
    for _ in range(n_features):
        yield rng.standard_normal((1 + n_surrogates, n_channels))


def test_surrogates_are_let_go_feature_by_feature(rng):
    tracemalloc.start()
    try:
        found = summarise(groups(rng, n_features=300))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one = 401 * 32 * 8
    assert found.observed.shape == (300, 32)
    # What is kept of a feature: maxima, sums per surrogate, a histogram, a few rows of channels.
    assert kept < 300 * one / 8
    assert peak < 300 * one / 4


def test_blocks_join_to_the_whole(rng):
    every = list(groups(rng, n_features=5, n_surrogates=60, n_channels=3))
    whole, parts = summarise(every), join([summarise(every[:2]), summarise(every[2:])])
    for name in ("observed", "mean", "sd", "p", "maxima", "histogram", "beyond", "together"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name), err_msg=name)
    np.testing.assert_array_equal(whole.observed[3], every[3][0])
