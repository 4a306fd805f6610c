"""How often does a test cry wolf? Realised rates over data in which there is nothing to find.

Tests of one data set are not independent (neighbouring sensors, similar features), so a
rate's interval comes from the spread between data sets, not from the number of tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from brainalign.core.errors import ValueProblem
from brainalign.stats.binomial import binomial_interval

LEVELS = (0.05, 0.01)
CONFIDENCE = 0.99  # many rates are looked at: at 0.95 one in forty sound tests would be blamed at each
_FEWEST = 5


@dataclass(frozen=True)
class Rate:
    """A nominal level beside what was realised.

    Attributes
    ----------
    name
        What was counted.
    level
        Nominal.
    rate, low, high
        Realised share, and its 99 % interval.
    n
        Data sets it rests on.
    """

    name: str
    level: float
    rate: float
    low: float
    high: float
    n: int

    @property
    def holds(self) -> bool:
        """Whether the data are compatible with a rate no larger than nominal."""
        return self.low <= self.level


def single_rates(p: np.ndarray, *, levels: Sequence[float] = LEVELS) -> tuple[Rate, ...]:
    """Return the share of p-values at or below each level, uncorrected.

    Parameters
    ----------
    p
        Shape ``(n_data_sets, ...)``; data sets are independent, what is inside of them need not be.
    levels
        Nominal.

    Notes
    -----
    The interval is Student's over the data sets' own shares (which are bounded, so it is
    cut off at 0 and 1); with no share above 0 its upper end is that of one test per data set.
    """
    shares = _flat(p)
    return tuple(_rate("single tests", (shares <= level).mean(axis=1), level=level) for level in levels)


def family_rates(p_corrected: np.ndarray, *, levels: Sequence[float] = LEVELS) -> tuple[Rate, ...]:
    """Return the share of data sets in which any corrected p-value is at or below each level (Clopper-Pearson).

    Parameters
    ----------
    p_corrected
        Shape ``(n_data_sets, ...)``.
    levels
        Nominal.
    """
    smallest, rates = _flat(p_corrected).min(axis=1), []
    for level in levels:
        hits, n = int((smallest <= level).sum()), len(smallest)
        low, high = binomial_interval(hits, n, level=CONFIDENCE)
        rates.append(Rate("whole families, corrected", level, hits / n, low, high, n))
    return tuple(rates)


def _rate(name: str, shares: np.ndarray, *, level: float) -> Rate:
    n, mean = len(shares), float(shares.mean())
    if mean == 0:
        return Rate(name, level, 0.0, 0.0, binomial_interval(0, n, level=CONFIDENCE)[1], n)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * shares.std(ddof=1) / np.sqrt(n))
    return Rate(name, level, mean, max(0.0, mean - reach), min(1.0, mean + reach), n)


def _flat(p: np.ndarray) -> np.ndarray:
    if len(p) < _FEWEST:
        raise ValueProblem(
            "realised rates need several data sets", got=f"{len(p)}", fix=f"make at least {_FEWEST}, better 100"
        )
    return np.asarray(p, dtype=float).reshape(len(p), -1)
