"""Moments of many features at once: correlations at a few lags of long signals, by matrix products.

A transform of the whole trial gives the correlation at every shift; an observed model
needs a few dozen lags. Cut the feature into segments, take each with the stretch of
response that its lags can reach, and add the products of their short transforms up over
segments *before* transforming back: at every frequency that sum is a matrix product of
features by segments by channels. About 12 times fewer operations than the same sums lag
by lag, exactly the same moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy import fft

from brainalign.core.design import Design
from brainalign.core.time import Lags
from brainalign.encoding.backend import Array, Backend
from brainalign.encoding.moments import Edges


@dataclass(frozen=True)
class Cut:
    """How a signal is cut: segments of ``length`` frames, transformed over ``n_fft``."""

    length: int
    n_fft: int

    @classmethod
    def for_lags(cls, n_lags: int) -> Cut:
        """Return the cut that costs least: transforms a few times the lag window."""
        n_fft = fft.next_fast_len(max(64, 6 * n_lags), real=True)
        return cls(n_fft - n_lags + 1, n_fft)

    def count(self, n_frames: int) -> int:
        """Return how many segments cover a signal."""
        return -(-n_frames // self.length)


def response_segments(y: np.ndarray, lags: Lags, *, cut: Cut, edges: Edges, backend: Backend) -> Array:
    """Return conjugate spectra of the response stretches, ``(n_frequencies, n_segments, n_channels)``."""
    n, count = len(y), cut.count(len(y))
    at = np.arange(count)[None, :] * cut.length + lags.first + np.arange(cut.n_fft)[:, None]
    if edges == "circular":
        stretches = y[at % n]
    else:
        stretches = np.where(((at >= 0) & (at < n))[..., None], y[np.clip(at, 0, n - 1)], y.dtype.type(0))
    return backend.rfft(backend.put(stretches)).conj()


def feature_segments(x: np.ndarray, *, cut: Cut, backend: Backend) -> Array:
    """Return spectra of the features' segments, ``(n_frequencies, n_features, n_segments)``, for `segment_products`."""
    count, n_features = cut.count(len(x)), x.shape[1]
    padded = np.zeros((count * cut.length, n_features), dtype=x.dtype)
    padded[: len(x)] = x
    pieces = np.ascontiguousarray(padded.reshape(count, cut.length, n_features).swapaxes(0, 1))
    return backend.rfft(backend.put(pieces), n=cut.n_fft).swapaxes(1, 2)


def segment_products(x: np.ndarray, segments: Array, *, cut: Cut, backend: Backend) -> Array:
    """Return cross-spectra of features and responses, added over segments: ``(n_frequencies, n_features, n_channels)``.

    Parameters
    ----------
    x
        One trial's features, ``(n_frames, n_features)``.
    segments
        From `response_segments`, of the same trial.
    cut, backend
        As there.
    """
    return backend.matmul(feature_segments(x, cut=cut, backend=backend), segments)


def lag_products(spectra: Array, *, cut: Cut, n_lags: int, backend: Backend) -> np.ndarray:
    """Return ``sum_t x(t - l) y(t)`` at every lag from added cross-spectra: ``(n_features, n_lags, n_channels)``."""
    # Conjugated responses turn the correlation's time axis round.
    turned = backend.get(backend.irfft(spectra, n=cut.n_fft))
    return np.moveaxis(turned[-np.arange(n_lags) % cut.n_fft], 0, 1)


def autocorrelations(x: np.ndarray, n_lags: int, *, edges: Edges) -> np.ndarray:
    """Return ``sum_t x(t) x(t - d)`` for d = 0 ... n_lags - 1, shape ``(n_features, n_lags)``, float64.

    Parameters
    ----------
    x
        Shape ``(n_frames, n_features)``.
    n_lags, edges
        How many, and what lies beyond the signal's ends.

    Examples
    --------
    >>> autocorrelations(np.array([[1.0], [2.0], [3.0]]), 2, edges="zero")
    array([[14.,  8.]])
    """
    n, n_features = x.shape
    count = -(-n // n_lags)
    signal = np.zeros((n_features, (count + 1) * n_lags))
    signal[:, :n] = x.T
    ahead = signal
    if edges == "circular":
        ahead = signal.copy()
        ahead[:, n : n + n_lags] = signal[:, np.arange(n_lags) % n]
    here = signal[:, : count * n_lags].reshape(n_features, count, n_lags)
    there = ahead.reshape(n_features, count + 1, n_lags)
    product = np.empty((n_features, n_lags, 2 * n_lags))
    np.matmul(here.swapaxes(1, 2), there[:, :-1], out=product[:, :, :n_lags])
    np.matmul(here.swapaxes(1, 2), there[:, 1:], out=product[:, :, n_lags:])
    step = product.itemsize
    diagonals = as_strided(
        product, (n_features, n_lags, n_lags), (product.strides[0], (2 * n_lags + 1) * step, step), writeable=False
    )
    return diagonals.sum(axis=1)


def toeplitz(first: np.ndarray) -> np.ndarray:
    """Return symmetric Toeplitz matrices ``(..., n, n)`` from their first rows ``(..., n)``."""
    index = np.arange(first.shape[-1])
    return first[..., np.abs(index[:, None] - index[None, :])]


def padded_moments(x: np.ndarray, mask: np.ndarray, lags: Lags) -> tuple[np.ndarray, np.ndarray]:
    """Return Gram matrices ``(n_features, n_lags, n_lags)`` and sums ``(n_features, n_lags)`` over usable frames.

    The untruncated Toeplitz matrix and sum, less what falls off the trial's ends and at unusable frames.
    """
    lost = lagged_rows(x, lost_frames(mask, lags), lags)
    total = x.sum(axis=0, dtype=np.float64)[:, None]
    return toeplitz(autocorrelations(x, lags.n, edges="zero")) - lost.swapaxes(1, 2) @ lost, total - lost.sum(axis=1)


def ring_columns(design: Design, start: int, stop: int) -> list[np.ndarray]:
    """Return a block of features per trial, float64, less each feature's mean over all trials.

    On a ring, taking a constant off changes no result (the intercept is free) and keeps
    float32 products precise.
    """
    parts = [trial.x.block(start, stop).astype(np.float64) for trial in design.trials]
    mean = sum(part.sum(axis=0) for part in parts) / sum(len(part) for part in parts)
    return [part - mean for part in parts]


def ring_moments(x: np.ndarray, n_lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gram matrices ``(n_features, n_lags, n_lags)`` and sums ``(n_features, n_lags)`` on the ring."""
    sums = np.repeat(x.sum(axis=0, dtype=np.float64)[:, None], n_lags, axis=1)
    return toeplitz(autocorrelations(x, n_lags, edges="circular")), sums


def lost_frames(mask: np.ndarray, lags: Lags) -> np.ndarray:
    """Return the frames whose rows do not count though some shifted feature is there: beyond the ends, and unusable."""
    before, after = np.arange(min(lags.first, 0), 0), np.arange(len(mask), len(mask) + max(lags.last, 0))
    return np.concatenate([before, after, np.flatnonzero(~mask)])


def lagged_rows(x: np.ndarray, frames: np.ndarray, lags: Lags) -> np.ndarray:
    """Return rows of the lag matrices at these frames, ``(n_features, n_rows, n_lags)``, 0 beyond the trial."""
    at = frames[:, None] - lags.samples[None, :]
    rows = np.where(((at >= 0) & (at < len(x)))[..., None], x[np.clip(at, 0, len(x) - 1)], 0.0)
    return np.ascontiguousarray(np.moveaxis(rows, -1, 0), dtype=np.float64)
