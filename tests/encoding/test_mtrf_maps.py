"""Single-feature response functions at a given penalty: from moments, the same as from the lag matrix."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.encoding.memory import Compute
from brainalign.encoding.mtrf_maps import mtrf_maps
from brainalign.encoding.multivariate import fit_fixed
from brainalign.encoding.penalty import Regulariser, to_mtrf
from tests.encoding.designs import lagged, make_design


@pytest.mark.parametrize("as_csr", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_weights_of_the_joint_models_of_one_feature(rng, as_csr, masked):
    design = make_design(rng, as_csr=as_csr, masked=masked)
    weights = mtrf_maps(design, 0.2)
    for f in range(design.n_features):
        alone = fit_fixed(design.select(np.array([f])), 0.2, regulariser=Regulariser("ridge", "mtrf"))
        np.testing.assert_allclose(weights[f], to_mtrf(alone)[0][0], rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("lags", [(-2, 5), (1, 7)])
def test_single_lag_models_are_regressions_on_one_column(rng, lags):
    design = make_design(rng, lags=lags)
    weights, rate = mtrf_maps(design, 0.2, kind="single"), float(design.lags.rate)
    x = np.concatenate([lagged(t.x.block(1, 2)[:, 0].astype(float), t_lags, edges="zero")
                        for t, t_lags in ((t, design.lags) for t in design.trials)])  # fmt: skip
    y = np.concatenate([trial.y for trial in design.trials])
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = rate * (x.T @ y) / ((x**2).sum(axis=0) + 0.2 * rate * len(design.trials))[:, None]
    np.testing.assert_allclose(weights[1], expected, rtol=1e-9)


def test_a_sparse_trajectory_of_few_events(rng):
    """So few that the moments are taken from pairs of non-zeros."""
    design = make_design(rng, as_csr=True, n_features=40, lags=(0, 1))
    dense = make_design(np.random.default_rng(42), as_csr=False, n_features=40, lags=(0, 1))
    np.testing.assert_allclose(mtrf_maps(design, 1.0), mtrf_maps(dense, 1.0), rtol=1e-9, atol=1e-18)


def test_neither_budget_nor_workers_change_a_byte(rng):
    design = make_design(rng, n_features=9)
    usual = mtrf_maps(design, 0.5)
    np.testing.assert_array_equal(mtrf_maps(design, 0.5, compute=Compute(n_jobs=2)), usual)
    np.testing.assert_allclose(mtrf_maps(design, 0.5, compute=Compute(memory="500KB")), usual, rtol=1e-12)


def test_a_silent_feature_has_no_weights(rng):
    design = make_design(rng, signal=0.0)
    silent = type(design)(
        tuple(type(t)(t.name, type(t.x)(0 * t.x.values, t.x.axis, t.x.features), t.y, t.mask) for t in design.trials),
        design.lags,
        design.channels,
        design.positions,
    )
    np.testing.assert_array_equal(mtrf_maps(silent, 1.0), 0)


def test_what_cannot_be_meant_is_refused(rng):
    design = make_design(rng)
    with pytest.raises(ValueProblem, match="the penalty must be above 0"):
        mtrf_maps(design, 0.0)
    with pytest.raises(UnknownName, match="kind of model"):
        mtrf_maps(design, 1.0, kind="double")
    with pytest.raises(ValueProblem, match="too short for the lag window"):
        mtrf_maps(make_design(rng, lags=(0, 160)), 1.0)
