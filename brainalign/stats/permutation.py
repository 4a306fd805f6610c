"""Where does the data stand among its surrogates? Summaries of a null, streamed over features.

The data is the first member of its own permutation group, so every p-value is
``(1 + #{surrogates >= data}) / (1 + B)`` and never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class NullSummary:
    """What is kept of a null: never the null itself.

    Attributes
    ----------
    observed, mean, sd, p
        Per feature and channel, shape ``(n_features, n_channels)``; mean and sd over the
        whole group, the data included.
    maxima
        Largest studentised statistic over channels, per member of the group and feature,
        shape ``(1 + n_permutations, n_features)``; row 0 is the data.
    """

    observed: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    p: np.ndarray
    maxima: np.ndarray


def summarise(groups: Iterable[np.ndarray]) -> NullSummary:
    """Summarise nulls that come one feature at a time.

    Parameters
    ----------
    groups
        Per feature, the statistic of the data (row 0) and its surrogates, shape
        ``(1 + n_permutations, n_channels)``.
    """
    parts = [_summarise_one(np.asarray(group, dtype=np.float64)) for group in groups]
    observed, mean, sd, p, maxima = (np.array(part) for part in zip(*parts, strict=True))
    return NullSummary(observed, mean, sd, p, maxima.T)


def _summarise_one(group: np.ndarray) -> tuple[np.ndarray, ...]:
    mean, sd = group.mean(axis=0), group.std(axis=0)
    studentised = (group - mean) / np.where(sd > 0, sd, np.inf)
    return group[0], mean, sd, permutation_p(group), studentised.max(axis=1)


def permutation_p(group: np.ndarray) -> np.ndarray:
    """Return the share of the group that is at least as large as its first member.

    >>> permutation_p(np.array([[3.0], [1.0], [2.0], [3.0]]))
    array([0.5])
    """
    return (group >= group[0]).mean(axis=0)


def join(summaries: Iterable[NullSummary]) -> NullSummary:
    """Put summaries of successive blocks of features together."""
    parts = list(summaries)
    stacked = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("observed", "mean", "sd", "p")
    }
    return NullSummary(**stacked, maxima=np.concatenate([part.maxima for part in parts], axis=1))
