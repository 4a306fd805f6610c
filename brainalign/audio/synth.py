"""Where does a stimulus come from when there is no recording? A source-filter speaker.

Each glottal pulse rings the formants of its moment (damped sinusoids, added up at the
pulse's exact time, so jitter is finer than a sample); noise in five bands makes fricatives
and bursts. It is no language, but it has speech's rhythm, pitch, spectra and pauses.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from brainalign.audio.phones import CONTROL_RATE, NOISE_CENTRES, Tracks, speak
from brainalign.core.errors import ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.seeds import generator
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis, exact, nearest

LOWEST_RATE = 8000
PEAK = 10 ** (-3 / 20)
RING_SECONDS = 0.020
JITTER = 0.006
SHIMMER = 0.04
BREATH = 0.01
ROOM = 0.0007
BANDWIDTHS = (70.0, 90.0, 130.0, 200.0)
"""Bandwidths of the four formants, in Hz."""


def synthesise_speech(name: str, *, seconds: Number, seed: int, rate: Number = 16000) -> Stimulus:
    """Synthesise speech-like sound: one invented speaker saying invented syllables.

    Parameters
    ----------
    name
        What the experiment calls the sound; it does not change a sample.
    seconds
        How long.
    seed
        Decides the speaker and every syllable; same seed, same bytes.
    rate
        Samples per second, 8000 or more.

    Returns
    -------
    Stimulus
        Peak at -3 dB of full scale; provenance holds the parameters.
    """
    rate, seconds = exact(rate), exact(seconds)
    if rate < LOWEST_RATE:
        raise ValueProblem("speech needs a higher rate", got=f"{rate} Hz", fix=f"use {LOWEST_RATE} Hz or more")
    n = nearest(seconds * rate)
    if n < 1:
        raise ValueProblem("a sound needs at least one sample", got=f"seconds={seconds}", fix="give seconds > 0")
    tracks = speak(float(seconds), generator(seed, "speech", "plan"))
    voice = _voice(tracks, n, float(rate), generator(seed, "speech", "voice"))
    noise = _noise(tracks, n, float(rate), generator(seed, "speech", "noise"))
    waveform = voice + noise
    waveform *= PEAK / np.max(np.abs(waveform))
    provenance = Provenance().then("synthesise_speech", seconds=seconds, seed=seed, rate=rate)
    return Stimulus(name, waveform.astype(np.float32), TimeAxis(rate, n), provenance)


def _voice(tracks: Tracks, n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Let every glottal pulse ring the formants of its moment; shape ``(n,)``."""
    times = _pulse_times(tracks, rng)
    # One pulse can start at one sample only (see the scatter below), and none outside the sound.
    first = np.ceil(times * rate).astype(int)
    kept = (first >= 0) & (first < n) & (np.diff(first, prepend=-1) > 0)
    times, first = times[kept], first[kept]
    loudness = _at(tracks.voice, times) * np.exp(SHIMMER * rng.standard_normal(times.size))
    frequency, bandwidth, gain = _resonances(tracks, times, rate)
    turn = (2j * np.pi * frequency - np.pi * bandwidth) / rate
    state = gain * loudness[:, None] * np.exp(turn * (first - times * rate)[:, None])
    step = np.exp(turn)
    ring = int(RING_SECONDS * rate)
    sound = np.zeros(n + ring)
    for k in range(ring):
        sound[first + k] += state.imag.sum(axis=1)
        state *= step
    return sound[:n]


def _pulse_times(tracks: Tracks, rng: np.random.Generator) -> np.ndarray:
    clock = np.arange(tracks.pitch.size) / CONTROL_RATE
    phase = rng.random() + np.cumsum(tracks.pitch) / CONTROL_RATE
    times = np.interp(np.arange(np.ceil(phase[0]), phase[-1]), phase, clock)
    return times + JITTER * rng.standard_normal(times.size) / _at(tracks.pitch, times)


def _resonances(tracks: Tracks, times: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frequency, bandwidth and gain of the voice bar and four formants, each ``(n_pulses, 5)``."""
    pitch = _at(tracks.pitch, times)
    formants = np.stack([_at(track, times) for track in tracks.formants.T], axis=1)
    frequency = np.column_stack([1.2 * pitch, formants])
    bandwidth = np.broadcast_to([150.0, *BANDWIDTHS], frequency.shape)
    # The glottal flow falls by 12 dB per octave, and the lips give 6 of them back.
    gain = np.column_stack([np.full(times.size, 0.5), 500.0 / formants * [1.0, -1.0, 1.0, -1.0]])
    return frequency, bandwidth, np.where(frequency < 0.45 * rate, gain, 0.0)


def _noise(tracks: Tracks, n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return frication, bursts, breath and the room's own noise, shape ``(n,)``."""
    white = rng.standard_normal(n)
    sound = ROOM * rng.standard_normal(n)
    times = np.arange(n) / rate
    for i, centre in enumerate(NOISE_CENTRES):
        low, high = 0.75 * centre, min(1.3 * centre, 0.48 * rate)
        if high < 1.1 * low:
            continue
        band = signal.sosfilt(signal.butter(2, (low, high), "bandpass", fs=rate, output="sos"), white)
        gain = _at(tracks.noise[:, i], times) + (BREATH * _at(tracks.voice, times))
        sound += gain * band / np.sqrt((high - low) / (rate / 2))
    return sound


def _at(track: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Read a control track at some times in seconds."""
    return np.interp(times * CONTROL_RATE, np.arange(track.size), track)
