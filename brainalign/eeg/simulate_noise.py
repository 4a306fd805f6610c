"""What else is in an EEG? Background activity, alpha, mains hum, blinks, sensor noise, a loose electrode.

Each component draws from a generator of its own, so that switching one off leaves the
others' bytes as they were. Everything here is in microvolts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import fft

from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.time import TimeAxis
from brainalign.eeg.simulate_head import BRAIN_RADIUS, HEAD_CENTRE, blink_pattern, project, sensor_names

N_BACKGROUND_DIPOLES = 200
N_ALPHA_DIPOLES = 6
ALPHA_DEPTH_SHARE = 0.98
DIPOLES_AT_ONCE = 50
LOWEST_HZ = 0.1
ALPHA_HZ = (8.0, 12.0)
ALPHA_WAXING_HZ = 0.3
EOG_GAIN = 2.5
BLINK_SECONDS = 0.35
BLINK_RISE = 0.4
MIN_BLINK_GAP = 0.7
LOOSE_DRIFT, LOOSE_HISS = 300.0, 60.0


@dataclass(frozen=True)
class NoiseLevels:
    """How much of each noise a listener carries.

    Parameters
    ----------
    pink_microvolts
        Background activity of the brain, rms over samples and sensors.
    exponent
        Its power falls as ``f ** -exponent`` above 0.1 Hz.
    alpha_microvolts
        8-12 Hz waxing and waning over the occiput, rms at its strongest sensor.
    line_microvolts, line_hz
        Mains hum, rms averaged over sensors, and its frequency.
    blink_microvolts, blinks_per_minute
        Median peak of a blink at the sensor nearest to the eyes, and how often.
    sensor_microvolts
        White noise of each sensor, rms.
    bad_channels
        Number of loose electrodes (huge drifting noise), chosen by the seed.
    """

    pink_microvolts: float = 10.0
    exponent: float = 1.2
    alpha_microvolts: float = 5.0
    line_microvolts: float = 3.0
    line_hz: float = 50.0
    blink_microvolts: float = 100.0
    blinks_per_minute: float = 12.0
    sensor_microvolts: float = 1.0
    bad_channels: int = 0

    def __post_init__(self) -> None:
        below = [field.name for field in fields(self) if not getattr(self, field.name) >= 0]
        if below:
            raise ValueProblem(
                "noise levels cannot be negative", got=f"{below[0]}={getattr(self, below[0])}", fix="use 0 for none"
            )
        if self.bad_channels >= len(sensor_names()) // 2:
            raise ValueProblem(
                "fewer than half of the sensors can be bad", got=self.bad_channels, fix="plant a handful at most"
            )


TYPICAL = NoiseLevels()
SILENT = NoiseLevels(
    pink_microvolts=0,
    alpha_microvolts=0,
    line_microvolts=0,
    blink_microvolts=0,
    blinks_per_minute=0,
    sensor_microvolts=0,
)


def planted_bad_channels(noise: NoiseLevels, *, subject: str, seed: int) -> tuple[str, ...]:
    """Return the names of a simulated listener's loose electrodes: the truth a detector must find."""
    rng = generator(seed, "listener", subject, "bad channels")
    chosen = rng.choice(len(sensor_names()), size=noise.bad_channels, replace=False)
    return tuple(sensor_names()[i] for i in np.sort(chosen))


