"""Early stopping: by hand, against the stopping rule in its own words, what it costs, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.stats.permutation import permutation_p
from brainalign.stats.sequential import besag_clifford_p, expected_draws, sequential_p


def by_hand(scores, h):
    """Draw until h surrogates have reached the data, or none are left."""
    reached = 0
    for taken, score in enumerate(scores[1:], start=1):
        reached += score >= scores[0]
        if reached == h:
            return h / taken
    return (1 + reached) / len(scores)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 60))
def test_equals_the_rule_in_its_own_words(seed, h, n):
    group = np.random.default_rng(seed).integers(0, 6, (1 + n, 5)).astype(float)  # ties, too
    expected = [by_hand(scores, h) for scores in group.T]
    np.testing.assert_array_equal(sequential_p(group, stop_hopeless=h), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_what_comes_after_stopping_does_not_matter(seed, h):
    group = np.random.default_rng(seed).standard_normal((60, 4))
    early = group.copy()
    reached = np.cumsum(group[1:] >= group[0], axis=0)
    early[1:][np.vstack([np.zeros((1, 4), dtype=int), reached[:-1]]) >= h] = np.nan
    np.testing.assert_array_equal(sequential_p(early, stop_hopeless=h), sequential_p(group, stop_hopeless=h))


def test_small_p_values_are_the_full_tests(rng):
    group = rng.standard_normal((1001, 300))
    group[0] += np.linspace(0, 4, 300)
    full, early = permutation_p(group), sequential_p(group, stop_hopeless=20)
    np.testing.assert_allclose(early[full <= 20 / 1001], full[full <= 20 / 1001])
    assert (early[full > 20 / 1001] >= 0.02).all()


def test_cost_is_what_was_said(rng):
    h, n = 10, 300
    reached = np.cumsum(rng.random((n, 20000)) < 0.1, axis=0)
    taken = np.where(reached[-1] >= h, 1 + (reached >= h).argmax(axis=0), n)
    assert taken.mean() == pytest.approx(
        float(expected_draws(np.array(0.1), stop_hopeless=h, n_permutations=n)), rel=0.01
    )
    p = (np.arange(4000) + 0.5) / 4000
    average = expected_draws(p, stop_hopeless=h, n_permutations=n).mean()
    assert average == pytest.approx(float(expected_draws(stop_hopeless=h, n_permutations=n)), rel=1e-4)
    assert expected_draws(stop_hopeless=500, n_permutations=n) == n
    np.testing.assert_allclose(expected_draws(np.array([0.0, 1.0]), stop_hopeless=h, n_permutations=n), [n, h])


def test_a_score_that_is_missing_is_no_surrogate_below_the_data(rng):
    group = rng.standard_normal((100, 3))
    early = group.copy()
    reached = np.cumsum(group[1:] >= group[0], axis=0)
    early[1:][np.vstack([np.zeros((1, 3), dtype=int), reached[:-1]]) >= 2] = np.nan
    if np.isnan(early).any():
        with pytest.raises(NotFinite, match="had not stopped"):
            sequential_p(early, stop_hopeless=5)
    group[0, 1] = np.nan
    with pytest.raises(NotFinite, match="row 0"):
        sequential_p(group, stop_hopeless=5)


def test_what_is_refused():
    with pytest.raises(ValueProblem, match="exceedance to wait for"):
        sequential_p(np.zeros((5, 2)), stop_hopeless=0)
    with pytest.raises(ShapeMismatch, match="data and its surrogates"):
        sequential_p(np.zeros((1, 2)), stop_hopeless=3)
    for reached, taken in ((1, 50), (3, 50), (2, 1), (2, 100), (-1, 99)):
        with pytest.raises(ValueProblem, match="takes all surrogates, or stops"):
            besag_clifford_p(np.array(reached), np.array(taken), stop_hopeless=2, n_permutations=99)
    with pytest.raises(ValueProblem, match="between 0 and 1"):
        expected_draws(np.array([1.2]), stop_hopeless=2, n_permutations=9)
