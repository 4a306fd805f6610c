"""Two one-sided t-tests at lags chosen elsewhere: what they find, how often they err, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.stats.binomial import binomial_interval
from brainalign.stats.lagtests import extreme_lags, lag_tests, one_sided

N_FEATURES, N_LAGS, N_SUBJECTS = 40, 12, 9


def draw(rng, *, n_features=N_FEATURES, n_parts=1):
    development = rng.standard_normal((n_features, N_LAGS, N_SUBJECTS))
    return development, rng.standard_normal((n_features, N_LAGS, N_SUBJECTS, n_parts))


def planted(rng, **more):
    development, test = draw(rng, **more)
    for part in (development, test[..., 0]):
        part[0, 3] -= 5.0
        part[1, 7] += 5.0
        part[2, 2] -= 5.0
        part[2, 9] += 5.0
    return development, test


def test_a_trough_a_peak_and_both_are_found_where_they_are(rng):
    found = lag_tests(*planted(rng))
    assert [tuple(row) for row in np.argwhere(found.p_adjusted <= 0.05)] == [(0, 0), (1, 1), (2, 0), (2, 1)]
    assert (found.lags[0, 0, 0], found.lags[1, 1, 0], *found.lags[2, :, 0]) == (3, 7, 2, 9)
    assert found.dof == N_SUBJECTS - 1
    assert np.all(np.sign(found.mean[2]) == [-1, 1])
    assert np.all(found.lags == found.lags[..., :1]), "one lag for all subjects"


def test_effects_on_the_wrong_side_are_none(rng):
    """Where the sign turns round between development and test, nothing is found, however strong it is."""
    development, test = planted(rng)
    assert lag_tests(development, -test).p_adjusted.min() > 0.05


def test_each_subjects_own_lags(rng):
    development, test = draw(rng, n_features=1)
    for i in range(N_SUBJECTS):
        development[0, i, i] = test[0, i, i, 0] = 6.0 + 0.1 * i
    own = lag_tests(development, test, lags_from="subject")
    assert own.lags[0, 1].tolist() == list(range(N_SUBJECTS))
    assert own.mean[0, 1] == pytest.approx(6.4)
    assert own.p[0, 1] < 1e-9 < lag_tests(development, test).p[0, 1]


def test_parts_of_the_test_data_are_observations(rng):
    development, test = planted(rng, n_parts=3)
    assert lag_tests(development, test).dof == 3 * N_SUBJECTS - 1


def test_a_family_of_each_direction_is_less_strict(rng):
    one, other = (lag_tests(*draw(np.random.default_rng(1)), family=name) for name in ("all tests", "each direction"))
    np.testing.assert_array_equal(one.p, other.p)
    assert np.all(other.p_adjusted <= one.p_adjusted)
    assert np.any(other.p_adjusted < one.p_adjusted)


def test_what_does_not_vary_says_nothing():
    t, p = one_sided(np.zeros((2, 5)), side="above")
    assert (t.tolist(), p.tolist()) == ([0, 0], [1, 1])


def test_the_order_of_subjects_and_features_changes_nothing_else(rng):
    development, test = planted(rng)
    order, people = rng.permutation(N_FEATURES), rng.permutation(N_SUBJECTS)
    before, after = lag_tests(development, test), lag_tests(development[order][..., people], test[order][:, :, people])
    np.testing.assert_allclose(after.p_adjusted, before.p_adjusted[order], rtol=1e-9)


def test_independent_normal_listeners_are_judged_at_the_nominal_rates():
    rng = np.random.default_rng(7)
    p = lag_tests(*draw(rng, n_features=6000)).p
    for level in (0.05, 0.01, 0.001):
        low, high = binomial_interval(round(level * p.size), p.size, level=0.99)
        assert low <= (p <= level).mean() <= high
    families = [lag_tests(*draw(rng)).p_adjusted.min() <= 0.05 for _ in range(400)]
    assert np.mean(families) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 400)


def test_what_cannot_be_meant_is_refused(rng):
    development, test = draw(rng)
    with pytest.raises(UnknownName, match="source of lags"):
        lag_tests(development, test, lags_from="everybody")
    with pytest.raises(UnknownName, match="family of tests"):
        lag_tests(development, test, family="none")
    with pytest.raises(ShapeMismatch, match="features, lags, subjects"):
        lag_tests(development, test[..., 0])
    with pytest.raises(ValueProblem, match="at least two observations"):
        lag_tests(development[..., :1], test[:, :, :1])
    assert extreme_lags(development).shape == (N_FEATURES, 2, N_SUBJECTS)
