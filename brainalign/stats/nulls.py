"""Which surrogate data would be as likely as the data if there were no effect?

Each scheme states what it takes for granted; reports repeat that sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from brainalign.core.errors import ValueProblem

MIN_POSITIONS = 100


@dataclass(frozen=True)
class Scheme:
    """A way to make surrogates, and what it assumes."""

    name: str
    assumption: str


SCHEMES = {
    "circular-shift": Scheme(
        "circular shift within trials",
        "Were there no effect, moving a stimulus against the response within a trial would not change the statistic's "
        "distribution; this holds when both are stationary within a trial, so both are high-passed first.",
    ),
}


def circular_shifts(
    n_frames: Sequence[int], *, n_permutations: int, min_shift: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw rotations, each trial on its own; row 0 is the data (no shift).

    Parameters
    ----------
    n_frames
        Frames per trial.
    n_permutations
        Number of rotations besides the identity.
    min_shift
        Smallest distance from the true alignment, in frames, either way round the ring.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Shape ``(1 + n_permutations, n_trials)``, int64.
    """
    free = np.array([n - 2 * min_shift + 1 for n in n_frames])
    if free.min() < MIN_POSITIONS:
        shortest = int(np.argmin(free))
        raise ValueProblem(
            "a trial is too short for a circular-shift null",
            got=f"trial {shortest}: {n_frames[shortest]} frames, {max(0, int(free.min()))} shifts beyond {min_shift}",
            fix=f"use trials of at least {2 * min_shift + MIN_POSITIONS} frames, or a shorter lag window",
        )
    if float(np.log2(free).sum()) < np.log2(10 * n_permutations):
        raise ValueProblem(
            "there are too few distinguishable shifts for that many permutations",
            got=f"{n_permutations} permutations of {len(free)} trials",
            fix=f"ask for at most {int(np.prod(free.astype(float)) // 10)}",
        )
    drawn = min_shift + rng.integers(0, free, size=(n_permutations, len(free)))
    return np.concatenate([np.zeros((1, len(free)), dtype=np.int64), drawn])


def decorrelation_frames(signal: np.ndarray, *, level: float = 0.05, longest: int = 500) -> int:
    """Return after how many frames a signal's autocorrelation stays below a level.

    Parameters
    ----------
    signal
        Shape ``(n_frames, n_columns)``.
    level
        Absolute autocorrelation regarded as none.
    longest
        Lags looked at.

    Returns
    -------
    int
        The largest over columns of the first lag from which the median absolute
        autocorrelation over the next tenth of a window is below the level.
    """
    n = len(signal)
    longest = min(longest, n // 3)
    centred = signal - signal.mean(axis=0)
    spectrum = np.fft.rfft(centred, n=2 * n, axis=0)
    auto = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:longest]
    auto = np.abs(auto / np.where(auto[:1] > 0, auto[:1], np.inf))
    span = max(1, ceil(longest / 10))
    envelope = np.array([np.median(auto[lag : lag + span], axis=0).max() for lag in range(longest - span)])
    below = np.flatnonzero(envelope < level)
    return int(below[0]) if len(below) else longest


def min_shift(n_lags: int, decorrelation: int) -> int:
    """Return the smallest shift that breaks the alignment: the lag window plus the signals' memory, in frames."""
    return n_lags + decorrelation
