"""When did a channel tell nothing? Standing still, or standing at the end of its range."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

STILL_MICROVOLTS = 1e-3
STILL_SECONDS = 0.1
CLIPPED_SAMPLES = 3


def flat_share(microvolts: np.ndarray, *, rate: float) -> np.ndarray:
    """Return the share of time in which each channel stood still for a tenth of a second, shape ``(n_channels,)``.

    Parameters
    ----------
    microvolts
        As recorded, shape ``(n_samples, n_channels)``; two samples stand still within a nanovolt.
    rate
        Samples per second.
    """
    still = np.abs(np.diff(microvolts, axis=0)) <= STILL_MICROVOLTS
    steps = max(2, round(STILL_SECONDS * rate))
    runs = np.stack([_long_runs(column, steps) for column in still.T], axis=1)
    # A run of n steps that stand still is n + 1 samples; a channel that never moves counts whole.
    touched = np.zeros(microvolts.shape, dtype=bool)
    touched[:-1] |= runs
    touched[1:] |= runs
    return np.asarray(touched.mean(axis=0))


def clipped_share(microvolts: np.ndarray) -> np.ndarray:
    """Return the share of time in which each channel stood at its largest or smallest value, shape ``(n_channels,)``.

    Only stays of three samples or more count: an amplifier at the end of its range stays there, a peak does not.
    A channel that never moves is flat and not clipped.

    Parameters
    ----------
    microvolts
        As recorded, shape ``(n_samples, n_channels)``.
    """
    low, high = microvolts.min(axis=0), microvolts.max(axis=0)
    shares = np.zeros(microvolts.shape[1])
    for i in np.flatnonzero(high > low):
        column = microvolts[:, i]
        shares[i] = sum(_long_runs(column == end, CLIPPED_SAMPLES).mean() for end in (low[i], high[i]))
    return shares


def _long_runs(flags: np.ndarray, shortest: int) -> np.ndarray:
    """Keep the runs of true that are at least so long, shape as given."""
    labels, n = ndimage.label(flags)
    if not n:
        return np.zeros(flags.shape, dtype=bool)
    long_enough = np.bincount(labels.ravel()) >= shortest
    long_enough[0] = False
    return np.asarray(long_enough[labels])
