"""How high is the voice, and is there one? Fundamental frequency by autocorrelation.

Boersma's method (1993): the autocorrelation of a windowed frame, divided by that of its window
and interpolated between samples, proposes candidates; a path through all frames weighs their
strength against jumps of an octave and against switching the voice on and off.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import fft

from brainalign.audio.fine import hop_of
from brainalign.core.errors import ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis, exact, nearest

PITCH_RATE = 100
FLOOR_HZ, CEILING_HZ = 75.0, 500.0
PERIODS_PER_WINDOW = 3
N_CANDIDATES = 15
SILENCE = 0.03
"""Frames whose peak is below this share of the sound's own peak lean towards unvoiced."""
VOICING = 0.45
"""Strength (a correlation) that a voiced candidate has to beat."""
OCTAVE_COST = 0.01
OCTAVE_JUMP_COST = 0.35
SWITCH_COST = 0.14

_INTERPOLATED_RATE = 64_000
_FRAMES_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class PitchTrack:
    """The pitch of a sound over time.

    Parameters
    ----------
    hertz
        Fundamental frequency in Hz, NaN where the sound is unvoiced, shape ``(n,)``.
    strength
        How periodic the frame is at that pitch (a correlation, 0 to 1), 0 where unvoiced.
    axis
        The frames' centres, about 100 per second.
    """

    hertz: np.ndarray
    strength: np.ndarray
    axis: TimeAxis

    @property
    def voiced(self) -> np.ndarray:
        """Where there is a voice, shape ``(n,)``."""
        return np.isfinite(self.hertz)

    @property
    def semitones(self) -> np.ndarray:
        """Semitones above the sound's own median pitch; 0 where unvoiced, as there pitch says nothing."""
        if not self.voiced.any():
            return np.zeros(self.axis.n)
        return np.nan_to_num(12 * np.log2(self.hertz / np.median(self.hertz[self.voiced])), nan=0.0)


