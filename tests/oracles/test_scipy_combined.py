"""Combined p-values are SciPy's."""

import numpy as np
import pytest
from scipy import stats

from brainalign.stats.group import COMBINATIONS, combined_p


@pytest.mark.parametrize("method", COMBINATIONS)
def test_combined_p_values(rng, method):
    p = np.concatenate([rng.random((6, 20)), rng.random((6, 5)) * 1e-12], axis=1)
    expected = [stats.combine_pvalues(column, method=method).pvalue for column in p.T]
    np.testing.assert_allclose(combined_p(p, method=method), expected, rtol=1e-10)
    np.testing.assert_allclose(combined_p(np.ones(3), method=method), 1)
