"""Does the bound on how many people have it hold, whatever the share? And one p-value of all listeners?"""

import numpy as np
import pytest

from brainalign.stats.binomial import binomial_interval
from brainalign.stats.group import COMBINATIONS, combined_p
from brainalign.stats.prevalence import minimum_test, prevalence

N_STUDIES, N_LISTENERS = 400, 12


def bounds(rng, share, *, level=0.05):
    """Return two tests' bounds; the same eight listeners have the effect in both."""
    groups = rng.standard_normal((8, 40, 2))
    groups[:, 0] += 5 * (rng.random((8, 1)) < share)
    return minimum_test(groups, n_permutations=400, level=level, rng=rng).largest_null


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_the_smallest_listeners_bound_is_too_high_no_more_often_than_it_may(share):
    rng = np.random.default_rng(round(100 * share))
    found = np.array([bounds(rng, share) for _ in range(N_STUDIES)]) > share
    # Both bounds hold together if nobody has it, or else at half the level.
    halved = np.array([bounds(rng, share, level=0.025) for _ in range(N_STUDIES)]) > share
    together = found if share == 0 else halved
    for alarms in (*found.T, together.any(axis=1)):
        assert binomial_interval(int(alarms.sum()), N_STUDIES, level=0.99)[0] <= 0.05


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8])
def test_shares_from_counts(share):
    rng = np.random.default_rng(round(100 * share))
    has = rng.random((2000, N_LISTENERS)) < share
    found = [prevalence(p) for p in np.where(has, 1e-3, rng.random(has.shape))]
    assert binomial_interval(sum(item.low > share for item in found), 2000, level=0.99)[0] <= 0.05
    bias = np.mean([item.hits for item in found]) / N_LISTENERS - (0.05 + 0.95 * share)
    assert abs(bias) < 0.01


@pytest.mark.parametrize("method", COMBINATIONS)
def test_combined_p_values_are_uniform(rng, method):
    p = combined_p(rng.random((7, 5000)), method=method)
    for level in (0.01, 0.05, 0.5):
        low, high = binomial_interval(int((p <= level).sum()), 5000, level=0.99)
        assert low <= level <= high
