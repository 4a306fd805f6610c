"""Must every lag have a weight of its own? A few smooth functions of lag in place of all lags.

A response band-limited to 8 Hz has nothing to say between lags 16 ms apart. With ``w = B v``
and few columns in B, the moments of the model are ``B' Sxx B`` and ``B' Sxy``: everything
downstream is the same, and cheaper. Columns have unit norm, so that a relative penalty of
1 is again the number of frames times the mean variance of the model's columns.
"""

from __future__ import annotations

import re

import numpy as np
from scipy.interpolate import BSpline

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import Lags

_MIRRORED = 1e-12


def lag_basis(basis: str | np.ndarray | None, lags: Lags) -> np.ndarray | None:
    """Return the basis as a matrix, ``(n_lags, n_functions)``, or None for a weight per lag.

    Parameters
    ----------
    basis
        ``"hamming-50ms"``: Hamming windows 50 ms long, half a window apart; ``"spline-12"``: 12
        cubic B-splines on even knots; or a matrix.
    lags
        The lag window.

    Examples
    --------
    >>> lag_basis("spline-6", Lags(0, 19, 50)).shape
    (20, 6)
    """
    if basis is None:
        return None
    matrix = _named(basis, lags) if isinstance(basis, str) else np.asarray(basis, dtype=float)
    if matrix.ndim != 2 or len(matrix) != lags.n or not 1 <= matrix.shape[1] <= lags.n:
        raise ShapeMismatch(
            "a lag basis must be lags by at most as many functions",
            got=matrix.shape,
            fix=f"give {lags.n} rows and 1 to {lags.n} columns",
        )
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        raise ValueProblem("the lag basis' functions depend on each other", got=basis, fix="use fewer functions")
    return matrix / np.linalg.norm(matrix, axis=0)


def is_mirrored(basis: np.ndarray | None) -> bool:
    """Whether turning the lags round only turns the functions' order round (so that even and odd halves part)."""
    return basis is None or bool(np.abs(basis[::-1, ::-1] - basis).max() < _MIRRORED)


def _named(name: str, lags: Lags) -> np.ndarray:
    if match := re.fullmatch(r"hamming-(\d+(?:\.\d+)?)ms", name):
        return _hamming(float(match[1]) * 1e-3 * float(lags.rate), lags.n)
    if match := re.fullmatch(r"spline-(\d+)", name):
        return _splines(int(match[1]), lags.n)
    raise ValueProblem("there is no such lag basis", got=repr(name), fix="use 'hamming-50ms', 'spline-12' or a matrix")


def _hamming(width: float, n_lags: int) -> np.ndarray:
    if not 2 <= width <= 2 * n_lags:
        raise ValueProblem(
            "a Hamming window must be longer than two lags and fit the lag window",
            got=f"{width:g} lags",
            fix=f"choose a length between 2 and {2 * n_lags} lags",
        )
    count = max(2, int(np.ceil(2 * (n_lags - 1) / width)) + 1)
    centres = np.linspace(0, n_lags - 1, count)
    away = (np.arange(n_lags)[:, None] - centres[None, :]) / width
    # Measured from the nearer end, so that both ends are the same to the last bit.
    windows = np.where(np.abs(away) <= 0.5, 0.54 + 0.46 * np.cos(2 * np.pi * away), 0.0)
    return (windows + windows[::-1, ::-1]) / 2


def _splines(count: int, n_lags: int) -> np.ndarray:
    if not 4 <= count <= n_lags:
        raise ValueProblem(
            "cubic splines need 4 or more functions, at most one per lag",
            got=f"{count} functions for {n_lags} lags",
            fix=f"choose 4 to {n_lags}",
        )
    knots = np.concatenate([np.zeros(3), np.linspace(0, 1, count - 2), np.ones(3)])
    splines = BSpline.design_matrix(np.linspace(0, 1, n_lags), knots, 3).toarray()
    return (splines + splines[::-1, ::-1]) / 2
