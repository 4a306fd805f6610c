"""What would the sound's own acoustics explain? Envelope, onsets and mel bands on a model's clock.

Every baseline is computed on a fine clock of exact hops (about 400 Hz, windows centred on
their time stamps), and then band-limited and sampled at the exact times that are asked for.
A feature that beats these does so on the same grid, with the same bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from brainalign.core.errors import GridMismatch, ValueProblem, unknown_name
from brainalign.core.resample import resample
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis, nearest
from brainalign.core.trajectory import Trajectory

FINE_RATE = 400
WINDOW_SECONDS = Fraction(25, 1000)
LOWEST_HZ = 80.0
HIGHEST_HZ = 7600.0
COMPRESSION = 0.3
ENVELOPE_BANDS = 24
MEL_BANDS = 8
_FRAMES_AT_ONCE = 8192

Baseline = Callable[[Stimulus], tuple[np.ndarray, tuple[str, ...]]]


def acoustic(stimulus: Stimulus, names: Sequence[str], *, axis: TimeAxis) -> Trajectory:
    """Compute acoustic baselines at a model's frame times.

    Parameters
    ----------
    stimulus
        The sound.
    names
        Which baselines, among `BASELINES`: ``"envelope"``, ``"onsets"``, ``"mel"``.
    axis
        The clock to sample at, e.g. ``trajectory.axis`` (frame centres); it must lie within
        the sound.

    Returns
    -------
    Trajectory
        Dense, with features ``"envelope"``, ``"onset"``, ``"mel-1"`` to ``"mel-8"`` (lowest
        band first), in the order of ``names``. Values are low-passed for ``axis``, so they
        may dip a little below zero beside a steep edge.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise ValueProblem("no baseline was named", got="()", fix=f"name some of: {', '.join(sorted(BASELINES))}")
    parts = [_baseline(name)(stimulus) for name in names]
    fine = fine_axis(stimulus)
    if axis.rate > fine.rate:
        raise GridMismatch(
            "the wanted axis is finer than the baselines are computed",
            got=f"{float(axis.rate):g} Hz",
            fix=f"ask for {float(fine.rate):g} Hz or less",
        )
    values = resample(np.hstack([part for part, _ in parts]), fine, axis).astype(np.float32)
    features = tuple(feature for _, labels in parts for feature in labels)
    return Trajectory(values, axis, features, stimulus.provenance.then("acoustic", names=names))


def _baseline(name: str) -> Baseline:
    if name not in BASELINES:
        raise unknown_name(name, among=BASELINES, kind="acoustic baseline")
    return BASELINES[name]


def fine_axis(stimulus: Stimulus) -> TimeAxis:
    """Return the clock the baselines are computed on: a whole number of samples per hop."""
    hop = _hop(stimulus)
    return TimeAxis(stimulus.axis.rate / hop, (stimulus.axis.n - 1) // hop + 1, stimulus.axis.t0)


def _hop(stimulus: Stimulus) -> int:
    return max(1, nearest(stimulus.axis.rate / FINE_RATE))


def envelope(stimulus: Stimulus) -> tuple[np.ndarray, tuple[str, ...]]:
    """Sum the compressed magnitudes of 24 mel bands: loudness over time.

    Returns
    -------
    tuple
        Values on `fine_axis`, shape ``(n, 1)``, and the feature's name.
    """
    bands = _band_powers(stimulus, n_bands=ENVELOPE_BANDS) ** COMPRESSION
    return bands.mean(axis=1, keepdims=True), ("envelope",)


def onsets(stimulus: Stimulus) -> tuple[np.ndarray, tuple[str, ...]]:
    """Keep the rises of the envelope: its half-wave rectified derivative, per second.

    Returns
    -------
    tuple
        Values on `fine_axis`, shape ``(n, 1)``, and the feature's name.
    """
    loudness, _ = envelope(stimulus)
    # A central difference, so that a rise is stamped with its own time and not half a hop later.
    padded = np.pad(loudness, ((1, 1), (0, 0)), mode="edge")
    slope = (padded[2:] - padded[:-2]) * float(fine_axis(stimulus).rate / 2)
    return np.maximum(slope, 0), ("onset",)


def mel(stimulus: Stimulus) -> tuple[np.ndarray, tuple[str, ...]]:
    """Compress the power in 8 mel bands (80 Hz to 7.6 kHz, or 95 % of Nyquist).

    Returns
    -------
    tuple
        Values on `fine_axis`, shape ``(n, 8)``, and the features' names, lowest band first.
    """
    names = tuple(f"mel-{i}" for i in range(1, MEL_BANDS + 1))
    return _band_powers(stimulus, n_bands=MEL_BANDS) ** COMPRESSION, names


BASELINES: dict[str, Baseline] = {"envelope": envelope, "onsets": onsets, "mel": mel}


def _band_powers(stimulus: Stimulus, *, n_bands: int) -> np.ndarray:
    """Return mel band powers on the fine axis, shape ``(n, n_bands)``; windows are centred and odd."""
    half = nearest(stimulus.axis.rate * WINDOW_SECONDS / 2)
    hop, width = _hop(stimulus), 2 * half + 1
    window = np.hanning(width + 2)[1:-1].astype(np.float32)
    window /= np.sqrt(np.sum(window**2))
    padded = np.pad(stimulus.waveform, half)
    segments = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop]
    weights = mel_weights(n_bands, n_fft=_fft_length(width), rate=float(stimulus.axis.rate))
    pieces = [
        np.abs(np.fft.rfft(segments[i : i + _FRAMES_AT_ONCE] * window, n=_fft_length(width), axis=1)) ** 2 @ weights
        for i in range(0, len(segments), _FRAMES_AT_ONCE)
    ]
    return np.vstack(pieces)


def _fft_length(width: int) -> int:
    # Twice the window or more, so that the narrow low bands hold several bins each.
    return 1 << (2 * width - 1).bit_length()


def mel_weights(n_bands: int, *, n_fft: int, rate: float) -> np.ndarray:
    """Return triangular mel filters over FFT bins, each summing to one, shape ``(n_fft // 2 + 1, n_bands)``."""
    top = min(HIGHEST_HZ, 0.95 * rate / 2)
    corners = _hertz(np.linspace(_mels(LOWEST_HZ), _mels(top), n_bands + 2))
    bins = np.fft.rfftfreq(n_fft, 1 / rate)[:, None]
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    weights = np.clip(np.minimum(rising, falling), 0, None)
    return weights / weights.sum(axis=0)


def _mels(hertz: float) -> float:
    return 2595 * np.log10(1 + hertz / 700)


def _hertz(mels: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mels / 2595) - 1)
