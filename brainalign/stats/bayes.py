"""How much more likely are the data with an effect than without? Bayes factors for group tests."""

from __future__ import annotations

import numpy as np
from scipy import integrate, stats

from brainalign.core.errors import ValueProblem

SCALE = float(np.sqrt(0.5))


def bayes_factor(t: float, n: int, *, scale: float = SCALE, one_sided: bool = False) -> float:
    """Return the JZS Bayes factor of a one-sample t-test, effect over no effect (Rouder et al. 2009).

    The standardised effect has a Cauchy prior of a given scale (only its positive half if
    one-sided):

        BF10 = integral of  t_{n-1}(t; noncentrality d sqrt(n))  Cauchy(d; scale) dd  /  t_{n-1}(t)

    Parameters
    ----------
    t
        Student's statistic.
    n
        Listeners.
    scale
        Of the prior; sqrt(1/2) is the field's default.
    one_sided
        Whether only positive effects are meant.

    Examples
    --------
    >>> round(bayes_factor(2.24, 80, scale=1.0), 2)
    0.98
    """
    if n < 2 or not np.isfinite(t) or scale <= 0:
        raise ValueProblem(
            "a Bayes factor needs a finite t, two listeners or more and a positive scale",
            got=f"t={t}, n={n}, scale={scale}",
            fix="leave out tests without spread",
        )
    both = _two_sided(t, n, scale)
    if not one_sided:
        return both
    return both * 2 * _share_above_zero(t, n, scale)


def _two_sided(t: float, n: int, scale: float) -> float:
    """Integrate over g, the prior variance: an inverse gamma law makes the Cauchy prior of it."""
    return float(integrate.quad(_of_log_g, -15, 40, args=(t, n, scale), limit=400, points=[-5, 0, 5, 10])[0])


def _of_log_g(log_g: float, t: float, n: int, scale: float) -> float:
    """Return the likelihood ratio at a prior variance, times the variance's density on its log scale."""
    v, g = n - 1, np.exp(log_g)
    size = 1 + n * g * scale**2
    log = -0.5 * np.log(size) - (v + 1) / 2 * (np.log1p(t**2 / (size * v)) - np.log1p(t**2 / v))
    return float(np.exp(log - 0.5 * np.log(2 * np.pi) - 0.5 * log_g - 1 / (2 * g)))


def _share_above_zero(t: float, n: int, scale: float) -> float:
    """Return the posterior probability of a positive effect."""
    root = np.sqrt(n)
    middle, reach = t / root, 12 / root
    ends = sorted({-50 * scale, middle - reach, min(0.0, middle), 0.0, middle, middle + reach, 50 * scale})
    spans = list(zip(ends, ends[1:], strict=False))
    parts = [integrate.quad(_weight, *span, args=(t, n, scale), limit=200)[0] for span in spans]
    positive = sum(part for part, (low, _) in zip(parts, spans, strict=True) if low >= 0)
    return float(positive / sum(parts))


def _weight(effect: float, t: float, n: int, scale: float) -> float:
    return float(stats.nct.pdf(t, n - 1, effect * np.sqrt(n)) * stats.cauchy.pdf(effect, scale=scale))
