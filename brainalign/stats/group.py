"""What do the listeners say together? Averages of Fisher-transformed correlations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fisher_mean(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Average correlations over listeners on Fisher's scale and return to r.

    >>> fisher_mean([np.array([0.1]), np.array([0.3])]).round(4)
    array([0.2021])
    """
    return np.tanh(np.mean([np.arctanh(np.clip(item, -0.999999, 0.999999)) for item in scores], axis=0))
