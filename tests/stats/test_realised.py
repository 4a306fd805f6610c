"""Realised rates and their intervals."""

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.stats.realised import family_rates, single_rates


def test_shares_by_hand():
    p = np.array([[0.01, 0.2], [0.5, 0.04], [0.3, 0.3], [0.6, 0.7], [0.8, 0.9]])
    (rate,) = single_rates(p, levels=(0.05,))
    assert rate.rate == pytest.approx(0.2)
    assert rate.low < 0.05 < rate.high
    assert rate.holds
    (family,) = family_rates(p, levels=(0.05,))
    assert (family.rate, family.n) == (pytest.approx(0.4), 5)


def test_an_inflated_test_is_seen(rng):
    p = rng.random((200, 30)) ** 2
    for rate in (*single_rates(p), *family_rates(np.minimum(1, 5 * p.min(axis=1, keepdims=True)))):
        assert not rate.holds


def test_the_interval_covers_with_tests_that_depend_on_each_other(rng):
    """Each data set has one common part, so its tests are far from independent."""
    covered = 0
    for _ in range(300):
        z = rng.standard_normal((60, 1)) + rng.standard_normal((60, 40))
        from scipy.stats import norm

        (rate,) = single_rates(norm.sf(z / np.sqrt(2)), levels=(0.1,))
        covered += rate.low <= 0.1 <= rate.high
    assert 0.96 < covered / 300 < 0.999


def test_no_alarm_at_all_still_has_an_interval():
    (rate,) = single_rates(np.ones((50, 4)), levels=(0.05,))
    assert (rate.rate, rate.low) == (0, 0)
    assert 0.09 < rate.high < 0.12


def test_too_few_data_sets():
    with pytest.raises(ValueProblem, match="at least 5"):
        single_rates(np.ones((4, 3)))
