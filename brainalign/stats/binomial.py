"""How sure is a share? Clopper-Pearson intervals for counts."""

from __future__ import annotations

from scipy import stats


def binomial_interval(hits: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) confidence interval of a share.

    >>> low, high = binomial_interval(0, 100)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.036)
    """
    if n == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)
