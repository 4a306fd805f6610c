"""Models with given penalties are those that cross-validation ends with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.banded import Search, fit_banded, fit_fixed_bands
from brainalign.encoding.multivariate import Numerics, fit_encoding, fit_fixed
from brainalign.encoding.penalty import Regulariser
from tests.encoding.designs import make_design

PENALTIES = (0.01, 0.3, 3.0)


@pytest.mark.parametrize("solver", ["cholesky", "kernel"])
@pytest.mark.parametrize("rule", [Regulariser(), Regulariser("ridge", "mtrf")])
def test_the_final_model_of_a_cross_validation(rng, solver, rule):
    design, numerics = make_design(rng, masked=True), Numerics(solver=solver)
    chosen = fit_encoding(design, penalties=PENALTIES, regulariser=rule, numerics=numerics)
    fixed = fit_fixed(design, chosen.coef_alpha[0], regulariser=rule, numerics=numerics)
    np.testing.assert_allclose(fixed.coef, chosen.coef, rtol=1e-9, atol=1e-16)
    np.testing.assert_allclose(fixed.intercept, chosen.intercept, rtol=1e-9)
    np.testing.assert_array_equal(fixed.coef_alpha, chosen.coef_alpha)


@pytest.mark.parametrize("rule", [Regulariser("tikhonov-2"), Regulariser("ridge", "mne")])
def test_one_penalty_for_all(rng, rule):
    design = make_design(rng)
    chosen = fit_encoding(design, penalties=[0.3], regulariser=rule)
    np.testing.assert_allclose(fit_fixed(design, 0.3, regulariser=rule).coef, chosen.coef, rtol=1e-9, atol=1e-16)


def test_one_trial_is_enough_and_has_no_scores(rng):
    design = make_design(rng, n_trials=1)
    result = fit_fixed(design, 1.0)
    assert result.scores.shape == (0, 4)
    with pytest.raises(ValueProblem, match="not cross-validated"):
        _ = result.score


def test_as_many_penalties_as_channels(rng):
    with pytest.raises(ShapeMismatch, match="give 1 or 4 numbers"):
        fit_fixed(make_design(rng), [1.0, 2.0])


def test_bands(rng):
    design = replace(make_design(rng), bands={"one": (0, 2)})
    chosen = fit_banded(design, penalties=PENALTIES, search=Search(n_candidates=5))
    fixed = fit_fixed_bands(design, chosen.coef_alpha)
    np.testing.assert_allclose(fixed.coef, chosen.coef, rtol=1e-9, atol=1e-16)
    with pytest.raises(ShapeMismatch, match="bands, channels"):
        fit_fixed_bands(design, chosen.coef_alpha[:1])


def test_a_band_can_be_left_out(rng):
    design = replace(make_design(rng), bands={"one": (0, 2)})
    fixed = fit_fixed_bands(design, np.repeat([[1.0], [np.inf]], 4, axis=1))
    assert not fixed.coef[1].any()
    assert fixed.coef[[0, 2]].all()
