"""The bootstrap's machinery: draws within parts, three intervals, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.stats.bootstrap import Resampling, bootstrap, draw_counts


def mean_of(values):
    return lambda counts: counts @ values / counts.sum(axis=1, keepdims=True)


def interval(values, **settings):
    whole = np.zeros(len(values), dtype=int)
    return bootstrap([mean_of(values)], whole, resampling=Resampling(**settings), block_frames=1)


def test_each_part_keeps_its_number_of_blocks(rng):
    strata = np.array([0, 1, 0, 2, 2, 2, 0, 1])
    counts = draw_counts(strata, n_draws=300, rng=rng)
    for part, n in ((0, 3), (1, 2), (2, 3)):
        assert (counts[:, strata == part].sum(axis=1) == n).all()
    assert counts.mean() == 1


@pytest.mark.parametrize(("method", "theirs"), [("percentile", "percentile"), ("bca", "BCa")])
def test_intervals_of_a_skewed_mean_equal_scipys(rng, method, theirs):
    """Of independent observations, where scipy's bootstrap applies; up to the draws' own chance."""
    values = rng.exponential(size=(25, 1)) ** 2
    ours = interval(values, method=method, n_draws=40_000)
    other = scipy_stats.bootstrap((values[:, 0],), np.mean, n_resamples=40_000, method=theirs, rng=1)
    width = other.confidence_interval.high - other.confidence_interval.low
    assert ours.low[0] == pytest.approx(other.confidence_interval.low, abs=0.03 * width)
    assert ours.high[0] == pytest.approx(other.confidence_interval.high, abs=0.03 * width)


def test_students_interval_of_a_mean_is_the_textbooks(rng):
    values = rng.standard_normal((20, 1))
    ours = interval(values, method="student", n_draws=100_000)
    textbook = scipy_stats.t.interval(0.95, 19, values.mean(), values.std(ddof=1) / np.sqrt(20))
    np.testing.assert_allclose([ours.low[0], ours.high[0]], textbook, atol=0.01)


def test_students_interval_on_fishers_scale_stays_below_one(rng):
    values = np.clip(rng.normal(0.97, 0.05, (12, 1)), -1, 0.9999)
    whole = np.zeros(12, dtype=int)
    found = bootstrap([mean_of(values)], whole, resampling=Resampling(method="student"), block_frames=1, scale="fisher")
    assert found.low < found.estimate < found.high < 1


def test_bca_leans_to_the_side_of_the_long_tail(rng):
    values = rng.exponential(size=(30, 1)) ** 2
    plain, corrected = (interval(values, method=method, n_draws=20_000) for method in ("percentile", "bca"))
    assert corrected.low > plain.low
    assert corrected.high > plain.high


def test_many_blocks_are_left_out_in_groups(rng):
    """Skewness from 200 groups is that of 1,000 blocks."""
    values = rng.exponential(size=(1000, 1)) ** 2
    grouped = interval(values, method="bca", n_draws=20_000)
    other = scipy_stats.bootstrap((values[:, 0],), np.mean, n_resamples=20_000, method="BCa", rng=1)
    width = other.confidence_interval.high - other.confidence_interval.low
    assert grouped.high[0] == pytest.approx(other.confidence_interval.high, abs=0.04 * width)


@pytest.mark.parametrize("method", ["percentile", "bca", "student"])
def test_a_statistic_without_spread_is_its_own_interval(method):
    found = interval(np.full((10, 1), 0.5), method=method)
    np.testing.assert_allclose([found.low, found.estimate, found.high], 0.5, atol=1e-12)


def test_the_same_seed_gives_the_same_draws(rng):
    values = rng.standard_normal((10, 2))
    one, two, other = (interval(values, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.draws, two.draws)
    assert (one.draws != other.draws).any()
    assert one.draws.shape == (2000, 2)


def test_draws_are_shared_out_among_several_cuts(rng):
    values, whole = rng.standard_normal((10, 1)), np.zeros(10, dtype=int)
    measures = [mean_of(values), mean_of(values + 100)]
    found = bootstrap(measures, whole, resampling=Resampling(method="percentile", n_draws=501), block_frames=1)
    assert (found.draws > 50).sum() == 250
    assert len(found.draws) == 501


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"method": "basic"}, UnknownName, "no interval of that name"),
        ({"block": "story"}, UnknownName, "no block of that name"),
        ({"n_draws": 50}, ValueProblem, "many resamples"),
    ],
)
def test_settings_are_checked(settings, error, message):
    with pytest.raises(error, match=message):
        Resampling(**settings)


def test_a_part_with_few_blocks_is_refused():
    with pytest.raises(ValueProblem, match="too little time to resample") as caught:
        bootstrap([mean_of(np.ones((12, 1)))], np.repeat([0, 1], [7, 5]), resampling=Resampling(), block_frames=1)
    assert "5 blocks" in caught.value.got
    assert "shorter blocks" in caught.value.fix
