"""Exact enumeration of signs is SciPy's."""

import numpy as np
import pytest
from scipy import stats

from brainalign.stats.signflip import sign_flip_test


@pytest.mark.parametrize("tail", ["greater", "less", "two-sided"])
def test_p_values_of_the_mean(rng, tail):
    values = rng.standard_normal((8, 5)) + 0.5
    values[:, 4] = np.round(values[:, 4])  # ties
    found = sign_flip_test(values, n_permutations=255, statistic="mean", tail=tail)
    assert found.exact
    for test in range(5):
        expected = stats.permutation_test(
            (values[:, test],), np.mean, permutation_type="samples", alternative=tail, n_resamples=np.inf
        ).pvalue
        assert found.p[test] == pytest.approx(expected, abs=1e-12)
