"""Lag bases against explicit regressions on the functions of lag."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import Lags
from brainalign.encoding.basis import is_mirrored, lag_basis
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.massunivariate import LagModel, feature_maps, rotated_scores
from tests.encoding.designs import lagged, make_design

LAGS = (-3, 12)


@pytest.mark.parametrize("name", ["hamming-100ms", "hamming-50ms", "spline-4", "spline-7"])
@pytest.mark.parametrize("n_lags", [10, 16, 33])
def test_named_bases_have_unit_independent_mirrored_functions(name, n_lags):
    basis = lag_basis(name, Lags(0, n_lags - 1, 50))
    np.testing.assert_allclose(np.linalg.norm(basis, axis=0), 1)
    assert np.linalg.matrix_rank(basis) == basis.shape[1] <= n_lags
    assert is_mirrored(basis)
    assert np.all(basis.sum(axis=1) > 0)


def test_splines_can_follow_any_straight_line():
    basis = lag_basis("spline-6", Lags(0, 20, 50))
    line = 0.3 + 2 * np.arange(21)
    weights = np.linalg.lstsq(basis, line, rcond=None)[0]
    np.testing.assert_allclose(basis @ weights, line, atol=1e-9)


@pytest.mark.parametrize("bad", ["spline-3", "spline-40", "hamming-1ms", "hamming-9000ms", "wavelet-3"])
def test_impossible_bases_are_refused(bad):
    with pytest.raises(ValueProblem, match=r"lag basis|splines|Hamming"):
        lag_basis(bad, Lags(*LAGS, 50))


def test_a_matrix_must_fit_the_lags_and_be_of_full_rank():
    with pytest.raises(ShapeMismatch, match="lags by at most"):
        lag_basis(np.eye(4), Lags(*LAGS, 50))
    with pytest.raises(ValueProblem, match="depend on each other"):
        lag_basis(np.ones((16, 2)), Lags(*LAGS, 50))


def rows(design, feature, basis, edges, shift=None):
    pairs = []
    for k, trial in enumerate(design.trials):
        x = np.roll(trial.x.block(feature, feature + 1)[:, 0].astype(float), 0 if shift is None else shift[k])
        pairs.append((lagged(x, design.lags, edges=edges) @ basis, np.asarray(trial.y, dtype=float)))
    return pairs


def solve(pairs, folds, out, penalty):
    kept = [pair for pair, fold in zip(pairs, folds, strict=True) if fold not in out]
    x, y = np.vstack([pair[0] for pair in kept]), np.vstack([pair[1] for pair in kept])
    mean, unit = x.mean(axis=0), len(x) * x.var(axis=0).mean()
    gram = (x - mean).T @ (x - mean) + penalty * unit * np.eye(x.shape[1])
    return np.linalg.solve(gram, (x - mean).T @ (y - y.mean(axis=0)))


def held_out_r(pairs, folds, penalty):
    scores = []
    for fold in range(folds.max() + 1):
        weights = solve(pairs, folds, (fold,), penalty)
        held = [pair for pair, k in zip(pairs, folds, strict=True) if k == fold]
        predicted, y = np.vstack([p[0] for p in held]) @ weights, np.vstack([p[1] for p in held])
        scores.append([np.corrcoef(predicted[:, c], y[:, c])[0, 1] for c in range(y.shape[1])])
    return np.array(scores)


@pytest.mark.parametrize("name", ["spline-5", "hamming-100ms", "matrix"])
@pytest.mark.parametrize("edges", ["zero", "circular"])
def test_maps_in_a_basis_equal_regression_on_its_functions(rng, name, edges):
    design = make_design(rng, lags=LAGS, n_features=2)
    given = rng.standard_normal((16, 4)) if name == "matrix" else name
    basis = lag_basis(given, design.lags)
    result = feature_maps(
        design, penalties=(0.5,), n_folds=4, edges=edges, dtype=np.float64, model=LagModel(basis=given)
    )
    folds = assign_folds([t.name for t in design.trials], 4)
    for f in range(2):
        pairs = rows(design, f, basis, edges)
        np.testing.assert_allclose(result.scores[:, f], held_out_r(pairs, folds, 0.5), atol=1e-9)
        np.testing.assert_allclose(result.coef[f], basis @ solve(pairs, folds, (), 0.5), rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("name", ["spline-5", "matrix"])
def test_rotations_in_a_basis_equal_rolling_and_regressing(rng, name):
    design = make_design(rng, lags=LAGS, n_features=1, n_channels=2)
    given = rng.standard_normal((16, 4)) if name == "matrix" else name
    shifts = np.vstack([np.zeros((1, 5), dtype=int), rng.integers(30, 250, (2, 5))])
    (found,) = rotated_scores(
        design, shifts, penalties=(0.5,), n_folds=4, dtype=np.float64, model=LagModel(basis=given)
    )
    folds, basis = assign_folds([t.name for t in design.trials], 4), lag_basis(given, design.lags)
    for row, shift in zip(found, shifts, strict=True):
        expected = held_out_r(rows(design, 0, basis, "circular", shift), folds, 0.5).mean(axis=0)
        np.testing.assert_allclose(row, expected, atol=1e-9)
