"""On which straight line do most of these points lie? A robust fit with its residuals and standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainalign.core.arrays import read_only, require_shape
from brainalign.core.errors import ValueProblem

FEWEST_POINTS = 3
MAD_TO_SD = 1.4826
# Tukey's bisquare with 95 % efficiency on normal residuals.
BISQUARE = 4.685
_ALL_PAIRS_UP_TO = 600
_N_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class Line:
    """``y = intercept + slope * x`` and how well the points obey it.

    Parameters
    ----------
    intercept, slope
        Of the line.
    intercept_error, slope_error
        Their standard errors, from the residuals of the points in use.
    residuals
        ``y - intercept - slope * x`` of all points, shape ``(n,)``.
    used
        Which points count, shape ``(n,)``, bool; the others are too far off.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float
    residuals: np.ndarray
    used: np.ndarray

    @property
    def spread(self) -> float:
        """Standard deviation of the residuals of the points in use."""
        return float(np.sqrt(np.mean(self.residuals[self.used] ** 2)))


def robust_line(x: np.ndarray, y: np.ndarray, *, weights: np.ndarray | None = None, floor: float = 0.0) -> Line:
    """Fit a line that up to a quarter of the points cannot pull away.

    Starts at the median of the slopes between points (Theil and Sen) and ends with reweighted
    least squares (Tukey's bisquare).

    Parameters
    ----------
    x, y
        Shape ``(n,)``, at least three points at two different ``x``.
    weights
        Inverse variances of the points up to a factor, shape ``(n,)``; equal if left out.
    floor
        Smallest spread of residuals that is believed, in units of ``y``.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    given = np.ones(x.shape) if weights is None else np.asarray(weights, dtype=float)
    require_shape(y.shape, x.shape, name="y", axes="points")
    require_shape(given.shape, x.shape, name="weights", axes="points")
    if x.size < FEWEST_POINTS or np.ptp(x) == 0:
        raise ValueProblem(
            f"a line needs at least {FEWEST_POINTS} points at different places",
            got=f"{x.size} points, {np.unique(x).size} places",
            fix="give more marks or shorter windows",
        )
    slope = _median_slope(x, y)
    intercept = float(np.median(y - slope * x))
    for _ in range(_N_ROUNDS):
        trust = _trust(y - intercept - slope * x, floor=floor)
        before = (intercept, slope)
        intercept, slope = _least_squares(x, y, given * trust)
        if np.allclose(before, (intercept, slope), rtol=1e-13, atol=1e-15):
            break
    residuals = y - intercept - slope * x
    used = _trust(residuals, floor=floor) > 0
    errors = _errors(x, residuals, weights=given * used)
    return Line(intercept, slope, *errors, read_only(residuals), read_only(used))


def _median_slope(x: np.ndarray, y: np.ndarray) -> float:
    if x.size <= _ALL_PAIRS_UP_TO:
        one, other = np.triu_indices(x.size, 1)
    else:
        order = np.argsort(x, kind="stable")
        one, other = order[: x.size // 2], order[-(x.size // 2) :]
    run = x[other] - x[one]
    apart = run != 0
    return float(np.median((y[other] - y[one])[apart] / run[apart]))


def _trust(residuals: np.ndarray, *, floor: float) -> np.ndarray:
    spread = max(MAD_TO_SD * float(np.median(np.abs(residuals))), floor)
    if not spread:
        return (residuals == 0).astype(float)
    return np.clip(1 - (residuals / (BISQUARE * spread)) ** 2, 0, None) ** 2


def _least_squares(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    total = weights.sum()
    middle, height = weights @ x / total, weights @ y / total
    slope = (weights * (x - middle)) @ (y - height) / (weights @ (x - middle) ** 2)
    return float(height - slope * middle), float(slope)


def _errors(x: np.ndarray, residuals: np.ndarray, *, weights: np.ndarray) -> tuple[float, float]:
    n, total = np.count_nonzero(weights), weights.sum()
    middle = weights @ x / total
    variance = weights @ residuals**2 / max(n - 2, 1)
    spread = weights @ (x - middle) ** 2
    return float(np.sqrt(variance * (1 / total + middle**2 / spread))), float(np.sqrt(variance / spread))
