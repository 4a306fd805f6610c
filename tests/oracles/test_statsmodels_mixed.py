"""Variances between and within listeners are statsmodels' mixed model's."""

import warnings

import numpy as np
import pytest

from brainalign.stats.longtable import random_effects_summary

models = pytest.importorskip("statsmodels.api")


@pytest.mark.parametrize("spread", [0.5, 0.15, 1.0])
def test_balanced_data(rng, spread):
    scores = 0.2 + spread * rng.standard_normal((9, 1)) + 0.3 * rng.standard_normal((9, 5))
    model = models.MixedLM(scores.ravel(), np.ones((45, 1)), groups=np.repeat(np.arange(9), 5))
    fit = model.fit(reml=True, method=["powell"], ftol=1e-15)
    found = random_effects_summary(scores)
    assert found.between > 0.005
    np.testing.assert_allclose(found.mean, fit.fe_params[0], atol=1e-8)
    np.testing.assert_allclose(found.se, fit.bse_fe[0], rtol=1e-6)
    np.testing.assert_allclose(found.between, fit.cov_re[0, 0], rtol=1e-6)
    np.testing.assert_allclose(found.within, fit.scale, rtol=1e-6)


def test_no_variance_between(rng):
    """Their optimiser comes near the bound only; the likelihood there is no better than at ours."""
    scores = rng.standard_normal((9, 5))
    scores -= scores.mean(axis=1, keepdims=True)
    model = models.MixedLM(scores.ravel(), np.ones((45, 1)), groups=np.repeat(np.arange(9), 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(reml=True, method=["powell"])
    found = random_effects_summary(scores)
    assert found.between == found.icc == 0
    np.testing.assert_allclose(found.within, fit.scale, rtol=1e-3)
    np.testing.assert_allclose(found.se, fit.bse_fe[0], rtol=1e-3)
