"""How sure is a latency? Leave one listener (or trial) out at a time.

Peaks of single listeners are noisy or missing; peaks of averages are not. So peaks are read
off leave-one-out averages, whose small scatter is scaled back up (Miller, Patterson & Ulrich 1998):

    se = sqrt( (n - 1) / n  sum_i (value_i - mean)^2 ),        t = estimate / se,  n - 1 degrees of freedom
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch

LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Jackknifed:
    """An estimate with its jackknife standard error.

    Attributes
    ----------
    estimate
        From all units together.
    se
        Standard error.
    low, high
        Student's interval around the estimate.
    n
        Units.
    """

    estimate: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


def jackknife(values: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> Jackknifed:
    """Measure an average, and how much it depends on each unit.

    Parameters
    ----------
    values
        ``(n_units, ...)``, e.g. one response function per listener, ``(n_listeners, n_lags)``.
    measure
        What is read off an average, e.g. ``lambda trf: peak_latency(trf, lags)``.

    Examples
    --------
    >>> found = jackknife(np.array([[1.0], [2.0], [3.0]]), lambda mean: mean[0])
    >>> float(found.estimate), round(float(found.se), 4)
    (2.0, 0.5774)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim < 2 or len(values) < 3:
        raise ShapeMismatch(
            "a jackknife needs at least three units", got=values.shape, fix="give one row per listener or trial"
        )
    require_finite(values, name="the units' values", fix="leave out units without a value")
    n, total = len(values), values.sum(axis=0)
    estimate = np.asarray(measure(total / n), dtype=float)
    left_out = np.array([measure((total - one) / (n - 1)) for one in values], dtype=float)
    se = np.sqrt((n - 1) / n * np.square(left_out - left_out.mean(axis=0)).sum(axis=0))
    reach = stats.t.ppf((1 + LEVEL) / 2, n - 1) * se
    return Jackknifed(estimate, se, estimate - reach, estimate + reach, n)


def jackknife_difference(
    one: np.ndarray, other: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]
) -> tuple[Jackknifed, np.ndarray]:
    """Compare what is read off two conditions of the same units.

    Parameters
    ----------
    one, other
        ``(n_units, ...)`` each, the same units in the same order.
    measure
        As in `jackknife`.

    Returns
    -------
    difference : Jackknifed
        ``one - other``.
    p : numpy.ndarray
        Two-sided, Student's; 1 where neither estimate nor error is above 0.
    """
    if np.shape(one) != np.shape(other):
        raise ShapeMismatch(
            "both conditions need the same units", got=f"{np.shape(one)}, {np.shape(other)}", fix="pair them"
        )
    both = np.stack([one, other], axis=1)
    found = jackknife(both, lambda pair: np.asarray(measure(pair[0]), dtype=float) - np.asarray(measure(pair[1])))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(found.estimate == 0, 0.0, found.estimate / found.se)
    return found, 2 * stats.t.sf(np.abs(t), found.n - 1)
