"""What do the listeners say together? Averages of Fisher-transformed correlations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def fisher_mean(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Average correlations over listeners on Fisher's scale and return to r.

    >>> fisher_mean([np.array([0.1]), np.array([0.3])]).round(4)
    array([0.2021])
    """
    return np.tanh(np.mean([np.arctanh(np.clip(item, -0.999999, 0.999999)) for item in scores], axis=0))


def group_scores(listeners: Sequence[Iterable[np.ndarray]]) -> Iterator[np.ndarray]:
    """Average listeners' scores feature by feature as they come.

    Parameters
    ----------
    listeners
        Per listener, an iterable over features of arrays of one shape (surrogates by
        channels). Each listener has shifts of its own, so the average over listeners of
        the n-th surrogates is a surrogate of the average.

    Yields
    ------
    numpy.ndarray
        The group's scores of one feature.
    """
    for scores in zip(*listeners, strict=True):
        yield fisher_mean(scores)