@dataclass(frozen=True)
class PitchTracker:
    """Find the pitch of a voice: call it with a sound.

    Parameters
    ----------
    floor, ceiling
        The range in Hz. The window spans three periods of the floor (40 ms).
    """

    floor: float = FLOOR_HZ
    ceiling: float = CEILING_HZ

    def __post_init__(self) -> None:
        if not 0 < self.floor < self.ceiling:
            raise ValueProblem(
                "a pitch range must end above its floor", got=f"{self.floor:g} to {self.ceiling:g} Hz", fix="swap them"
            )

    def track(self, stimulus: Stimulus) -> PitchTrack:
        """Return the pitch of a sound, frame by frame."""
        if self.ceiling >= stimulus.axis.rate / 4:
            raise ValueProblem(
                "the sound's rate is too low for this pitch range",
                got=f"up to {self.ceiling:g} Hz in a sound of {float(stimulus.axis.rate):g} Hz",
                fix="lower the ceiling to less than a quarter of the rate",
            )
        hop = hop_of(stimulus, rate=PITCH_RATE)
        axis = TimeAxis(stimulus.axis.rate / hop, ceil((stimulus.axis.n - 1) / hop) + 1, stimulus.axis.t0)
        loudest = _loudest(stimulus.waveform)
        if not loudest:
            return PitchTrack(np.full(axis.n, np.nan), np.zeros(axis.n), axis)
        hertz, strength, peak = self._candidates(stimulus, hop=hop, n=axis.n)
        unvoiced = VOICING + np.maximum(0, 2 - peak / loudest * (1 + VOICING) / SILENCE)
        with np.errstate(divide="ignore"):
            merit = strength + OCTAVE_COST * np.log2(hertz / self.floor)
        merit = np.column_stack([unvoiced, np.where(hertz > 0, merit, -np.inf)])
        path = _best_path(np.column_stack([np.zeros(axis.n), hertz]), merit, step=float(axis.step))
        rows = np.arange(axis.n)
        chosen = np.where(path > 0, hertz[rows, path - 1], np.nan)
        return PitchTrack(chosen, np.where(path > 0, strength[rows, path - 1], 0.0), axis)

    def __call__(self, stimulus: Stimulus) -> tuple[np.ndarray, TimeAxis]:
        """Return semitones above the median and voicing (0 or 1), shape ``(n, 2)``, and their clock."""
        track = self.track(stimulus)
        return np.column_stack([track.semitones, track.voiced.astype(float)]), track.axis

    def _candidates(self, stimulus: Stimulus, *, hop: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pitches (Hz, 0 for none) and strengths ``(n, N_CANDIDATES)``, and every frame's peak ``(n,)``."""
        rate = float(stimulus.axis.rate)
        half = nearest(stimulus.axis.rate * PERIODS_PER_WINDOW / (2 * exact(self.floor)))
        window = np.hanning(2 * half + 3)[1:-1]
        finer = max(1, ceil(_INTERPOLATED_RATE / rate))
        lags = np.arange(int(finer * rate / self.ceiling) - 1, ceil(finer * rate / self.floor) + 2)
        own = _autocorrelation(window[None], lags=lags, finer=finer)
        frames = np.lib.stride_tricks.sliding_window_view(_padded(stimulus, half=half, hop=hop, n=n), window.size)[
            ::hop
        ]
        parts = []
        for i in range(0, n, _FRAMES_AT_ONCE):
            segments = frames[i : i + _FRAMES_AT_ONCE] - frames[i : i + _FRAMES_AT_ONCE].mean(axis=1, keepdims=True)
            correlation = _autocorrelation(segments * window, lags=lags, finer=finer) / own
            hertz, strength = _peaks(correlation, lags=lags, rate=finer * rate)
            inside = (hertz >= self.floor) & (hertz <= self.ceiling)
            parts.append((np.where(inside, hertz, 0), np.where(inside, strength, 0), np.abs(segments).max(axis=1)))
        hertz, strength, peak = (np.concatenate(part) for part in zip(*parts, strict=True))
        return hertz, strength, peak


def track_pitch(stimulus: Stimulus, *, floor: float = FLOOR_HZ, ceiling: float = CEILING_HZ) -> PitchTrack:
    """Find the pitch of a voice, and where there is one.

    Parameters
    ----------
    stimulus
        The sound, of a rate of more than four times the ceiling.
    floor, ceiling
        The range in Hz to look in.

    Returns
    -------
    PitchTrack
        Hz (NaN where unvoiced), strength, and the frames' clock. Silence is unvoiced.
    """
    return PitchTracker(floor, ceiling).track(stimulus)


def _loudest(waveform: np.ndarray) -> float:
    mean = float(waveform.mean(dtype=np.float64))
    return max(float(waveform.max()) - mean, mean - float(waveform.min()))


def _padded(stimulus: Stimulus, *, half: int, hop: int, n: int) -> np.ndarray:
    """Return the waveform with silence on both sides, enough for ``n`` centred frames."""
    return np.pad(stimulus.waveform, (half, half + (n - 1) * hop + 1 - stimulus.axis.n))


def _autocorrelation(segments: np.ndarray, *, lags: np.ndarray, finer: int) -> np.ndarray:
    """Return each row's autocorrelation, 1 at lag 0, at lags of ``1 / finer`` samples (sinc-interpolated)."""
    length = 1 << (segments.shape[1] + int(lags[-1]) // finer).bit_length()
    power = np.abs(fft.rfft(segments, length, axis=1)) ** 2
    values = fft.irfft(power, length * finer, axis=1)
    energy = values[:, :1]
    return np.divide(values[:, lags], energy, out=np.zeros((len(values), lags.size), values.dtype), where=energy > 0)


def _peaks(correlation: np.ndarray, *, lags: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the best peaks of every row: pitch in Hz (0 where there are fewer) and height, ``(n, N_CANDIDATES)``."""
    left, middle, right = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    is_peak = (middle > left) & (middle >= right) & (middle > VOICING / 2)
    merit = np.where(is_peak, middle - OCTAVE_COST * np.log2(lags[1:-1]), -np.inf)
    merit = np.pad(merit, ((0, 0), (0, max(0, N_CANDIDATES - merit.shape[1]))), constant_values=-np.inf)
    best = np.argpartition(-merit, N_CANDIDATES - 1, axis=1)[:, :N_CANDIDATES]
    found = np.isfinite(np.take_along_axis(merit, best, axis=1))
    best = np.where(found, best, 0)
    before, at, after = (np.take_along_axis(part, best, axis=1).astype(float) for part in (left, middle, right))
    bend = np.where(found, before - 2 * at + after, -1.0)
    shift = np.where(found, (before - after) / (2 * bend), 0.0)
    height = at - (before - after) * shift / 4
    # A window's own autocorrelation is small at long lags, and what is divided by it may exceed one.
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)
    return np.where(found, rate / (lags[1:-1][best] + shift), 0.0), np.where(found, height, 0.0)


def _best_path(hertz: np.ndarray, merit: np.ndarray, *, step: float) -> np.ndarray:
    """Choose one candidate per frame (column 0: unvoiced), merits less the costs of every step being largest."""
    octaves = np.log2(np.where(hertz > 0, hertz, 1.0))
    scale = 0.01 / step
    came_from = np.zeros(hertz.shape, dtype=np.int8)
    score = merit[0]
    for i in range(1, len(hertz)):
        cost = OCTAVE_JUMP_COST * np.abs(octaves[i - 1][:, None] - octaves[i])
        cost[0], cost[:, 0] = SWITCH_COST, SWITCH_COST
        cost[0, 0] = 0.0
        total = score[:, None] - scale * cost
        came_from[i] = total.argmax(axis=0)
        score = total.max(axis=0) + merit[i]
    path = np.empty(len(hertz), dtype=np.intp)
    path[-1] = score.argmax()
    for i in range(len(hertz) - 1, 0, -1):
        path[i - 1] = came_from[i, path[i]]
    return path
