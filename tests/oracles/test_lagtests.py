"""One-sided t-tests and Holm's correction against SciPy's and statsmodels'."""

import numpy as np
import pytest
from scipy import stats

from brainalign.stats.lagtests import lag_tests


@pytest.mark.parametrize("n_parts", [1, 2])
def test_ttest_1samp_at_the_extremes(rng, n_parts):
    development = rng.standard_normal((12, 7, 8))
    test = rng.standard_normal((12, 7, 8, n_parts)) + 0.3
    found = lag_tests(development, test)
    sides = (("less", development.mean(axis=2).argmin(axis=1)), ("greater", development.mean(axis=2).argmax(axis=1)))
    for column, (alternative, lags) in enumerate(sides):
        values = np.array([test[f, lag].ravel() for f, lag in enumerate(lags)])
        theirs = stats.ttest_1samp(values, 0, axis=1, alternative=alternative)
        np.testing.assert_allclose(found.t[:, column], theirs.statistic, rtol=1e-12)
        np.testing.assert_allclose(found.p[:, column], theirs.pvalue, rtol=1e-9)
    assert found.dof == theirs.df[0]


def test_holm_over_both_directions(rng):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="an oracle")
    development, test = rng.standard_normal((12, 7, 8)), rng.standard_normal((12, 7, 8, 1)) + 1
    found = lag_tests(development, test)
    expected = multitest.multipletests(found.p.ravel(), method="holm")[1].reshape(found.p.shape)
    np.testing.assert_allclose(found.p_adjusted, expected, rtol=1e-12)
