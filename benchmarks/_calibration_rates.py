"""How often, and is that as often as it may be? Counts over worlds, judged by binomial intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from brainalign.stats.binomial import binomial_interval

CONFIDENCE = 0.99
ROUNDING = 1e-9
Row = dict[str, Any]


def share_of(hits: np.ndarray, *, level: float) -> Row:
    """Return a share beside the 99 % interval that a nominal level allows it.

    Tests of one world share its EEG and its surrogates. If worlds differ by more than independent tests would, the
    tests are worth fewer: their number is divided by that ratio of variances before any interval is taken.

    Parameters
    ----------
    hits
        Bool, ``(n_worlds, n_tests)``.
    level
        Nominal.

    Returns
    -------
    dict
        The share, its own Clopper-Pearson interval, the band around the level, and whether the share is inside of
        the band, or not above it.
    """
    n_worlds, n_tests = hits.shape
    share, n = float(hits.mean()), hits.size
    clustering = clustered(hits)
    worth = max(1, round(n / clustering))
    low, high = binomial_interval(round(share * worth), worth, level=CONFIDENCE)
    band = stats.binom.ppf(((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), worth, level) / worth
    return {
        "level": level,
        "share": share,
        "low": low,
        "high": high,
        "band": [float(edge) for edge in band],
        "tests": n,
        "worlds": n_worlds,
        "clustering": clustering,
        "inside": bool(band[0] - ROUNDING <= share <= band[1] + ROUNDING),
        "not_above": bool(share <= band[1] + ROUNDING),
    }


def clustered(hits: np.ndarray) -> float:
    """Return how much more worlds' shares vary than those of independent tests would; at least 1.

    >>> clustered(np.array([[True, True], [False, False]] * 50)).__round__(1)
    2.0
    """
    share, (n_worlds, n_tests) = hits.mean(), hits.shape
    if n_tests == 1 or n_worlds < 2 or share in (0, 1):
        return 1.0
    return max(1.0, float(hits.mean(axis=1).var(ddof=1) / (share * (1 - share) / n_tests)))


def mean_of(shares: np.ndarray, *, level: float) -> Row:
    """Return a mean share of false discoveries over worlds beside its 99 % interval.

    Clopper-Pearson's where every share is 0 or 1, else Student's, cut off at 0 and 1.

    Parameters
    ----------
    shares
        Between 0 and 1, ``(n_worlds,)``.
    level
        That it may reach.
    """
    n, mean = len(shares), float(shares.mean())
    if np.isin(shares, (0, 1)).all():
        low, high = binomial_interval(int(shares.sum()), n, level=CONFIDENCE)
    else:
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * shares.std(ddof=1) / np.sqrt(n))
        low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    return {"level": level, "share": mean, "low": low, "high": high, "worlds": n, "not_above": low <= level}


def reachable(level: float, n_members: int) -> float:
    """Return the largest level up to a nominal one that counted p-values can have.

    >>> reachable(0.05, 4096) == 204 / 4096
    True
    """
    return int(level * n_members * (1 + ROUNDING)) / n_members


def single_rows(p: np.ndarray, names: Sequence[str], *, levels: Sequence[float], n_members: int = 0) -> list[Row]:
    """Return rows for all features together and for each kind.

    Parameters
    ----------
    p
        ``(n_worlds, n_features)``; features are of all kinds in turn.
    names
        Of kinds.
    levels
        Nominal; shares are held against the largest level that can be reached.
    n_members
        Data and surrogates, for p-values that are counted.
    """
    rows = []
    for level in levels:
        exact = reachable(level, n_members) if n_members else level
        hits = p <= level + ROUNDING
        parts = {"all": hits} | {name: hits[:, k :: len(names)] for k, name in enumerate(names)}
        rows += [{"kind": name, **share_of(part, level=exact), "level": level} for name, part in parts.items()]
    return rows


def family_rows(smallest: dict[str, np.ndarray], *, levels: Sequence[float]) -> list[Row]:
    """Return, per correction, the share of families in which anything was found.

    Parameters
    ----------
    smallest
        Correction -> smallest adjusted p, ``(n_worlds, n_families)``.
    levels
        Nominal.
    """
    return [
        {"correction": name, **share_of(values <= level + ROUNDING, level=level)}
        for name, values in smallest.items()
        for level in levels
    ]
