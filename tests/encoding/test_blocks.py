"""Block moments against explicit lag matrices, in every edge convention, sign of lag, sparsity and mask."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.time import Lags
from brainalign.encoding.blocks import fold_moments
from tests.encoding.designs import lagged, make_design

WINDOWS = [(-4, 7), (0, 5), (3, 9), (-8, -2), (0, 0), (30, 33)]
FOLDS = np.array([0, 1, 0, 1])


def with_lags(design, window):
    return Design(design.trials, Lags(*window, 50), design.channels, design.positions)


def explicit(design, fold, *, edges, mean, scale):
    """Return the lag matrix, the standardised responses and a column that counts frames."""
    parts = []
    for trial, k in zip(design.trials, FOLDS, strict=True):
        if k != fold:
            continue
        x = lagged(trial.x.block(0, trial.x.n_features).astype(float), design.lags, edges=edges)
        y = np.where(trial.mask[:, None], (trial.y - mean) / scale, 0.0)
        keep = trial.mask if edges == "zero" else np.ones(len(y), dtype=bool)
        parts.append(np.hstack([x.reshape(len(y), -1), y, np.ones((len(y), 1))])[keep])
    return np.vstack(parts)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("edges", ["zero", "circular"])
@pytest.mark.parametrize(("as_csr", "masked"), [(False, False), (False, True), (True, True)])
def test_moments_equal_the_lag_matrix(rng, window, edges, as_csr, masked):
    design = with_lags(make_design(rng, n_trials=4, masked=masked, as_csr=as_csr), window)
    found = fold_moments(design, FOLDS, edges=edges)
    for fold in (0, 1):
        rows = explicit(design, fold, edges=edges, mean=found.mean, scale=found.scale)
        products, p = rows.T @ rows, found.sx.shape[1]
        np.testing.assert_allclose(found.sxx[fold], products[:p, :p], atol=1e-10)
        np.testing.assert_allclose(found.sxy[fold], products[:p, p:-1], atol=1e-10)
        np.testing.assert_allclose(found.sx[fold], products[:p, -1], atol=1e-10)
        np.testing.assert_allclose(found.sy[fold], products[p:-1, -1], atol=1e-10)
        np.testing.assert_allclose(found.syy[fold], np.diag(products)[p:-1], atol=1e-9)
        assert found.n[fold] == products[-1, -1]


@pytest.mark.parametrize("edges", ["zero", "circular"])
def test_sparse_products_equal_dense_ones(rng, edges, monkeypatch):
    design = make_design(rng, as_csr=True, masked=True)
    found = {}
    for price in (-np.inf, np.inf):
        monkeypatch.setattr("brainalign.encoding.products._SPARSE_STEP", price)
        found[price] = fold_moments(design, np.arange(5) % 3, edges=edges)
    np.testing.assert_allclose(found[-np.inf].sxx, found[np.inf].sxx, atol=1e-10)
    np.testing.assert_allclose(found[-np.inf].sxy, found[np.inf].sxy, atol=1e-10)


def test_float32_products_agree_with_float64(rng):
    design = make_design(rng)
    single, double = (fold_moments(design, np.zeros(5, dtype=int), dtype=t) for t in (np.float32, np.float64))
    assert single.sxx.dtype == np.float64
    np.testing.assert_allclose(single.sxx, double.sxx, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(single.sxy, double.sxy, rtol=1e-5, atol=2e-3)


def test_the_size_of_a_block_does_not_matter(rng, monkeypatch):
    design = make_design(rng, masked=True)
    whole = fold_moments(design, np.zeros(5, dtype=int))
    monkeypatch.setattr("brainalign.encoding.products._BLOCK_BYTES", 1)
    monkeypatch.setattr("brainalign.encoding.blocks._CHUNK_BYTES", 1)
    monkeypatch.setattr("brainalign.encoding.standards._CHUNK_BYTES", 1)
    parts = fold_moments(design, np.zeros(5, dtype=int))
    for name in ("sx", "sy", "sxx", "sxy", "syy"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-10)


def test_a_trial_shorter_than_the_lags_is_refused(rng):
    with pytest.raises(ValueProblem, match="too short for the lag window"):
        fold_moments(with_lags(make_design(rng), (0, 160)), np.zeros(5, dtype=int))


def test_columns_are_selected_by_feature(rng):
    design = make_design(rng, n_features=4)
    folds = np.arange(5) % 3
    some, own = fold_moments(design, folds).select([2, 0]), fold_moments(design.select(np.array([2, 0])), folds)
    np.testing.assert_allclose(some.sxx, own.sxx, atol=1e-10)
    np.testing.assert_allclose(some.sxy, own.sxy, atol=1e-10)
