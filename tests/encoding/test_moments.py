"""Moments against explicit lag matrices, in every edge convention and sign of lag."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.time import Lags
from brainalign.encoding.moments import fold_onto_ring, prepare_responses
from brainalign.encoding.segments import padded_moments, ring_moments
from tests.encoding.designs import lagged, make_design

WINDOWS = [(-4, 7), (0, 5), (3, 9), (-8, -2), (0, 0)]


def moments(x, mask, lags, *, edges):
    sxx, sx = ring_moments(x[:, None], lags.n) if edges == "circular" else padded_moments(x[:, None], mask, lags)
    return sxx[0], sx[0]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("edges", ["zero", "circular"])
def test_gram_and_sums_equal_the_lag_matrix(rng, window, edges):
    x, lags = rng.standard_normal(60), Lags(*window, 50)
    columns = lagged(x, lags, edges=edges)
    sxx, sx = moments(x, np.ones(60, dtype=bool), lags, edges=edges)
    np.testing.assert_allclose(sxx, columns.T @ columns, atol=1e-10)
    np.testing.assert_allclose(sx, columns.sum(axis=0), atol=1e-10)


@pytest.mark.parametrize("window", WINDOWS)
def test_unusable_frames_leave_the_zero_padded_moments(rng, window):
    x, lags, mask = rng.standard_normal(60), Lags(*window, 50), np.ones(60, dtype=bool)
    mask[[0, 1, 20, 21, 22, 59]] = False
    columns = lagged(x, lags, edges="zero")[mask]
    sxx, sx = moments(x, mask, lags, edges="zero")
    np.testing.assert_allclose(sxx, columns.T @ columns, atol=1e-10)
    np.testing.assert_allclose(sx, columns.sum(axis=0), atol=1e-10)


def test_a_hand_worked_example():
    """x = 1, 2, 3 at lags 0 and 1: columns (1 2 3) and (0 1 2)."""
    x, lags, mask = np.array([1.0, 2.0, 3.0]), Lags(0, 1, 1), np.ones(3, dtype=bool)
    np.testing.assert_allclose(moments(x, mask, lags, edges="zero")[0], [[14, 8], [8, 5]], atol=1e-12)
    np.testing.assert_allclose(moments(x, mask, lags, edges="circular")[0], [[14, 11], [11, 14]], atol=1e-12)


@pytest.mark.parametrize("n", [97, 120, 311, 317])
def test_a_correlation_is_the_same_on_a_padded_ring(rng, n):
    """Lengths with large prime factors are padded: 311 is one itself."""
    x, y = rng.standard_normal((2, n))
    expected = np.array([np.roll(x, s) @ y for s in range(n)])
    for n_fft in (n, 2 * n - 1, 2 * n + 6):
        full = np.fft.irfft(np.fft.rfft(x, n_fft).conj() * np.fft.rfft(y, n_fft), n_fft)
        np.testing.assert_allclose(fold_onto_ring(full, n), expected, atol=1e-10)


def test_responses_are_standardised_by_constants_and_padded_only_where_it_pays(rng):
    design = make_design(rng, masked=True)
    responses = prepare_responses(design, dtype=np.float64)
    n = sum(np.count_nonzero(t.mask) for t in design.trials)
    np.testing.assert_allclose(responses.sums.sum(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(responses.squares.sum(axis=0), n)
    assert responses.n_frames == (300, 317, 334, 351, 368)
    assert [a == b for a, b in zip(responses.n_fft, responses.n_frames, strict=True)] == [
        True,
        False,
        False,
        True,
        True,
    ]