def add_noise(microvolts: np.ndarray, noise: NoiseLevels, *, clock: TimeAxis, subject: str, seed: int) -> np.ndarray:
    """Return the sensors' signals with every noise on top and the EOG channel below.

    Parameters
    ----------
    microvolts
        What the planted sources give, shape ``(64, n_samples)``.
    noise
        How much of what.
    clock
        The recording's clock.
    subject, seed
        Whose noise it is.

    Returns
    -------
    numpy.ndarray
        Microvolts, shape ``(65, n_samples)``, the last row being the EOG channel.
    """
    _require_hum_below_nyquist(noise, clock)
    rng = {part: generator(seed, "listener", subject, part) for part in _PARTS}
    blinks = _blinks(noise, clock=clock, rng=rng["blinks"])
    hum = _hum(noise, clock=clock, rng=rng["hum"])
    signals = np.zeros((len(microvolts) + 1, clock.n))
    eeg, eog = signals[:-1], signals[-1]
    eeg += microvolts
    eeg += _background(noise, clock=clock, rng=rng["background"])
    eeg += _alpha(noise, clock=clock, rng=rng["alpha"])
    eeg += np.outer(blink_pattern(), blinks)
    eog += (
        EOG_GAIN * blinks
        + 0.5 * noise.pink_microvolts * _coloured(1, clock, exponent=noise.exponent, rng=rng["eye"])[0]
    )
    signals += hum
    signals += noise.sensor_microvolts * rng["sensors"].standard_normal(signals.shape, dtype=np.float32)
    _loosen(eeg, planted_bad_channels(noise, subject=subject, seed=seed), clock=clock, rng=rng["loose"])
    return signals


_PARTS = ("background", "alpha", "hum", "blinks", "eye", "sensors", "loose")


def _require_hum_below_nyquist(noise: NoiseLevels, clock: TimeAxis) -> None:
    if noise.line_microvolts and noise.line_hz >= clock.rate / 2:
        raise ValueProblem(
            "mains hum above half the sampling rate cannot be recorded",
            got=f"{noise.line_hz} Hz at {float(clock.rate)} samples per second",
            fix="set line_microvolts=0 or simulate at a higher rate",
        )


