"""When may one stop drawing surrogates? Once so many have beaten the data that nothing can be found any more.

With h the exceedances to stop at, a p-value at which it stopped is known to about
``sqrt((1 - p) / h)`` of itself, and h / B is the largest p-value that is still counted
with all B surrogates. So h = 20 leaves p-values up to 0.02 of B = 1,000 untouched, and tests without
effect then take 98 surrogates on average (`expected_draws`) where they took 1,000.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem


def sequential_p(group: np.ndarray, *, stop_hopeless: int) -> np.ndarray:
    """Return p-values of a test that stops early (Besag & Clifford 1991).

    With h the exceedances to stop at: h divided by the number of surrogates it took to see
    them, or ``(1 + exceedances) / (1 + B)`` if they were not seen among B. Under no effect
    the chance of a p-value at or below any level is at most that level, as for the full test.

    Parameters
    ----------
    group
        The data's score (row 0) and the surrogates' in the order they were drawn, ``(1 + B, n_channels)``;
        rows after stopping may be NaN, as `brainalign.encoding.massunivariate.rotated_scores` leaves them.
    stop_hopeless
        h, as given to `brainalign.encoding.massunivariate.rotated_scores`.

    Examples
    --------
    >>> sequential_p(np.array([[1.0], [2.0], [0.0], [3.0], [np.nan]]), stop_hopeless=2)
    array([0.66666667])
    """
    group = np.asarray(group)
    if group.ndim < 1 or len(group) < 2:
        raise ShapeMismatch(
            "a group is the data and its surrogates", got=group.shape, fix="give (1 + n_permutations, n_channels)"
        )
    _require_bound(stop_hopeless)
    reached = np.cumsum(group[1:] >= group[0], axis=0)
    stopped = reached[-1] >= stop_hopeless
    # The surrogate at which a test stopped; a test that never did took them all.
    taken = np.where(stopped, 1 + (reached >= stop_hopeless).argmax(axis=0), len(group) - 1)
    _require_scored(group, taken)
    return besag_clifford_p(
        np.minimum(reached[-1], stop_hopeless), taken, stop_hopeless=stop_hopeless, n_permutations=len(group) - 1
    )


def besag_clifford_p(reached: np.ndarray, taken: np.ndarray, *, stop_hopeless: int, n_permutations: int) -> np.ndarray:
    """Return p-values from counts alone, for tests that keep no scores.

    ``h / taken`` where h was reached, ``(1 + reached) / (1 + B)`` where it was not.

    Parameters
    ----------
    reached
        Surrogates at least as large as the data, at most h, any shape.
    taken
        Surrogates drawn, the h-th exceedance being the last of them; B where h was not reached.
    stop_hopeless, n_permutations
        h and B.

    Examples
    --------
    >>> besag_clifford_p(np.array([2, 1]), np.array([40, 99]), stop_hopeless=2, n_permutations=99)
    array([0.05, 0.02])
    """
    reached, taken = np.broadcast_arrays(reached, taken)
    _require_bound(stop_hopeless)
    stopped = reached == stop_hopeless
    possible = (reached >= 0) & (reached <= stop_hopeless) & (taken >= reached) & (taken <= n_permutations)
    wrong = ~(possible & (stopped | (taken == n_permutations)))
    if wrong.any():
        raise ValueProblem(
            "a test takes all surrogates, or stops at the last exceedance it waits for",
            got=f"{reached[wrong].flat[0]} exceedances among {taken[wrong].flat[0]} of {n_permutations}, "
            f"stop_hopeless={stop_hopeless}",
            fix="count up to stop_hopeless exceedances, and stop there",
        )
    return np.where(stopped, stop_hopeless / np.maximum(taken, 1), (1 + reached) / (1 + n_permutations))


def expected_draws(p: np.ndarray | None = None, *, stop_hopeless: int, n_permutations: int) -> np.ndarray:
    """Return how many surrogates a test takes on average, to choose h and B by.

    With T the surrogates until the h-th exceedance (negative binomial),

        E min(T, B) = sum over t < B of P(fewer than h exceedances among t),

    which for a test without effect, averaged over its p-value, is ``h + h (1/(h+1) + ... + 1/B)``.

    Parameters
    ----------
    p
        Chance that a surrogate is at least as large as the data. Left out: that of a test without effect.
    stop_hopeless, n_permutations
        h and B.

    Examples
    --------
    >>> float(expected_draws(stop_hopeless=20, n_permutations=1000).round(1))
    97.8
    >>> expected_draws(np.array([0.001, 0.5]), stop_hopeless=20, n_permutations=1000).round(1)
    array([1000.,   40.])
    """
    _require_bound(stop_hopeless)
    h, n = stop_hopeless, n_permutations
    if p is None:
        return np.asarray(float(n) if h >= n else h * (1 + special.digamma(n + 1) - special.digamma(h + 1)))
    p = np.asarray(p, dtype=float)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueProblem("chances must lie between 0 and 1", got=p, fix="give p-values")
    total = np.full(p.shape, float(min(h, n)))
    for t in range(h, n):
        total += special.bdtr(h - 1, t, p)
    return total


def _require_bound(stop_hopeless: int) -> None:
    if stop_hopeless < 1:
        raise ValueProblem(
            "early stopping needs an exceedance to wait for",
            got=f"stop_hopeless={stop_hopeless}",
            fix="choose e.g. stop_hopeless=20",
        )


def _require_scored(group: np.ndarray, taken: np.ndarray) -> None:
    """Refuse what was not scored though its test went on: it would count as a surrogate below the data."""
    rows = np.arange(len(group)).reshape(-1, *[1] * (group.ndim - 1))
    missing = np.isnan(group) & (rows <= taken)
    if missing.any():
        raise NotFinite(
            "scores are missing of tests that had not stopped",
            got=f"{int(missing.sum())} NaN, the first in row {int(np.argwhere(missing)[0, 0])}",
            fix="give the stop_hopeless that the scores were made with; leave out channels without a score",
        )
