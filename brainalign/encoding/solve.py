"""Which weights belong to each penalty, and how well do they predict other trials?

Two ways to the same weights. Cholesky: one factorisation per penalty, ``p^3/3`` operations
at the machine's full speed. Eigenvectors: one decomposition for all penalties, about ``9 p^3``
at a lower speed, then ``2 p^2 C`` per penalty. Measured at 640 columns and 64 channels the
decomposition takes as long as 10 to 14 Cholesky solutions, so it pays from 16 penalties on.

Held-out correlation and explained variance follow from the held-out trials' moments:

    r = w'Sxy / sqrt(w'Sxx w  Syy)      R2 = 1 - (Syy - 2 w'Sxy + w'Sxx w + n e^2) / Syy

with e the mean error that the training set's intercept leaves. No prediction is formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import linalg

from brainalign.encoding.blocks import Centred
from brainalign.encoding.penalty import Regulariser

Solver = Literal["auto", "cholesky", "eigen", "kernel"]
_MANY_PENALTIES = 16


@dataclass(frozen=True, eq=False)
class Ridge:
    """Turns a training set into weights, one array per penalty.

    Parameters
    ----------
    regulariser
        What is punished, and in which units.
    groups
        Lagged columns of each band.
    n_lags
        Columns per feature.
    rate
        Frames per second.
    solver
        ``"cholesky"``, ``"eigen"``, or by the number of penalties.
    """

    regulariser: Regulariser
    groups: Sequence[np.ndarray]
    n_lags: int
    rate: float
    solver: Solver = "auto"

    def path(self, train: Centred, penalties: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the weights for each penalty, shape ``(n_columns, n_channels)``."""
        unit = self.column_units(train)
        if self._by_eigenvectors(len(penalties)):
            yield from _eigen_path(train, penalties, unit)
            return
        shape = self.regulariser.shape(self.n_lags)
        for penalty in penalties:
            if penalty == 0:
                yield from _eigen_path(train, np.zeros(1), unit)
            else:
                yield solve_penalised(train.sxx, train.sxy, _block_penalty(penalty * unit, shape))

    def column_units(self, train: Centred) -> np.ndarray:
        """Return what a penalty of 1 amounts to, column by column."""
        unit = np.empty(len(train.sxx))
        for columns, value in zip(self.groups, self.regulariser.units(train, self.groups, rate=self.rate), strict=True):
            unit[columns] = value
        return unit

    def _by_eigenvectors(self, n_penalties: int) -> bool:
        if self.regulariser.kind != "ridge":
            return False
        return self.solver == "eigen" or (self.solver == "auto" and n_penalties >= _MANY_PENALTIES)


def _block_penalty(unit: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return unit x Q for each feature, shape ``(n_features, n_lags, n_lags)``."""
    return unit[:: len(shape), None, None] * shape


def solve_penalised(sxx: np.ndarray, sxy: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Solve ``(Sxx + P) w = Sxy``; where that is singular, the solution of smallest norm.

    Parameters
    ----------
    sxx, sxy
        Centred moments.
    penalty
        P's diagonal blocks, shape ``(n_features, n_lags, n_lags)``.
    """
    try:
        factor = factorise(_with_blocks(sxx, penalty))
    except linalg.LinAlgError:
        return _smallest_norm(_with_blocks(sxx, penalty), sxy)
    return linalg.cho_solve(factor, sxy, check_finite=False)


def factorise(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the Cholesky factor for `scipy.linalg.cho_solve`; the matrix is overwritten.

    LAPACK wants columns in sequence: the transpose of a symmetric matrix is itself, and saves a copy that
    takes as long as the factorisation.
    """
    return linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)


def _with_blocks(sxx: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    matrix, (n_features, n_lags, _) = sxx.copy(), penalty.shape
    at = np.arange(n_features)
    matrix.reshape(n_features, n_lags, n_features, n_lags)[at, :, at, :] += penalty
    return matrix


def _smallest_norm(matrix: np.ndarray, sxy: np.ndarray) -> np.ndarray:
    values, basis = np.linalg.eigh(matrix)
    gains = np.divide(1.0, values, out=np.zeros_like(values), where=values > _floor(values))
    return basis @ (gains[:, None] * (basis.T @ sxy))


def _floor(values: np.ndarray) -> float:
    """Return below what an eigenvalue is rounding error."""
    return float(len(values) * np.finfo(float).eps * max(values[-1], 0.0))


def _eigen_path(train: Centred, penalties: np.ndarray, unit: np.ndarray) -> Iterator[np.ndarray]:
    width = 1 / np.sqrt(unit)
    values, basis = np.linalg.eigh(train.sxx * width[:, None] * width)
    values = np.clip(values, 0, None)
    z = basis.T @ (width[:, None] * train.sxy)
    for penalty in penalties:
        kept = values > (0.0 if penalty else _floor(values))
        gains = np.divide(1.0, values + penalty, out=np.zeros_like(values), where=kept)
        yield width[:, None] * (basis @ (gains[:, None] * z))


@dataclass(frozen=True, eq=False)
class Fit:
    """How weights do on held-out trials, per channel.

    Attributes
    ----------
    product, power
        w'Sxy and w'Sxx w of the held-out trials.
    error
        Mean of what the prediction misses.
    syy, n
        The response's centred sum of squares, and the number of frames.
    """

    product: np.ndarray
    power: np.ndarray
    error: np.ndarray
    syy: np.ndarray
    n: float


def fit_of(weights: np.ndarray, train: Centred, held: Centred) -> Fit:
    """Try weights on held-out trials."""
    return Fit(
        product=np.einsum("xc,xc->c", weights, held.sxy),
        power=np.einsum("xc,xc->c", weights, held.sxx @ weights),
        error=(held.y_mean - train.y_mean) - (held.x_mean - train.x_mean) @ weights,
        syy=held.syy,
        n=held.n,
    )


def correlation(fit: Fit) -> np.ndarray:
    """Return Pearson r per channel; 0 where prediction or response is constant."""
    scale = np.sqrt(np.clip(fit.power, 0, None) * np.clip(fit.syy, 0, None))
    return np.divide(fit.product, scale, out=np.zeros_like(scale), where=scale > 0)


def explained_variance(fit: Fit) -> np.ndarray:
    """Return R2 per channel, with the training set's intercept; 0 where the response is constant."""
    left = fit.power - 2 * fit.product + fit.n * fit.error**2
    return np.divide(-left, fit.syy, out=np.zeros_like(left), where=fit.syy > 0)


MERITS: dict[str, Callable[[Fit], np.ndarray]] = {"r": correlation, "r2": explained_variance}