def _coloured(n_series: int, clock: TimeAxis, *, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Draw noise whose power falls as ``f ** -exponent``; rms 1, shape ``(n_series, n_samples)``, float32."""
    n = fft.next_fast_len(clock.n, real=True)
    hertz = fft.rfftfreq(n, 1 / float(clock.rate))
    amplitude = np.maximum(hertz, LOWEST_HZ) ** (-exponent / 2)
    return _shaped(n_series, clock, amplitude=amplitude, n=n, rng=rng)


def _banded(n_series: int, clock: TimeAxis, *, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Draw noise between two frequencies (Hz), with soft edges; rms 1, shape ``(n_series, n_samples)``, float32."""
    n = fft.next_fast_len(clock.n, real=True)
    hertz = fft.rfftfreq(n, 1 / float(clock.rate))
    amplitude = np.exp(-(((hertz - (low + high) / 2) / ((high - low) / 2)) ** 4))
    return _shaped(n_series, clock, amplitude=amplitude, n=n, rng=rng)


def _shaped(n_series: int, clock: TimeAxis, *, amplitude: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    amplitude = amplitude.astype(np.float32)
    amplitude[0] = 0.0
    # Each of the n // 2 pairs of a cosine and a sine with independent unit-variance weights adds 4 a^2 / n^2.
    scale = n / (2 * np.sqrt(np.sum(amplitude.astype(float) ** 2)))
    parts = rng.standard_normal((n_series, amplitude.size, 2), dtype=np.float32)
    spectrum = parts.view(np.complex64)[..., 0] * (amplitude * np.float32(scale))
    return fft.irfft(spectrum, n=n, axis=1)[:, : clock.n]


def _random_dipoles(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Scatter dipoles evenly over the outer half of the brain's volume, in all directions."""
    direction, orientation = rng.standard_normal((2, n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    orientation /= np.linalg.norm(orientation, axis=1, keepdims=True)
    radius = 0.95 * BRAIN_RADIUS * np.cbrt(rng.uniform(0.5, 1.0, (n, 1)))
    return HEAD_CENTRE + radius * direction, orientation


def _background(noise: NoiseLevels, *, clock: TimeAxis, rng: np.random.Generator) -> np.ndarray | float:
    if not noise.pink_microvolts:
        return 0.0
    pattern = project(*_random_dipoles(rng, N_BACKGROUND_DIPOLES))
    pattern /= np.sqrt((pattern**2).sum(axis=1).mean())
    mixed = np.zeros((len(pattern), clock.n), dtype=np.float32)
    for start in range(0, N_BACKGROUND_DIPOLES, DIPOLES_AT_ONCE):
        block = pattern[:, start : start + DIPOLES_AT_ONCE].astype(np.float32)
        mixed += block @ _coloured(block.shape[1], clock, exponent=noise.exponent, rng=rng)
    return np.float32(noise.pink_microvolts) * mixed


def _alpha(noise: NoiseLevels, *, clock: TimeAxis, rng: np.random.Generator) -> np.ndarray | float:
    if not noise.alpha_microvolts:
        return 0.0
    spread = rng.uniform((-0.035, -0.070, 0.040), (0.035, -0.055, 0.080), (N_ALPHA_DIPOLES, 3))
    reach = np.linalg.norm(spread - HEAD_CENTRE, axis=1, keepdims=True)
    outward = (spread - HEAD_CENTRE) / reach
    # The box that they are drawn from has corners outside the brain.
    places = HEAD_CENTRE + outward * np.minimum(reach, ALPHA_DEPTH_SHARE * BRAIN_RADIUS)
    low, high = ALPHA_HZ
    waves = _banded(N_ALPHA_DIPOLES, clock, low=low, high=high, rng=rng)
    waxing = np.exp(0.7 * _banded(1, clock, low=0.0, high=ALPHA_WAXING_HZ, rng=rng))
    signals = project(places, outward) @ (waves * waxing)
    strongest = np.sqrt(np.mean(signals**2, axis=1).max())
    return signals * (noise.alpha_microvolts / strongest)


def _hum(noise: NoiseLevels, *, clock: TimeAxis, rng: np.random.Generator) -> np.ndarray:
    """Return mains hum with a gain and a small phase lead of its own at each sensor and the EOG channel."""
    n_channels = len(sensor_names()) + 1
    gain = rng.lognormal(0.0, 0.4, n_channels)
    phase = rng.normal(0.0, 0.2, n_channels) + rng.uniform(0, 2 * np.pi)
    turns = 2 * np.pi * noise.line_hz * clock.times
    weights = np.sqrt(2) * noise.line_microvolts * (gain / gain.mean())[:, None]
    return weights * (np.cos(phase)[:, None] * np.sin(turns) + np.sin(phase)[:, None] * np.cos(turns))


def _blinks(noise: NoiseLevels, *, clock: TimeAxis, rng: np.random.Generator) -> np.ndarray:
    """Return the eyelid's signal at the sensor nearest to the eyes: fast closing, slower opening."""
    signal = np.zeros(clock.n)
    if not noise.blinks_per_minute or not noise.blink_microvolts:
        return signal
    seconds = float(clock.duration)
    gaps = MIN_BLINK_GAP + rng.exponential(
        max(60 / noise.blinks_per_minute - MIN_BLINK_GAP, 0.0), int(seconds / MIN_BLINK_GAP) + 1
    )
    for start, size in zip(np.cumsum(gaps), rng.lognormal(0.0, 0.25, gaps.size), strict=True):
        first = int(np.ceil(start * float(clock.rate)))
        stop = min(clock.n, int((start + BLINK_SECONDS) * float(clock.rate)) + 1)
        if first >= stop:
            continue
        progress = (np.arange(first, stop) / float(clock.rate) - start) / BLINK_SECONDS
        warped = np.where(
            progress < BLINK_RISE, progress / BLINK_RISE / 2, 0.5 + (progress - BLINK_RISE) / (1 - BLINK_RISE) / 2
        )
        signal[first:stop] += noise.blink_microvolts * size * np.sin(np.pi * np.clip(warped, 0, 1)) ** 2
    return signal


def _loosen(eeg: np.ndarray, names: tuple[str, ...], *, clock: TimeAxis, rng: np.random.Generator) -> None:
    """Add drift and hiss to the loose electrodes' rows of our own fresh array."""
    for name in names:
        drift = _coloured(1, clock, exponent=2.0, rng=rng)[0]
        hiss = rng.standard_normal(clock.n, dtype=np.float32)
        eeg[sensor_names().index(name)] += LOOSE_DRIFT * drift + LOOSE_HISS * hiss
