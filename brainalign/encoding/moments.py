"""What a lagged model needs to know of a trial: its moments, never its lag matrix.

For one feature ``x`` and lags ``l``, the lagged design has columns ``x(t - l)``. All of
ridge regression, centring and held-out correlation follow from

    n, sum x(t-l), sum y(t), sum x(t-l) x(t-m), sum x(t-l) y(t), sum y(t)^2

which add over trials. Two edge conventions: ``"zero"`` (silence before and after the
trial; the convention of the mTRF toolboxes) and ``"circular"`` (the trial closed to a
ring), under which every rotation of the stimulus has the same Gram matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import fft

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem

Edges = Literal["zero", "circular"]
_LARGEST_FACTORS = 70


@dataclass(frozen=True, eq=False)
class Responses:
    """One listener's responses, prepared once for all features.

    Responses are centred and scaled to unit variance over all usable frames (a constant
    per channel: with an unpenalised intercept neither changes any correlation), and set
    to zero where a frame may not be used.

    Attributes
    ----------
    spectra
        Per trial, the real FFT of the response, shape ``(n_frequencies, n_channels)``, complex64 or complex128.
    n_fft, n_frames
        Per trial, the transform's length and the number of frames.
    sums, squares
        Per trial, sums of the response and of its square, shape ``(n_trials, n_channels)``, float64.
    scale
        Standard deviation per channel in the response's own unit, shape ``(n_channels,)``.
    """

    spectra: tuple[np.ndarray, ...]
    n_fft: tuple[int, ...]
    n_frames: tuple[int, ...]
    sums: np.ndarray
    squares: np.ndarray
    scale: np.ndarray


def prepare_responses(design: Design, *, dtype: type = np.float32) -> Responses:
    """Centre, scale and transform the responses of a design for the ring."""
    y, scale = standardised(design.trials)
    n_frames = tuple(trial.axis.n for trial in design.trials)
    n_fft = tuple(_ring_length(n) for n in n_frames)
    return Responses(
        spectra=tuple(fft.rfft(item.astype(dtype), n=n, axis=0) for item, n in zip(y, n_fft, strict=True)),
        n_fft=n_fft,
        n_frames=n_frames,
        sums=np.array([item.sum(axis=0) for item in y]),
        squares=np.array([np.square(item).sum(axis=0) for item in y]),
        scale=scale,
    )


def standardised(trials: tuple[Trial, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the responses centred and scaled per channel by constants, 0 at unusable frames, and the scale."""
    usable = [np.asarray(trial.y, dtype=np.float64)[trial.mask] for trial in trials]
    n = sum(len(item) for item in usable)
    mean = sum(item.sum(axis=0) for item in usable) / n
    scale = np.sqrt(sum(np.square(item - mean).sum(axis=0) for item in usable) / n)
    if not np.all(scale > 0):
        raise ValueProblem(
            "a channel is constant",
            got=f"channel number {int(np.argmin(scale))} has no variance",
            fix="mark it bad and interpolate it, or drop it",
        )
    return [np.where(t.mask[:, None], (t.y - mean) / scale, 0.0) for t in trials], scale


def _ring_length(n: int) -> int:
    """Return n if its prime factors are small, else a padded length whose correlation is folded back onto the ring.

    A transform takes time in proportion to the sum of the prime factors: 2,799 frames
    (311 is one) take three times as long as padding does, 2,820 (47) less.
    """
    return n if _factor_sum(n) <= _LARGEST_FACTORS else fft.next_fast_len(2 * n - 1, real=True)


def _factor_sum(n: int) -> int:
    """Return the sum of the prime factors.

    >>> _factor_sum(2800)
    25
    """
    total, factor = 0, 2
    while factor * factor <= n:
        while n % factor == 0:
            total, n = total + factor, n // factor
        factor += 1
    return total + (n if n > 1 else 0)


def fold_onto_ring(full: np.ndarray, n: int) -> np.ndarray:
    """Return the circular correlation over n frames, along axis 0; a padded one is scratch and is folded in place."""
    if len(full) == n:
        return full
    # Shift s and shift s - n are one place on the ring.
    full[1:n] += full[len(full) - n + 1 :]
    return full[:n]
