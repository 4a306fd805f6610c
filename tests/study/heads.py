"""Heads that follow real speech, for replicas of public datasets: pieces of speech, and EEG that answers to them."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path

import mne
import numpy as np
import soundfile
import soxr
from scipy import ndimage, signal

from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.hugging import HuggingEncoder
from tests.datasets.replicas import DATA

SPEECH = DATA / "speech_aligned_small" / "mfa" / "wav"
SOUND_HZ = 16_000
DELAY_S, WIDTH_S = 0.15, 0.03
RESPONSE_UV, NOISE_UV = 12.0, 8.0


@cache
def _all_speech() -> np.ndarray:
    files = [path for path in sorted(SPEECH.iterdir()) if soundfile.info(path).samplerate == SOUND_HZ]
    parts = [soundfile.read(path)[0] for path in files]
    return np.concatenate([0.5 * part / max(np.abs(part).max(), 1e-9) for part in parts if part.ndim == 1])


def speech(number: int, *, seconds: int) -> np.ndarray:
    """Return one of many pieces of real speech, at 16 kHz."""
    start = number * seconds * SOUND_HZ
    piece = _all_speech()[start : start + seconds * SOUND_HZ]
    assert len(piece) == seconds * SOUND_HZ, "there is no more speech than that"
    return piece


@dataclass(frozen=True)
class Heads:
    """Heads that follow what one unit of an encoder does while they listen to pieces of speech."""

    encoder: HuggingEncoder
    layer: int
    seconds: int = 12

    def _frames(self, sound: np.ndarray) -> Trajectory:
        stimulus = Stimulus("sound", sound, TimeAxis(Fraction(SOUND_HZ), len(sound)))
        return self.encoder.encode(stimulus, [self.layer])[self.layer]

    @cached_property
    def _unit(self) -> int:
        """The unit that goes most with the loudness: in Whisper, others know little but the place in the window."""
        sound = speech(0, seconds=self.seconds)
        frames = self._frames(sound)
        loud = ndimage.gaussian_filter1d(np.abs(sound), 0.01 * SOUND_HZ)
        at = np.clip((frames.axis.times * SOUND_HZ).astype(int), 0, len(sound) - 1)
        values = frames.block(0, frames.n_features)
        return int(np.argmax([abs(np.corrcoef(loud[at], unit)[0, 1]) for unit in values.T]))

    def write_speech(self, path: Path, number: int) -> np.ndarray:
        """Write a piece of speech at 44.1 kHz, as datasets have it; return it at 16 kHz."""
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = speech(number, seconds=self.seconds)
        soundfile.write(path, soxr.resample(sound, SOUND_HZ, 44_100), 44_100)
        return sound

    def response(self, sound: np.ndarray, *, rate: int, n_samples: int, onset: float = 0.0) -> np.ndarray:
        """Return what a source answers to a sound, 150 ms late; unit variance while the sound lasts."""
        frames = self._frames(sound)
        unit = frames.block(self._unit, self._unit + 1)[:, 0]
        late = np.arange(n_samples) / rate - onset - DELAY_S
        course = np.interp(late, frames.axis.times, unit - unit.mean(), left=0, right=0)
        course = ndimage.gaussian_filter1d(course, WIDTH_S * rate)
        return course / course[(late > 0) & (late < self.seconds)].std()


def eeg(course: np.ndarray, positions: np.ndarray, *, seed: int) -> np.ndarray:
    """Return channels that see a course, those at the vertex best, and pink noise; microvolts, (samples, channels)."""
    rng = np.random.default_rng(seed)
    towards = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    pattern = np.clip(towards[:, 2], 0, 1) ** 2
    noise = rng.standard_normal((len(course), len(positions)))
    noise = signal.lfilter([1.0], [1.0, -0.97], noise, axis=0)
    shared = signal.lfilter([1.0], [1.0, -0.97], rng.standard_normal((len(course), 4)), axis=0)
    noise = noise / noise.std() + (shared / shared.std()) @ rng.standard_normal((4, len(positions)))
    return RESPONSE_UV * course[:, None] * pattern + NOISE_UV * noise


def cap(name: str, channels: list[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Return the channels of a cap and where they sit, in metres."""
    places = mne.channels.make_standard_montage(name).get_positions()["ch_pos"]
    names = list(places) if channels is None else channels
    return names, np.array([places[one] for one in names])
