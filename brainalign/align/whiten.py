"""How late is this signal behind that one? Correlations of windows, to a fraction of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, interpolate, signal

Band = tuple[float, float | None]

EDGE_SHARE = 0.1
TOP = 0.8
SEGMENT_SECONDS = 1.0
# Splines follow a signal well up to an eighth of its rate.
SPLINE_SHARE = 8
# Windows in which the sound is nearly silent tell nothing.
QUIETEST = 0.2
MOST_WINDOWS = 24
UPSAMPLING = 8
MUCH_HIGHER = 2.0


@dataclass(frozen=True, eq=False)
class Whitening:
    """A zero-phase filter that makes what a channel holds equally strong at all frequencies of a band.

    Used on the channel and on what is looked for alike: hum and noise count little, and their correlation
    weighs each frequency by the share of the channel's power that can be the sound.

    Parameters
    ----------
    hertz, gain
        The filter's gain over frequency, shape ``(n_frequencies,)``.
    rate
        Samples per second of the signals.
    """

    hertz: np.ndarray
    gain: np.ndarray
    rate: float

    @classmethod
    def of(cls, values: np.ndarray, *, rate: float, band: tuple[float, float]) -> Whitening:
        """Learn the filter from a channel.

        Parameters
        ----------
        values
            Shape ``(n,)``.
        rate
            Samples per second.
        band
            Lowest and highest frequency that is kept, in Hz.
        """
        size = min(values.size, round(SEGMENT_SECONDS * rate))
        hertz, power = signal.welch(values, rate, nperseg=size)
        edge = EDGE_SHARE * (band[1] - band[0])
        ramp = np.clip(np.minimum(hertz - band[0], band[1] - hertz) / edge, 0, 1)
        floor = 1e-9 * power.max() + np.finfo(float).tiny
        return cls(hertz, np.sin(np.pi / 2 * ramp) ** 2 / np.sqrt(np.maximum(power, floor)), rate)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the filtered signal, shape ``(n,)``."""
        n = fft.next_fast_len(values.size, real=True)
        gain = np.interp(fft.rfftfreq(n, 1 / self.rate), self.hertz, self.gain)
        return np.asarray(fft.irfft(fft.rfft(values, n) * gain, n)[: values.size])


def smooth_curve(values: np.ndarray, *, rate: float, top: float) -> interpolate.CubicSpline:
    """Return a sound below a frequency as a curve over seconds, that can be read at any time.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    rate
        Samples per second, at least eight times ``top``.
    top
        Where the low-pass has closed, in Hz; it begins at 0.9 times that.
    """
    n = fft.next_fast_len(values.size + round(rate / 10), real=True)
    hertz = fft.rfftfreq(n, 1 / rate)
    gain = np.clip((top - hertz) / (0.1 * top), 0, 1)
    low = fft.irfft(fft.rfft(values, n) * gain, n)[: values.size]
    thin = max(1, int(rate / (SPLINE_SHARE * top)))
    return interpolate.CubicSpline(np.arange(0, values.size, thin) / rate, low[::thin])


