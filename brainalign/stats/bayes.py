"""How much more likely are the data with an effect than without? Bayes factors for group tests."""

from __future__ import annotations

from typing import overload

import numpy as np
from scipy import special

from brainalign.core.errors import ValueProblem

SCALE = float(np.sqrt(0.5))
# Nodes of log g. The integrand is smooth about 1 wide there, and analytic in a strip of half-width pi / 2 around the
# real line, so the trapezoid rule's error falls as exp(-pi^2 / step): below rounding.
_STEP, _FIRST, _BEYOND_PEAK = 0.2, -5.0, 45.0
_ROWS = 2048


@overload
def bayes_factor(t: float, n: int, *, scale: float = ..., one_sided: bool = ...) -> float: ...
@overload
def bayes_factor(t: np.ndarray, n: int, *, scale: float = ..., one_sided: bool = ...) -> np.ndarray: ...
def bayes_factor(t: float | np.ndarray, n: int, *, scale: float = SCALE, one_sided: bool = False) -> float | np.ndarray:
    """Return the JZS Bayes factor of a one-sample t-test, effect over no effect (Rouder et al. 2009).

    The standardised effect d has a Cauchy prior of a given scale (only its positive half if
    one-sided); mean zero and any variance before the data:

        BF10 = integral of  t_{n-1}(t; noncentrality d sqrt(n))  Cauchy(d; scale) dd  /  t_{n-1}(t)

    It takes listeners' values for independent and normal; one listener far off makes it small
    where sign flips would still see the effect.

    Parameters
    ----------
    t
        Student's statistic, a number or an array of any shape.
    n
        Listeners.
    scale
        Of the prior; sqrt(1/2) is the field's default.
    one_sided
        Whether only positive effects are meant (Morey & Rouder 2011).

    Returns
    -------
    float or numpy.ndarray
        In the shape of `t`. Infinite beyond 1e308: see `log_bayes_factor`.

    Examples
    --------
    >>> round(bayes_factor(2.24, 80, scale=1.0), 2)
    0.98
    """
    with np.errstate(over="ignore"):
        factor = np.exp(log_bayes_factor(np.asarray(t, dtype=float), n, scale=scale, one_sided=one_sided))
    return float(factor) if np.ndim(t) == 0 else factor


def log_bayes_factor(t: np.ndarray, n: int, *, scale: float = SCALE, one_sided: bool = False) -> np.ndarray:
    """Return natural logarithms of Bayes factors, finite for every finite t.

    The effect's Cauchy law is a normal one of variance g scale^2 with 1 / g ~ chi^2(1). Given g,

        BF10(g) = (1 + n g scale^2)^(-1/2)  ((1 + t^2 / ((1 + n g scale^2) v)) / (1 + t^2 / v))^(-n/2),   v = n - 1

    and with w = 1 / (g scale^2) the effect is positive with probability ``T_n(n t / sqrt((n + w) v + w t^2))`` (T_n:
    Student's distribution function with n degrees of freedom). What is left is one integral over log g.

    Parameters
    ----------
    t, n, scale, one_sided
        As in `bayes_factor`.
    """
    t = np.asarray(t, dtype=float)
    if n < 2 or not np.isfinite(t).all() or not scale > 0:
        raise ValueProblem(
            "a Bayes factor needs a finite t, two listeners or more and a positive scale",
            got=f"{np.count_nonzero(~np.isfinite(t))} of {t.size} t not finite, n={n}, scale={scale}",
            fix="leave out tests without spread",
        )
    flat = t.reshape(-1, 1)
    parts = [_blocked(flat[start : start + _ROWS], n, scale, one_sided) for start in range(0, len(flat), _ROWS)]
    return np.concatenate([np.empty(0), *parts]).reshape(t.shape)


def _blocked(t: np.ndarray, n: int, scale: float, one_sided: bool) -> np.ndarray:
    """Integrate over log g for a column of t."""
    v = n - 1
    # The likelihood is largest near g = (t / scale)^2 / n, beyond which the integrand falls as 1 / g.
    last = _BEYOND_PEAK + max(0.0, float(2 * np.log1p(np.abs(t).max() / scale / np.sqrt(n))))
    log_g = np.arange(_FIRST, last, _STEP)
    g = np.exp(log_g)
    size = 1 + n * g * scale**2
    log = -0.5 * np.log(size) - n / 2 * (np.log1p(t**2 / (size * v)) - np.log1p(t**2 / v))
    log = log - 0.5 * np.log(2 * np.pi) - 0.5 * log_g - 1 / (2 * g)
    if one_sided:
        weight = 1 / (g * scale**2)
        log = log + np.log(2) + _log_student(n * t / np.sqrt((n + weight) * v + t**2 * weight), n)
    return special.logsumexp(log, axis=1) + np.log(_STEP)


def _log_student(z: np.ndarray, df: int) -> np.ndarray:
    """Return the log of Student's distribution function, also where the function itself is 0 in floating point."""
    probability = special.stdtr(df, z)
    low = probability < 1e-250
    out = np.log(np.where(low, 1.0, probability))
    # T(-z) = I_x(df/2, 1/2) / 2 with x = df / (df + z^2); the series is exact everywhere, and quick so far out.
    square = z[low] ** 2
    log_x, log_rest = -np.log1p(square / df), -np.log1p(df / square)
    a = df / 2
    series = special.hyp2f1(1.0, a + 0.5, a + 1, np.exp(log_x))
    out[low] = a * log_x + 0.5 * log_rest - np.log(2 * a) - special.betaln(a, 0.5) + np.log(series)
    return out
