"""What goes wrong while an EEG is recorded? Clocks that drift, triggers that jitter, samples that are lost.

Each fault is told with its truth, so that whatever looks for it can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from scipy import interpolate, signal

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.resample import resample
from brainalign.core.seeds import generator
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis, exact

# Of the recorder's Nyquist rate, as an amplifier's own filter before its converter has it.
ANTI_ALIASING = 0.8
_FILTER_ORDER = 8
_EIGHT_TIMES_SAFE = 8


@dataclass(frozen=True)
class PlayedSound:
    """How a sound gets into the audio channel of a recording.

    Parameters
    ----------
    onset
        When it began, in seconds of the recording.
    drift
        How much longer a stimulus second lasts on the recording's clock, as a share.
    volts
        Its rms in the channel; negative: upside down.
    noise_db
        White noise in dB re the sound's rms.
    hum_db, hum_hz
        Mains hum in dB re the sound's rms, and its frequency.
    """

    onset: Number
    drift: Number = 0
    volts: float = 1e-3
    noise_db: float = -20.0
    hum_db: float = -20.0
    hum_hz: float = 50.0


def record_sound(sound: Stimulus, how: PlayedSound, *, clock: TimeAxis, seed: int) -> np.ndarray:
    """Return the audio channel of a recording in which a sound was played.

    The waveform is low-passed below the recorder's Nyquist rate and evaluated, by splines, at the exact times at
    which the recorder's samples fell in the sound.

    Parameters
    ----------
    sound
        What was played.
    how
        When, how fast, how loud, with how much noise.
    clock
        The recording's samples.
    seed
        For noise and the hum's phase.

    Returns
    -------
    numpy.ndarray
        Volts, shape ``(clock.n,)``.
    """
    rng = generator(seed, "record_sound", sound.name)
    times = (clock.times - float(exact(how.onset))) / float(1 + exact(how.drift)) - float(sound.axis.t0)
    heard = _evaluate(sound, times, rate=float(clock.rate))
    loud = np.sqrt(np.mean(heard**2)) if heard.any() else 1.0
    noise = rng.standard_normal(clock.n) * 10 ** (how.noise_db / 20)
    phase = rng.uniform(0, 2 * np.pi)
    hum = np.sqrt(2) * np.sin(2 * np.pi * how.hum_hz * clock.times + phase) * 10 ** (how.hum_db / 20)
    return np.asarray(how.volts * (heard / loud + noise + hum))


def _evaluate(sound: Stimulus, times: np.ndarray, *, rate: float) -> np.ndarray:
    """Evaluate a low-passed sound at times in seconds after its first sample; outside it is silent."""
    own = float(sound.axis.rate)
    cutoff = min(ANTI_ALIASING * rate / 2, 0.45 * own)
    sections = signal.butter(_FILTER_ORDER, cutoff, fs=own, output="sos")
    values = signal.sosfiltfilt(sections, sound.waveform.astype(float))
    thin = max(1, int(own / (_EIGHT_TIMES_SAFE * cutoff)))
    curve = interpolate.CubicSpline(np.arange(values[::thin].size) * thin / own, values[::thin])
    inside = (times >= 0) & (times <= curve.x[-1])
    return np.where(inside, curve(np.clip(times, 0, curve.x[-1])), 0.0)


def with_channel(recording: Recording, values: np.ndarray, *, name: str, kind: str = "misc") -> Recording:
    """Return a recording with one more channel.

    Parameters
    ----------
    recording
        The recording; it stays as it was.
    values
        Shape ``(n_samples,)``.
    name, kind
        Of the channel; kinds are MNE's.
    """
    if np.shape(values) != (recording.axis.n,):
        raise ShapeMismatch(
            "a channel must have as many samples as its recording",
            got=f"{np.shape(values)} and {recording.axis.n} samples",
            fix="simulate it on the recording's axis",
        )
    return replace(
        recording,
        values=np.column_stack([recording.values, values]),
        channels=(*recording.channels, name),
        kinds=(*recording.kinds, kind),
        positions=np.vstack([recording.positions, np.full((1, 3), np.nan)]),
    )


def jitter_onsets(
    onsets: Mapping[str, Number], *, seconds: float, seed: int, late: Number = 0
) -> dict[str, tuple[Fraction, ...]]:
    """Return what triggers would say of onsets: too late by so much, and each a little off.

    Parameters
    ----------
    onsets
        Stimulus name -> when it really began, in seconds.
    seconds
        Standard deviation of each trigger's error (normal).
    seed
        Each trigger has an error of its own, by its name.
    late
        By how much all of them are late, in seconds.
    """
    errors = {name: float(generator(seed, "jitter", name).normal(0, seconds)) for name in onsets}
    return {name: (exact(time) + exact(late) + exact(round(errors[name], 9)),) for name, time in onsets.items()}


def drop_samples(recording: Recording, *, at: Number, n: int) -> Recording:
    """Return a recording that lost samples without a word: what follows comes too early.

    Parameters
    ----------
    recording
        The recording; it stays as it was. Its onsets and bad spans are kept as they are.
    at
        Time of the first lost sample, in seconds.
    n
        How many were lost.
    """
    first = recording.axis.index(at)
    if not 0 <= first < first + n < recording.axis.n:
        raise ValueProblem(
            "samples can only be lost within the recording",
            got=f"{n} samples from {float(exact(at)):g} s of {float(recording.axis.duration):g} s",
            fix="drop fewer, or earlier ones",
        )
    values = np.delete(np.asarray(recording.values), slice(first, first + n), axis=0)
    axis = TimeAxis(recording.axis.rate, recording.axis.n - n, recording.axis.t0)
    return replace(recording, values=values, axis=axis, provenance=recording.provenance.then("drop_samples", n=n))


def drift_recording(recording: Recording, drift: Number) -> Recording:
    """Return what an amplifier whose clock is fast by a share would have written of the same signals.

    It takes more samples and still says the nominal rate, so everything seems to last longer by ``drift``; onsets
    and bad spans move with it.

    Parameters
    ----------
    recording
        The recording; it stays as it was.
    drift
        Share, e.g. ``"50/1000000"``.
    """
    pace = 1 + exact(drift)
    true = TimeAxis(recording.axis.rate * pace, int(recording.axis.n * pace) - 1, recording.axis.t0)
    inside = int((recording.axis.time(recording.axis.n - 1) - true.t0) * true.rate) + 1
    part = true.part(0, min(true.n, inside))
    values = resample(np.asarray(recording.values, dtype=float), recording.axis, part)
    origin = recording.axis.t0
    onsets = {k: tuple(origin + (t - origin) * pace for t in times) for k, times in recording.onsets.items()}
    spans = tuple((origin + (a - origin) * pace, origin + (b - origin) * pace) for a, b in recording.bad_spans)
    axis = TimeAxis(recording.axis.rate, part.n, origin)
    told = recording.provenance.then("drift_recording", drift=exact(drift))
    return replace(recording, values=values, axis=axis, onsets=onsets, bad_spans=spans, provenance=told)


def add_recorded_noise(clean: Recording, noise: Recording, *, gain: float = 1.0, seed: int) -> Recording:
    """Put a stretch of a real recording under a simulated one, channel by channel of the same name.

    Parameters
    ----------
    clean
        Simulated signals without noise.
    noise
        A real recording at the same rate that was not driven by the simulated sounds, at least as long.
    gain
        What the noise is multiplied with.
    seed
        Decides where the stretch begins.
    """
    shared = [name for name in clean.channels if name in noise.channels]
    if not shared or noise.axis.rate != clean.axis.rate or noise.axis.n < clean.axis.n:
        raise ValueProblem(
            "the noise does not fit the simulated recording",
            got=f"{len(shared)} channels in common; noise: {noise.axis}; simulated: {clean.axis}",
            fix="rename the channels, resample the noise, or simulate a shorter recording",
        )
    start = int(generator(seed, "recorded noise", clean.label).integers(noise.axis.n - clean.axis.n + 1))
    values = np.array(clean.values, dtype=float)
    for name in shared:
        column = noise.values[start : start + clean.axis.n, noise.channels.index(name)].astype(float)
        values[:, clean.channels.index(name)] += gain * (column - column.mean())
    told = clean.provenance.then("add_recorded_noise", noise=noise.label, gain=gain, start=start, channels=shared)
    return replace(clean, values=values, provenance=told)