def places_of_windows(heard: np.ndarray, played: np.ndarray, *, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Look for windows of one signal in all of another.

    Parameters
    ----------
    heard, played
        Whitened signals at one rate.
    size
        Samples in a window.

    Returns
    -------
    starts, found
        Each window's first sample in ``played``, and in ``heard`` where the two are most alike or
        most opposite; shape ``(n_windows,)``.
    """
    starts = np.arange(0, played.size - size + 1, size)
    power = np.array([np.mean(played[start : start + size] ** 2) for start in starts])
    starts = starts[power >= QUIETEST**2 * np.median(power)]
    if starts.size > MOST_WINDOWS:
        starts = starts[np.linspace(0, starts.size - 1, MOST_WINDOWS).round().astype(int)]
    n = fft.next_fast_len(heard.size + size, real=True)
    spectrum = fft.rfft(heard, n)
    loud = np.sqrt(np.maximum(_moving_power(heard, size), 1e-3 * np.mean(heard**2) * size + 1e-300))
    found = np.empty(starts.size, dtype=int)
    for i, start in enumerate(starts):
        product = spectrum * np.conj(fft.rfft(played[start : start + size], n))
        # A window may begin before the channel does: those places are at the end of the ring.
        likeness = fft.irfft(product, n)[: loud.size] / loud
        found[i] = int(np.argmax(np.abs(likeness)))
    return starts, found


def _moving_power(values: np.ndarray, size: int) -> np.ndarray:
    """Return the energy of every window of so many samples, shape ``(n - size + 1,)``."""
    total = np.concatenate([[0.0], np.cumsum(values**2)])
    return total[size:] - total[:-size]


@dataclass(frozen=True, eq=False)
class Delays:
    """By how much one signal is behind another one on the same clock, window by window.

    Parameters
    ----------
    centres
        The windows' middles in samples, shape ``(n_windows,)``.
    late
        Delays in samples (fractions), shape ``(n_windows,)``.
    likeness
        Correlations at these delays, shape ``(n_windows,)``.
    """

    centres: np.ndarray
    late: np.ndarray
    likeness: np.ndarray


def delays(heard: np.ndarray, expected: np.ndarray, *, size: int, reach: int, slack: float) -> Delays:
    """Measure, window by window, by how many samples a signal is behind another one on the same clock.

    A voice repeats itself with every glottal pulse, and one window's correlation may peak one pulse off. The
    delays on which all windows agree are found first, on a straight line; each window's own peak is then
    taken close to it, unless another one is much higher: a jump shows and is not smoothed away.

    Parameters
    ----------
    heard, expected
        Whitened signals, shape ``(n,)``.
    size
        Samples in a window. Silent windows are left out.
    reach
        Largest delay that is looked for, in samples.
    slack
        How far around the common line a window's peak may lie, in samples.
    """
    starts = np.arange(0, expected.size - size + 1, size)
    power = np.array([np.mean(expected[start : start + size] ** 2) for start in starts])
    starts = starts[power >= QUIETEST**2 * np.median(power)]
    reach = min(reach, size // 4)
    curves = np.array([_curve(heard[i : i + size], expected[i : i + size], reach=reach) for i in starts])
    middle = reach * UPSAMPLING
    common = _common_line(curves, starts, widest=middle // 2)
    near = max(1, round(slack * UPSAMPLING))
    measured = [_peak(curve, around=middle + place, near=near) for curve, place in zip(curves, common, strict=True)]
    place, likeness = np.array(measured, dtype=float).reshape(-1, 2).T
    return Delays(starts + (size - 1) / 2, (place - middle) / UPSAMPLING, np.clip(likeness, 0, 1))


def _curve(heard: np.ndarray, expected: np.ndarray, *, reach: int) -> np.ndarray:
    """Return the correlation at delays from ``-reach`` to ``reach`` samples, in steps of an eighth."""
    n = fft.next_fast_len(heard.size + reach + 1, real=True)
    product = fft.rfft(heard, n) * np.conj(fft.rfft(expected, n))
    # A longer inverse transform is the exact band-limited curve between the samples.
    curve = UPSAMPLING * fft.irfft(product, UPSAMPLING * n)
    length = np.linalg.norm(heard) * np.linalg.norm(expected)
    around = np.concatenate([curve[-reach * UPSAMPLING :], curve[: reach * UPSAMPLING + 1]])
    return np.asarray(around / length if length else np.zeros_like(around))


def _common_line(curves: np.ndarray, starts: np.ndarray, *, widest: int) -> np.ndarray:
    """Find the line of delays on which the curves add up to most; one step per window, from the middle."""
    # From the midpoint, not the mean: silent windows are left out, on one side perhaps more than on the other.
    ramp = (2 * starts - starts.min() - starts.max()) / max(1, np.ptp(starts))
    best, found = -np.inf, np.zeros(starts.size, dtype=int)
    n_kept = curves.shape[1] - 2 * widest
    # Two steps at a time at the far ends: a quarter of a sample.
    for tilt in range(-widest, widest + 1, 2):
        shifts = np.round(tilt * ramp).astype(int)
        total = np.zeros(n_kept)
        for curve, shift in zip(curves, shifts, strict=True):
            total += curve[widest + shift : widest + shift + n_kept]
        top = int(np.argmax(total))
        if total[top] > best:
            best, found = float(total[top]), shifts + widest + top - curves.shape[1] // 2
    return found


def _peak(curve: np.ndarray, *, around: int, near: int) -> tuple[float, float]:
    first, stop = max(1, around - near), min(curve.size - 1, around + near + 1)
    peak = first + int(np.argmax(curve[first:stop])) if first < stop else 1
    highest = min(max(int(np.argmax(curve)), 1), curve.size - 2)
    if curve[highest] > MUCH_HIGHER * max(curve[peak], 0.0):
        peak = highest
    before, top, after = curve[peak - 1 : peak + 2]
    bend = before - 2 * top + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return peak + float(np.clip(shift, -1, 1)), float(top)
