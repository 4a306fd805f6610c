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


def test_the_shifts_of_a_single_trial_keep_their_distance_both_ways_round(rng):
    shifts = circular_shifts([2500], n_permutations=50, min_shift=1000, rng=rng)
    assert shifts[0] == 0
    assert shifts.shape == (51, 1)
    assert 1000 <= shifts[1:].min() < 1100 and 1400 < shifts[1:].max() <= 1500


def test_trials_go_anywhere_as_long_as_half_of_the_frames_leave_their_place(rng):
    sizes = np.array([500, 700, 900])
    shifts = circular_shifts(sizes, n_permutations=4000, min_shift=100, rng=rng)
    assert np.all(shifts[0] == 0)
    moved = np.minimum(shifts, sizes - shifts) >= 100
    assert np.all((moved @ sizes)[1:] >= sizes.sum() / 2)
    # One trial alone is free: 40 % of the shifts of the first one lie near its place, of which some were drawn again.
    assert 0.2 < np.mean(~moved[1:, 0]) < 0.4
    for trial, n in enumerate(sizes):
        assert shifts[1:, trial].min() < 10 and shifts[1:, trial].max() > n - 10


def test_no_trial_stays_within_the_lag_window(rng):
    shifts = circular_shifts([500, 700, 900], n_permutations=4000, min_shift=100, rng=rng, closest=20)
    assert shifts[1:].min(axis=0).tolist() == [20, 20, 20]
    assert shifts[1:].max(axis=0).tolist() == [480, 680, 880]


def test_trials_too_short_for_a_null_are_refused(rng):
    with pytest.raises(ValueProblem, match="too short for a circular-shift null"):
        circular_shifts([500, 290], n_permutations=10, min_shift=100, rng=rng)


def test_too_many_permutations_of_one_trial_are_refused(rng):
    with pytest.raises(ValueProblem, match="too few distinguishable shifts"):
        circular_shifts([400], n_permutations=1000, min_shift=100, rng=rng)


def test_decorrelation_follows_the_signals_memory(rng):
    white = rng.standard_normal((20_000, 3))
    slow = signal.lfilter([1], [1, -0.98], white, axis=0)
    assert decorrelation_frames([white]) <= 1
    assert 60 < decorrelation_frames([slow]) < 400


def test_short_trials_pool_what_they_say_of_their_memory(rng):
    """One short trial's autocorrelation is noise at every lag; sixteen of them together show where it ends."""
    trials = signal.lfilter([1], [1, -0.8], rng.standard_normal((16, 400, 8)), axis=1)
    assert decorrelation_frames([trials[0]]) > 40
    assert 5 < decorrelation_frames(list(trials)) < 25


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
