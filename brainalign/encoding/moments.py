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
from brainalign.core.time import Lags

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
    n_usable
        Per trial, the number of usable frames.
    sums, squares
        Per trial, sums of the response and of its square, shape ``(n_trials, n_channels)``, float64.
    scale
        Standard deviation per channel in the response's own unit, shape ``(n_channels,)``.
    """

    spectra: tuple[np.ndarray, ...]
    n_fft: tuple[int, ...]
    n_frames: tuple[int, ...]
    n_usable: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    scale: np.ndarray


def prepare_responses(design: Design, *, edges: Edges, dtype: type = np.float32) -> Responses:
    """Centre, scale and transform the responses of a design."""
    y, scale = standardised(design.trials)
    n_frames = tuple(trial.axis.n for trial in design.trials)
    n_fft = tuple(_ring_length(n) if edges == "circular" else _padded_length(n, design.lags) for n in n_frames)
    return Responses(
        spectra=tuple(fft.rfft(item.astype(dtype), n=n, axis=0) for item, n in zip(y, n_fft, strict=True)),
        n_fft=n_fft,
        n_frames=n_frames,
        n_usable=np.array([np.count_nonzero(trial.mask) for trial in design.trials], dtype=float),
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


def _padded_length(n: int, lags: Lags) -> int:
    return fft.next_fast_len(n + max(abs(lags.first), abs(lags.last)) + 1, real=True)


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


def cross_correlation(x: np.ndarray, responses: Responses, trial: int) -> np.ndarray:
    """Return ``c[s] = sum_t x(t - s) y(t)`` at every shift, index ``-s`` (from the end) being shift ``-s``.

    With zero-padded edges the shape is ``(n_fft, n_channels)``; use `ring_correlation` on a ring.
    """
    spectrum = fft.rfft(x, n=responses.n_fft[trial]).conj()
    return fft.irfft(spectrum[:, None] * responses.spectra[trial], n=responses.n_fft[trial], axis=0)


def ring_correlation(x: np.ndarray, responses: Responses, trial: int) -> np.ndarray:
    """Return the circular cross-correlation at every shift, shape ``(n_frames, n_channels)``."""
    return fold_onto_ring(cross_correlation(x, responses, trial), responses.n_frames[trial])


def fold_onto_ring(full: np.ndarray, n: int) -> np.ndarray:
    """Return the circular correlation over n frames, along axis 0; a padded one is scratch and is folded in place."""
    if len(full) == n:
        return full
    # Shift s and shift s - n are one place on the ring.
    full[1:n] += full[len(full) - n + 1 :]
    return full[:n]


def gram(x: np.ndarray, lags: Lags, *, edges: Edges) -> np.ndarray:
    """Return the Gram matrix of the lagged columns, ``sum_t x(t-l) x(t-m)``, shape ``(n_lags, n_lags)``, float64."""
    if edges == "circular":
        return _toeplitz(_autocorrelation(x, lags.n, n_fft=len(x)))
    return _padded_gram(x, lags)


def _autocorrelation(x: np.ndarray, n: int, *, n_fft: int) -> np.ndarray:
    """Return ``sum_t x(t) x(t - d)`` for d = 0 ... n - 1."""
    spectrum = fft.rfft(x.astype(np.float64), n=n_fft)
    full = fft.irfft(spectrum.real**2 + spectrum.imag**2, n=n_fft)
    return full[np.arange(n) % n_fft]


def _toeplitz(first: np.ndarray) -> np.ndarray:
    index = np.arange(len(first))
    return first[np.abs(index[:, None] - index[None, :])]


def _padded_gram(x: np.ndarray, lags: Lags) -> np.ndarray:
    """Start from the untruncated Toeplitz matrix and take away what falls off the trial's ends.

    Column l holds ``x(t - l)`` for ``0 <= t < n``: samples with ``t < 0`` or ``t >= n`` of
    the shifted signal are lost. Their products are a Gram matrix of a few rows.
    """
    n, x = len(x), x.astype(np.float64)
    full = _toeplitz(_autocorrelation(x, lags.n, n_fft=fft.next_fast_len(n + lags.n, real=True)))
    outside = np.concatenate([np.arange(min(lags.first, 0), 0), np.arange(n, n + max(lags.last, 0))])
    rows = outside[:, None] - lags.samples[None, :]
    lost = np.where((rows >= 0) & (rows < n), x[np.clip(rows, 0, n - 1)], 0.0)
    return full - lost.T @ lost


def lagged_sums(x: np.ndarray, mask: np.ndarray, lags: Lags, *, edges: Edges) -> np.ndarray:
    """Return the sum of each lagged column over the usable frames, shape ``(n_lags,)``, float64."""
    x = x.astype(np.float64)
    if edges == "circular":
        return np.full(lags.n, x.sum())
    total = np.concatenate([[0.0], np.cumsum(x)])
    stop = np.clip(len(x) - lags.samples, 0, len(x))
    start = np.clip(-lags.samples, 0, len(x))
    return total[stop] - total[start] - _masked_rows(x, mask, lags).sum(axis=0)


def masked_gram(x: np.ndarray, mask: np.ndarray, lags: Lags, *, edges: Edges) -> np.ndarray:
    """Return the Gram matrix over usable frames only (``"zero"`` edges), or over all frames (``"circular"``).

    Under circular edges the stimulus is rotated and the mask is not, so leaving frames
    out would change the matrix with every rotation; there an unusable frame counts as a
    frame at which the response is at its mean.
    """
    whole = gram(x, lags, edges=edges)
    if edges == "circular" or mask.all():
        return whole
    rows = _masked_rows(x.astype(np.float64), mask, lags)
    return whole - rows.T @ rows


def _masked_rows(x: np.ndarray, mask: np.ndarray, lags: Lags) -> np.ndarray:
    """Return the lagged rows at unusable frames, shape ``(n_unusable, n_lags)`` (zeros beyond the trial)."""
    at = np.flatnonzero(~mask)[:, None] - lags.samples[None, :]
    return np.where((at >= 0) & (at < len(x)), x[np.clip(at, 0, len(x) - 1)], 0.0)
