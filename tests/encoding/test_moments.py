"""Moments against explicit lag matrices, in every edge convention and sign of lag."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.time import Lags
from brainalign.encoding.moments import gram, lagged_sums, masked_gram
from tests.encoding.designs import lagged

WINDOWS = [(-4, 7), (0, 5), (3, 9), (-8, -2), (0, 0)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("edges", ["zero", "circular"])
def test_gram_and_sums_equal_the_lag_matrix(rng, window, edges):
    x, lags = rng.standard_normal(60), Lags(*window, 50)
    columns = lagged(x, lags, edges=edges)
    np.testing.assert_allclose(gram(x, lags, edges=edges), columns.T @ columns, atol=1e-10)
    sums = lagged_sums(x, np.ones(60, dtype=bool), lags, edges=edges)
    np.testing.assert_allclose(sums, columns.sum(axis=0), atol=1e-10)


@pytest.mark.parametrize("window", WINDOWS)
def test_unusable_frames_leave_the_zero_padded_moments(rng, window):
    x, lags, mask = rng.standard_normal(60), Lags(*window, 50), np.ones(60, dtype=bool)
    mask[[0, 1, 20, 21, 22, 59]] = False
    columns = lagged(x, lags, edges="zero")[mask]
    np.testing.assert_allclose(masked_gram(x, mask, lags, edges="zero"), columns.T @ columns, atol=1e-10)
    np.testing.assert_allclose(lagged_sums(x, mask, lags, edges="zero"), columns.sum(axis=0), atol=1e-10)


def test_a_hand_worked_example():
    """x = 1, 2, 3 at lags 0 and 1: columns (1 2 3) and (0 1 2)."""
    x, lags = np.array([1.0, 2.0, 3.0]), Lags(0, 1, 1)
    np.testing.assert_allclose(gram(x, lags, edges="zero"), [[14, 8], [8, 5]], atol=1e-12)
    np.testing.assert_allclose(gram(x, lags, edges="circular"), [[14, 11], [11, 14]], atol=1e-12)
