"""Would another run tell the same? Agreement of feature maps between seeds, halves or listeners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem

LEVEL = 0.95


@dataclass(frozen=True)
class Agreement:
    """An intraclass correlation with its F-based interval (Shrout & Fleiss 1979; McGraw & Wong 1996).

    Attributes
    ----------
    icc
        Share of variance between targets.
    low, high
        95 % interval.
    """

    icc: float
    low: float
    high: float


@dataclass(frozen=True)
class Overlap:
    """How many of the k best are the same in two runs.

    Attributes
    ----------
    share
        Of the k.
    chance
        Expected share if both runs ranked at random, k / n.
    p
        Probability of so many or more by chance (hypergeometric).
    """

    share: float
    chance: float
    p: float


def consistency(ratings: np.ndarray) -> Agreement:
    """Return ICC(3,1): do runs put targets in the same order and distance, whatever their level?

    ``(MSR - MSE) / (MSR + (k - 1) MSE)`` with mean squares between targets and of the rest.

    Parameters
    ----------
    ratings
        ``(n_targets, k_runs)``, e.g. the flattened maps of several seeds.
    """
    rows, _, rest, n, k = _mean_squares(ratings)
    f = _ratio(rows, rest)
    freedom = n - 1, (n - 1) * (k - 1)
    low, high = f / stats.f.ppf((1 + LEVEL) / 2, *freedom), f * stats.f.ppf((1 + LEVEL) / 2, *freedom[::-1])
    return Agreement(*((value - 1) / (value + k - 1) if np.isfinite(value) else 1.0 for value in (f, low, high)))


def absolute_agreement(ratings: np.ndarray) -> Agreement:
    """Return ICC(2,1): do runs give targets the same values?

    ``(MSR - MSE) / (MSR + (k - 1) MSE + k (MSC - MSE) / n)``, with mean squares between runs MSC.

    Parameters
    ----------
    ratings
        ``(n_targets, k_runs)``.
    """
    rows, columns, rest, n, k = _mean_squares(ratings)
    spread = rows + (k - 1) * rest + k * (columns - rest) / n
    if rest == 0 and columns == 0:
        return Agreement(1.0, 1.0, 1.0)
    icc = (rows - rest) / spread
    weight = k * icc / (n * (1 - icc))
    a, b = weight, 1 + weight * (n - 1)
    parts = (a * columns) ** 2 / (k - 1) + (b * rest) ** 2 / ((n - 1) * (k - 1))
    v = (a * columns + b * rest) ** 2 / parts if parts > 0 else 1.0
    upper, lower = stats.f.ppf((1 + LEVEL) / 2, n - 1, v), stats.f.ppf((1 + LEVEL) / 2, v, n - 1)
    mixed = k * columns + (k * n - k - n) * rest
    low = n * (rows - upper * rest) / (upper * mixed + n * rows)
    high = n * (lower * rows - rest) / (mixed + n * lower * rows)
    return Agreement(float(icc), float(low), float(high))


def top_overlap(one: np.ndarray, other: np.ndarray, *, k: int) -> Overlap:
    """Compare the k best of two runs.

    Parameters
    ----------
    one, other
        A value per feature, larger is better, ``(n_features,)`` each; the same features in the same order.
    k
        How many are looked at.
    """
    if np.shape(one) != np.shape(other) or np.ndim(one) != 1:
        raise ShapeMismatch(
            "both runs need a value for the same features", got=f"{np.shape(one)}, {np.shape(other)}", fix="match them"
        )
    n = len(one)
    if not 0 < k <= n:
        raise ValueProblem("k must lie between 1 and the number of features", got=f"{k} of {n}", fix="choose k below n")
    best = [set(np.argsort(-np.asarray(values), kind="stable")[:k].tolist()) for values in (one, other)]
    shared = len(best[0] & best[1])
    return Overlap(shared / k, k / n, float(stats.hypergeom.sf(shared - 1, n, k, k)))


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else np.inf


def _mean_squares(ratings: np.ndarray) -> tuple[float, float, float, int, int]:
    ratings = np.asarray(ratings, dtype=float)
    if ratings.ndim != 2 or min(ratings.shape) < 2:
        raise ShapeMismatch(
            "agreement needs at least two targets and two runs",
            got=ratings.shape,
            fix="give (n_targets, k_runs), e.g. maps flattened and stacked",
        )
    require_finite(ratings, name="the ratings", fix="leave out targets that a run has no value for")
    n, k = ratings.shape
    rows, columns, mean = ratings.mean(axis=1), ratings.mean(axis=0), ratings.mean()
    between_rows = k * np.square(rows - mean).sum() / (n - 1)
    between_columns = n * np.square(columns - mean).sum() / (k - 1)
    rest = np.square(ratings - rows[:, None] - columns + mean).sum() / ((n - 1) * (k - 1))
    return float(between_rows), float(between_columns), float(rest), n, k
