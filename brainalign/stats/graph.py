"""Which tests are neighbours? Adjacency of channels, and of channels over lags."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem


def over_lags(channels: sparse.sparray, *, n_lags: int) -> sparse.csr_array:
    """Return the adjacency of ``(n_lags, n_channels)`` tests, in that order flattened.

    A channel at a lag is a neighbour of its neighbours at the same lag, and of itself one
    lag before and after.

    Parameters
    ----------
    channels
        Adjacency of channels, ``(n_channels, n_channels)``.
    n_lags
        Number of lags.
    """
    within = sparse.kron(sparse.eye_array(n_lags), sparse.csr_array(channels).astype(float))
    steps = sparse.eye_array(n_lags, k=1) + sparse.eye_array(n_lags, k=-1)
    across = sparse.kron(steps, sparse.eye_array(channels.shape[0]))
    return sparse.csr_array((within + across).astype(bool))


def pairs_of(adjacency: sparse.sparray | np.ndarray, *, n_tests: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each pair of neighbours once, as two arrays of test numbers.

    Parameters
    ----------
    adjacency
        Symmetric, ``(n_tests, n_tests)``; the diagonal does not matter.
    n_tests
        Number of tests that it must be for.
    """
    matrix = sparse.coo_array(adjacency)
    if matrix.shape != (n_tests, n_tests):
        raise ShapeMismatch(
            "the adjacency must be for these tests",
            got=f"{matrix.shape} for {n_tests} tests",
            fix="give one row and column per test; over_lags makes it from that of the channels",
        )
    if (abs(matrix.astype(np.int8) - matrix.T.astype(np.int8))).nnz:
        raise ValueProblem(
            "an adjacency must be symmetric", got="pairs that are neighbours one way only", fix="use A | A.T"
        )
    upper = sparse.coo_array(sparse.triu(matrix.astype(bool), k=1))
    return upper.row.astype(np.intp), upper.col.astype(np.intp)
