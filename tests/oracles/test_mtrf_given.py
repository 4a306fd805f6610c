"""Response functions at a given penalty against mTRFpy's: all lags at once, and lag by lag."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.encoding.mtrf_maps import mtrf_maps
from tests.encoding.designs import make_design

mtrf = pytest.importorskip("mtrf", reason="the peers come with the extra 'bench'")
LAMBDA = 0.3


def theirs(design, feature, first, last):
    rate = float(design.lags.rate)
    x = [trial.x.block(feature, feature + 1).astype(float) for trial in design.trials]
    y = [np.asarray(trial.y, dtype=float) for trial in design.trials]
    model = mtrf.TRF(direction=1)
    # A hair inside the lags: their floor and ceiling would turn 3.0000000004 samples into 4.
    model.train(x, y, rate, (first + 1e-6) / rate, (last - 1e-6) / rate, LAMBDA, verbose=False)
    return model.weights[0]


@pytest.mark.parametrize("as_csr", [False, True])
@pytest.mark.parametrize("lags", [(-2, 5), (0, 6)])
def test_all_lags_at_once(rng, as_csr, lags):
    design = make_design(rng, as_csr=as_csr, lags=lags)
    weights = mtrf_maps(design, LAMBDA)
    for f in range(design.n_features):
        expected = theirs(design, f, *lags)
        np.testing.assert_allclose(weights[f], expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_lag_by_lag(rng):
    design = make_design(rng, lags=(0, 4))
    weights = mtrf_maps(design, LAMBDA, kind="single")
    for f in range(design.n_features):
        expected = np.concatenate([theirs(design, f, lag, lag)[:1] for lag in design.lags.samples])
        np.testing.assert_allclose(weights[f], expected, rtol=0, atol=1e-8 * np.abs(expected).max())
