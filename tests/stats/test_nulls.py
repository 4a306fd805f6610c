"""Shifts, p-values and the max-statistic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from brainalign.core.errors import ValueProblem
from brainalign.stats.binomial import binomial_interval
from brainalign.stats.group import fisher_mean
from brainalign.stats.maxstat import corrected_p
from brainalign.stats.nulls.circular import circular_shifts, decorrelation_frames
from brainalign.stats.permutation import join, summarise


def test_shifts_keep_their_distance_both_ways_round(rng):
    shifts = circular_shifts([500, 700], n_permutations=2000, min_shift=100, rng=rng)
    assert np.all(shifts[0] == 0)
    assert shifts[1:].min(axis=0).tolist() == [100, 100]
    assert shifts[1:].max(axis=0).tolist() == [400, 600]


def test_trials_too_short_for_a_null_are_refused(rng):
    with pytest.raises(ValueProblem, match="too short for a circular-shift null"):
        circular_shifts([500, 290], n_permutations=10, min_shift=100, rng=rng)


def test_too_many_permutations_of_one_trial_are_refused(rng):
    with pytest.raises(ValueProblem, match="too few distinguishable shifts"):
        circular_shifts([400], n_permutations=1000, min_shift=100, rng=rng)


def test_decorrelation_follows_the_signals_memory(rng):
    white = rng.standard_normal((20_000, 3))
    slow = signal.lfilter([1], [1, -0.98], white, axis=0)
    assert decorrelation_frames(white) <= 1
    assert 60 < decorrelation_frames(slow) < 400


def test_blocks_of_features_join_to_the_same_summary(rng):
    null = rng.standard_normal((6, 50, 4))
    whole = summarise(null)
    parts = join([summarise(null[:2]), summarise(null[2:])])
    for name in ("observed", "mean", "sd", "p", "maxima"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.maxima.shape == (50, 6)


def test_p_is_never_zero_and_counts_the_data(rng):
    null = rng.standard_normal((1, 20, 2))
    null[0, 0] = 100.0
    assert np.all(summarise(null).p == 1 / 20)


def test_the_corrected_p_of_the_largest_statistic_counts_larger_maxima():
    maxima = np.array([4.0, 1.0, 5.0, 2.0, 3.0])
    np.testing.assert_allclose(corrected_p(np.array([[4.0, 0.5]]), maxima), [[2 / 5, 1.0]])


def test_listeners_are_averaged_on_fishers_scale(rng):
    one, two = rng.uniform(-0.3, 0.3, (2, 5, 2))
    np.testing.assert_allclose(np.arctanh(fisher_mean([one, two])), (np.arctanh(one) + np.arctanh(two)) / 2)
    assert abs(float(fisher_mean([np.array(1.0), np.array(0.0)]))) < 1


def test_the_interval_of_a_share_covers_it():
    low, high = binomial_interval(5, 100)
    assert low < 0.05 < high
    assert binomial_interval(0, 0) == (0.0, 1.0)
