"""What do the listeners say together? Averages of correlations, and one p-value of several.

Both are fixed effects: they speak of these listeners. That *somebody's* brain follows the
sound is one thing; `brainalign.stats.signflip` asks whether people's do on average, and
`brainalign.stats.prevalence` how many of them do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name


def fisher_mean(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Average correlations over listeners on Fisher's scale and return to r.

    >>> fisher_mean([np.array([0.1]), np.array([0.3])]).round(4)
    array([0.2021])
    """
    return np.tanh(np.mean([np.arctanh(np.clip(item, -0.999999, 0.999999)) for item in scores], axis=0))


def combined_p(p: np.ndarray, *, method: str = "fisher") -> np.ndarray:
    """Return one p-value for "no effect in any of these listeners", per test.

        "fisher"    chi^2_{2n} of  -2 sum log p_i         few strong or many weak listeners (Fisher 1932)
        "stouffer"  normal law of  sum z(p_i) / sqrt(n)   many weak listeners; one p of 1 makes it 1 (Stouffer 1949)
        "tippett"   1 - (1 - min p_i)^n                   the strongest listener alone (Tippett 1931)

    Listeners must be independent without effect. A small p says that the effect is in one
    listener at least (fixed effects), not that it is in the population. p-values that are
    counted, (1 + k) / (1 + B), make all three err on the safe side, since they are too large on average.

    Parameters
    ----------
    p
        One-sided, each listener's own, ``(n_listeners, ...)``.
    method
        One of the above.

    Returns
    -------
    numpy.ndarray
        In the shape of one listener's.

    Examples
    --------
    >>> combined_p(np.array([[0.04, 0.9], [0.2, 0.1], [0.1, 0.5]])).round(4)
    array([0.0268, 0.4009])
    """
    if method not in COMBINATIONS:
        raise unknown_name(method, among=COMBINATIONS, kind="way to combine p-values")
    p = np.asarray(p, dtype=float)
    if p.ndim < 1 or not len(p):
        raise ShapeMismatch("p-values are combined over listeners", got=p.shape, fix="give (n_listeners, ...)")
    if not np.all((p > 0) & (p <= 1)):
        raise ValueProblem(
            "p-values to combine must lie above 0 and at most at 1",
            got=f"{np.min(p)} to {np.max(p)}",
            fix="count the data in: (1 + #{null >= observed}) / (1 + B); leave out listeners that were not tested",
        )
    return np.asarray(COMBINATIONS[method](p))


def _fisher(p: np.ndarray) -> np.ndarray:
    return special.gammaincc(len(p), -np.log(p).sum(axis=0))


def _stouffer(p: np.ndarray) -> np.ndarray:
    return special.ndtr(special.ndtri(p).sum(axis=0) / np.sqrt(len(p)))


def _tippett(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return -np.expm1(len(p) * np.log1p(-p.min(axis=0)))


COMBINATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fisher": _fisher,
    "stouffer": _stouffer,
    "tippett": _tippett,
}
