"""How loud is each band at each moment? Complex filters, and the magnitudes of what they let through.

Overlap-save with filters of finite length: every hop sees exactly its own samples, whatever
the block it was computed in, and a sound of two hours needs no more working memory than one
of ten seconds. Before its beginning and after its end the sound is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import fft

from brainalign.audio.fine import fine_axis, hop_of
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis, nearest

INTEGRATION_SECONDS = Fraction(10, 1000)
"""Length of the Blackman window that magnitudes are averaged with: -58 dB from 300 Hz on."""

SHORTEST_TRANSFORM = 1 << 15


@dataclass(frozen=True, eq=False)
class ComplexFilters:
    """Finite filters: ``z[n] = sum over j of taps[j] * x[n - first - j]``.

    Parameters
    ----------
    taps
        Complex, shape ``(n_filters, n_taps)``; a cosine of amplitude ``a`` at a filter's centre
        gives ``abs(z) == a`` where the response is 2 there.
    first
        The delay of tap 0 in samples; negative if the filter looks ahead.
    """

    taps: np.ndarray
    first: int


def band_magnitudes(
    stimulus: Stimulus, filters: ComplexFilters, *, rate: int, power: bool = False
) -> tuple[np.ndarray, TimeAxis]:
    """Filter a sound, and average each band's magnitude around every hop.

    Parameters
    ----------
    stimulus
        The sound.
    filters
        What to let through.
    rate
        Hops per second, about (a hop is a whole number of samples).
    power
        Average ``abs(z) ** 2 / 2``, the band's mean power, instead of ``abs(z)``.

    Returns
    -------
    tuple
        Values, float32, shape ``(n_hops, n_filters)``, and their clock.
    """
    axis, hop, window = fine_axis(stimulus, rate=rate), hop_of(stimulus, rate=rate), integration_window(stimulus)
    n_taps, width = filters.taps.shape[1], window.size
    length = max(SHORTEST_TRANSFORM, 1 << (4 * (n_taps + width)).bit_length())
    n_hops = (length - n_taps - width + 1) // hop + 1
    response = fft.fft(filters.taps.astype(np.complex64), length)
    values = np.empty((axis.n, len(filters.taps)), dtype=np.float32)
    for i in range(0, axis.n, n_hops):
        count = min(n_hops, axis.n - i)
        start = i * hop - width // 2 - filters.first - (n_taps - 1)
        n_through = (count - 1) * hop + width
        spectrum = fft.fft(_stretch(stimulus.waveform, start, start + n_through + n_taps - 1), length)
        through = fft.ifft(spectrum * response, overwrite_x=True)[:, n_taps - 1 : n_taps - 1 + n_through]
        values[i : i + count] = _averages(_magnitude(through, power=power), window, hop).T
    return values, axis


def integration_window(stimulus: Stimulus) -> np.ndarray:
    """Return a centred Blackman window of 10 ms and unit sum, an odd number of samples."""
    width = 2 * nearest(stimulus.axis.rate * INTEGRATION_SECONDS / 2) + 1
    window = np.blackman(width + 2)[1:-1]
    return (window / window.sum()).astype(np.float32)


def _stretch(waveform: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return samples ``start`` to ``stop - 1``, zeros where there is no sound."""
    inside = waveform[max(start, 0) : max(stop, 0)]
    before = min(max(-start, 0), stop - start)
    return np.pad(inside, (before, stop - start - before - inside.size))


def _magnitude(through: np.ndarray, *, power: bool) -> np.ndarray:
    squared = through.real**2 + through.imag**2
    return squared / 2 if power else np.sqrt(squared)


def _averages(magnitude: np.ndarray, window: np.ndarray, hop: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(magnitude, window.size, axis=1)[:, ::hop] @ window
