"""Where does the data stand among its surrogates? Summaries of a null, streamed over features.

The data is the first member of its own permutation group, so every p-value is
``(1 + #{surrogates >= data}) / (1 + B)`` and never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from brainalign.stats.tail import Tails, look


@dataclass(frozen=True, eq=False)
class NullSummary:
    """What is kept of a null: never the null itself.

    Attributes
    ----------
    observed, mean, sd, p
        Per feature and channel, shape ``(n_features, n_channels)``; mean and sd over the
        surrogates.
    maxima
        Largest studentised statistic over channels, per member of the group and feature,
        shape ``(1 + n_permutations, n_features)``; row 0 is the data. Each member is
        measured against all others, so that the data is one among equals.
    histogram, beyond, together
        The surrogates' tails (see `brainalign.stats.tail.Tails`): summed over pairs, per pair, per surrogate.
    """

    observed: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    p: np.ndarray
    maxima: np.ndarray
    histogram: np.ndarray
    beyond: np.ndarray
    together: np.ndarray

    @property
    def tails(self) -> Tails:
        """The surrogates' tails."""
        return Tails(self.histogram, self.beyond, len(self.maxima) - 1, self.together)


# Along which axis features stand.
_STACKED = {"observed": 0, "mean": 0, "sd": 0, "p": 0, "maxima": 1, "beyond": 0}


def summarise(groups: Iterable[np.ndarray]) -> NullSummary:
    """Summarise nulls that come one feature at a time.

    Parameters
    ----------
    groups
        Per feature, the statistic of the data (row 0) and its surrogates, shape
        ``(1 + n_permutations, n_channels)``.
    """
    return join(_summarise_one(np.asarray(group, dtype=np.float64)) for group in groups)


def _summarise_one(group: np.ndarray) -> NullSummary:
    mean, sd, tails = group[1:].mean(axis=0), group[1:].std(axis=0), look(group[1:])
    # A copy: a view of row 0 would keep every surrogate of every feature in memory.
    observed, p, maxima = group[0].copy(), permutation_p(group), studentised(group).max(axis=1)
    return NullSummary(
        observed[None], mean[None], sd[None], p[None], maxima[:, None], tails.histogram, tails.beyond, tails.together
    )


def studentised(group: np.ndarray) -> np.ndarray:
    """Return each member's distance from the mean of the *other* members, in their standard deviations.

    A member counted into its own group's spread could not be further than ``sqrt(n - 1)``
    from the mean, however strong the effect. With ``u = (value - mean) / sd`` over all n,

        z = u * sqrt(n / (n - 1)) / sqrt(1 - u^2 / (n - 1))

    is the distance from the others. It is one increasing function of u for all members,
    features and channels, so every p-value is the one that u gives.

    Parameters
    ----------
    group
        Shape ``(n, ...)``.
    """
    n, sd = len(group), group.std(axis=0)
    u = (group - group.mean(axis=0)) / np.where(sd > 0, sd, np.inf)
    room = np.maximum(1 - u**2 / (n - 1), 1e-12)
    return u * np.sqrt(n / (n - 1) / room)


def permutation_p(group: np.ndarray) -> np.ndarray:
    """Return the share of the group that is at least as large as its first member.

    >>> permutation_p(np.array([[3.0], [1.0], [2.0], [3.0]]))
    array([0.5])
    """
    return (group >= group[0]).mean(axis=0)


def join(summaries: Iterable[NullSummary]) -> NullSummary:
    """Put summaries of successive blocks of features together.

    They are taken one at a time: what adds up over features is added up, and not kept of each.
    """
    kept: dict[str, list[np.ndarray]] = {name: [] for name in _STACKED}
    summed: dict[str, np.ndarray] = {}
    for part in summaries:
        for name, values in kept.items():
            values.append(getattr(part, name))
        summed = {name: getattr(part, name) + summed.get(name, 0) for name in ("histogram", "together")}
    stacked = {name: np.concatenate(values, axis=_STACKED[name]) for name, values in kept.items()}
    return NullSummary(**stacked, **summed)
