"""Which frequencies does a quality page show? Decibels, the mains, and a spectrum thin enough to keep of all."""

from __future__ import annotations

import numpy as np

WINDOW_SECONDS = 4
LEAST_POWER = 1e-12
MAINS_HZ = (50.0, 60.0)
N_BINS = 72
_BESIDE_HZ = 0.8


def decibels(power: np.ndarray) -> np.ndarray:
    """Return power in dB re 1 uV^2/Hz, silence at -120 dB.

    Parameters
    ----------
    power
        uV^2/Hz, any shape.
    """
    return np.asarray(10 * np.log10(np.maximum(power, LEAST_POWER)))


def mains_line(hertz: np.ndarray, psd: np.ndarray) -> tuple[float | None, float | None]:
    """Return by how much mains hum stands out of the 4 Hz on either side, in dB, and at which frequency.

    Parameters
    ----------
    hertz, psd
        Frequencies, and dB; shapes ``(n_frequencies,)``. None where neither 50 nor 60 Hz are in them.
    """
    found = []
    for mains in MAINS_HZ:
        around = (np.abs(hertz - mains) > 1) & (np.abs(hertz - mains) <= 4)
        if hertz[-1] >= mains + 4:
            found.append((float(psd[int(np.argmin(np.abs(hertz - mains)))] - np.median(psd[around])), mains))
    return max(found, default=(None, None))


def thinned(hertz: np.ndarray, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a spectrum in fewer bins that are even on a logarithmic axis; the mains keep narrow bins of their own.

    Parameters
    ----------
    hertz
        Rising, shape ``(n_frequencies,)``.
    power
        uV^2/Hz, shape ``(n_frequencies, n_channels)``.

    Returns
    -------
    frequencies, power
        Each bin's mean frequency and mean power; the mains' bins, 1.6 Hz wide, hold their largest power, so that a
        line stays as high as it is. Shapes ``(n_bins,)`` and ``(n_bins, n_channels)``; 0 Hz is left out.
    """
    positive = hertz > 0
    inside, values = hertz[positive], power[positive]
    edges = np.geomspace(inside[0], inside[-1], N_BINS + 1)[1:-1]
    lines = [mains for mains in MAINS_HZ if mains < inside[-1]]
    for mains in lines:
        edges = edges[np.abs(edges - mains) > _BESIDE_HZ]
        edges = np.sort(np.append(edges, [mains - _BESIDE_HZ, mains + _BESIDE_HZ]))
    number = np.searchsorted(edges, inside)
    peaks = {int(np.searchsorted(edges, mains)) for mains in lines}
    bins = np.unique(number)
    thin = [values[number == i].max(axis=0) if i in peaks else values[number == i].mean(axis=0) for i in bins]
    return np.array([inside[number == i].mean() for i in bins]), np.array(thin)
