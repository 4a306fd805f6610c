"""Corrections for many tests are those of statsmodels."""

import numpy as np
import pytest

from brainalign.stats.multiple import adjusted

multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
NAMES = {"holm": "holm", "benjamini-hochberg": "fdr_bh", "benjamini-yekutieli": "fdr_by"}


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("n", [1, 2, 7, 5000])
def test_the_same_adjusted_p_values(rng, method, n):
    p = rng.random(n) ** 3
    p[: n // 3] = np.round(p[: n // 3], 2)  # ties, zeros among them
    expected = multitest.multipletests(p, method=NAMES[method])[1]
    np.testing.assert_allclose(adjusted(p, method=method), expected, rtol=1e-12, atol=1e-15)
