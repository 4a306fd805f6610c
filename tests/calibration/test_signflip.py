"""Without effect, p-values of sign flips are uniform and the family-wise error is nominal."""

from brainalign.stats.binomial import binomial_interval
from brainalign.stats.signflip import sign_flip_test


def test_heavy_tails_and_dependent_tests(rng):
    n, alarms, single = 500, 0, 0
    for study in range(n):
        values = rng.standard_t(3, size=(12, 15)) + rng.standard_t(3, size=(12, 1))
        found = sign_flip_test(values, n_permutations=199, seed=study)
        single += found.p[0] <= 0.05
        alarms += (found.p_corrected <= 0.05).any()
    for count in (single, alarms):
        low, high = binomial_interval(count, n, level=0.99)
        assert low <= 0.05 <= high
