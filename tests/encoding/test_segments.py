"""Moments of many features at once, dense and sparse, against explicit lag matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.backend import NUMPY, get_backend
from brainalign.encoding.segments import (
    Cut,
    autocorrelations,
    lag_products,
    padded_moments,
    response_segments,
    ring_moments,
    segment_products,
)
from brainalign.encoding.sparse_moments import is_cheaper_sparse, sparse_block, sparse_moments
from tests.encoding.designs import lagged, make_design

WINDOWS = [(-4, 7), (0, 5), (3, 9), (-8, -2), (0, 0)]


def sparse_values(rng, n, n_features, density):
    return (rng.random((n, n_features)) < density) * rng.random((n, n_features)).astype(np.float32)


def by_hand(x, y, mask, lags, edges):
    columns = np.stack([lagged(x[:, f], lags, edges=edges) for f in range(x.shape[1])])
    kept = columns if edges == "circular" else columns * mask[:, None]
    return np.einsum("ftl,ftm->flm", kept, kept), kept.sum(axis=1), np.einsum("ftl,tc->flc", kept, y)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("edges", ["zero", "circular"])
@pytest.mark.parametrize("n", [19, 61, 200])
def test_segmented_products_equal_the_lag_matrix(rng, window, edges, n):
    x, y, lags = rng.standard_normal((n, 3)), rng.standard_normal((n, 2)), Lags(*window, 50)
    for device, atol in ((None, 1e-10), ("cpu", 1e-10)):
        backend, cut = get_backend(device), Cut.for_lags(lags.n)
        segments = response_segments(y, lags, cut=cut, edges=edges, backend=backend)
        spectra = segment_products(x, segments, cut=cut, backend=backend)
        found = lag_products(spectra, cut=cut, n_lags=lags.n, backend=backend)
        expected = by_hand(x, y, np.ones(n, dtype=bool), lags, edges)[2]
        np.testing.assert_allclose(found, expected, atol=atol)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("masked", [False, True])
def test_padded_moments_equal_the_lag_matrix(rng, window, masked):
    x, lags, mask = rng.standard_normal((60, 3)), Lags(*window, 50), np.ones(60, dtype=bool)
    if masked:
        mask[[0, 1, 20, 21, 22, 59]] = False
    sxx, sx = padded_moments(x, mask, lags)
    expected = by_hand(x, np.zeros((60, 1)), mask, lags, "zero")
    np.testing.assert_allclose(sxx, expected[0], atol=1e-10)
    np.testing.assert_allclose(sx, expected[1], atol=1e-10)


@pytest.mark.parametrize("n_lags", [1, 7, 25])
def test_ring_moments_equal_the_lag_matrix(rng, n_lags):
    x = rng.standard_normal((53, 2))
    sxx, sx = ring_moments(x, n_lags)
    expected = by_hand(x, np.zeros((53, 1)), None, Lags(0, n_lags - 1, 50), "circular")
    np.testing.assert_allclose(sxx, expected[0], atol=1e-10)
    np.testing.assert_allclose(sx, expected[1], atol=1e-10)


@pytest.mark.parametrize("edges", ["zero", "circular"])
def test_an_autocorrelation_longer_than_the_signal_is_whole(edges):
    found = autocorrelations(np.array([[1.0], [2.0], [3.0]]), 3, edges=edges)
    assert found.tolist() == ([[14.0, 8.0, 3.0]] if edges == "zero" else [[14.0, 11.0, 11.0]])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("edges", ["zero", "circular"])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 1.0])
def test_sparse_moments_equal_dense_ones(rng, window, edges, density):
    n, lags, mask = 90, Lags(*window, 50), np.ones(90, dtype=bool)
    mask[[0, 30, 31, 89]] = False
    x, y = sparse_values(rng, n, 4, density), rng.standard_normal((n, 3)) * mask[:, None]
    found = sparse_moments(sparse.csc_array(x), y, mask=mask, lags=lags, edges=edges)
    for part, expected in zip(found, by_hand(x.astype(float), y, mask, lags, edges), strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-10)


@pytest.mark.parametrize("at", [0, 4, 89])
@pytest.mark.parametrize("edges", ["zero", "circular"])
def test_a_single_active_sample(at, edges, rng):
    x, y, lags = np.zeros((90, 1), dtype=np.float32), rng.standard_normal((90, 2)), Lags(-3, 6, 50)
    x[at] = 2.0
    mask = np.ones(90, dtype=bool)
    found = sparse_moments(sparse.csc_array(x), y, mask=mask, lags=lags, edges=edges)
    for part, expected in zip(found, by_hand(x.astype(float), y, mask, lags, edges), strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-12)


def test_explicit_zeros_and_duplicates_are_tidied(rng):
    values = sparse.csr_array(
        (np.array([1.0, 0.0, 2.0, 3.0]), np.array([1, 0, 1, 1]), np.array([0, 2, 4])), shape=(2, 2)
    )
    block = sparse_block(Trajectory(values, TimeAxis(50, 2), ("a", "b")), 0, 2)
    assert block.nnz == 2
    assert block.toarray().tolist() == [[0.0, 1.0], [0.0, 5.0]]


def test_sparse_is_chosen_below_the_break_even_density_and_for_sparse_features_only(rng):
    def of_density(density, *, as_csr=True):
        axis, values = TimeAxis(50, 2000), sparse_values(rng, 2000, 5, density)
        x = Trajectory(sparse.csr_array(values) if as_csr else values, axis, tuple("abcde"))
        trial = Trial("a", x, rng.standard_normal((2000, 1)), np.ones(2000, dtype=bool))
        return Design((trial,), Lags(0, 39, 50), ("c",), np.zeros((1, 3)))

    assert is_cheaper_sparse(of_density(0.005), n_lags=40)
    assert not is_cheaper_sparse(of_density(0.05), n_lags=40)
    assert not is_cheaper_sparse(of_density(0.005, as_csr=False), n_lags=40)
    assert not is_cheaper_sparse(make_design(rng), n_lags=8)
    assert NUMPY.name == "numpy"
