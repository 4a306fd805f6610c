"""Does an analysis find what was put in? One whole recording with its faults, and the truth beside it.

Dipoles in a spherical head answer to features through known kernels (`simulate_listener`),
under synthetic noise or that of a real recording, written down by an amplifier whose clock
drifts, whose triggers jitter and which loses samples. Every number that an analysis could be
asked for is in the `Truth`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Literal

import mne
import numpy as np
from scipy import fft

from brainalign.core.arrays import read_only
from brainalign.core.errors import UnknownName, ValueProblem, unknown_name
from brainalign.core.recording import Recording
from brainalign.core.seeds import generator
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis, exact
from brainalign.eeg.simulate import NO_VARIATION, PlantedSource, simulate_listener
from brainalign.eeg.simulate_faults import (
    PlayedSound,
    add_recorded_noise,
    drift_recording,
    drop_samples,
    jitter_onsets,
    record_sound,
    with_channel,
)
from brainalign.eeg.simulate_head import sensor_names, sensor_pattern
from brainalign.eeg.simulate_noise import SILENT, TYPICAL, NoiseLevels, planted_bad_channels

AUDIO = "Audio"
PHASES = ("kept", "random")


@dataclass(frozen=True, eq=False)
class RecordedNoise:
    """Real EEG as the noise: a stretch of it, chosen by the seed.

    Parameters
    ----------
    recording
        At the same rate, with channels of the same names, at least as long, and not driven by the simulated sounds.
    gain
        What it is multiplied with.
    phases
        ``"kept"``: the stretch as it is. ``"random"``: with random phases, the same at all channels, so that spectra
        and correlations between channels stay and everything else is Gaussian; whatever the listener heard is gone.
    """

    recording: Recording
    gain: float = 1.0
    phases: Literal["kept", "random"] = "kept"

    def __post_init__(self) -> None:
        if self.phases not in PHASES:
            raise unknown_name(self.phases, among=PHASES, kind="treatment of phases")


@dataclass(frozen=True, eq=False)
class Amplifier:
    """What goes wrong on the way into the file; by default nothing.

    Parameters
    ----------
    drift
        By which share its clock is fast, so that everything seems to last longer (``"50/1000000"``).
    jitter, late
        Standard deviation of the triggers' errors and their common delay, in seconds. The brain hears what was played;
        only the marks are wrong.
    dropped
        Lost samples: time in seconds of the recording before anything was lost, and how many.
    sounds
        Stimulus name -> what was played; recorded into one more channel, ``"Audio"``.
    """

    drift: Number = 0
    jitter: float = 0.0
    late: Number = 0
    dropped: tuple[tuple[Number, int], ...] = ()
    sounds: Mapping[str, Stimulus] = field(default_factory=dict)


PERFECT = Amplifier()


@dataclass(frozen=True, eq=False)
class Truth:
    """What is really in a simulated recording.

    Parameters
    ----------
    sources
        What was planted, with kernels, places and drives.
    patterns
        What the 64 sensors see of each source: its best sensor sees 1 after average reference. Shape
        ``(n_sources, 64)``.
    signal
        The EEG without any noise, in volts, on the recording's samples, shape ``(n_samples, 64)``.
    onsets
        When each stimulus really began, in seconds of the recording, before samples were lost.
    told
        What the recording's marks say instead.
    drift
        How much longer a stimulus second lasts on the recording's clock, as a share.
    lost
        First and last second, before anything was lost, of each stretch that is missing.
    bad_channels
        Loose electrodes.
    """

    sources: tuple[PlantedSource, ...]
    patterns: np.ndarray
    signal: np.ndarray
    onsets: Mapping[str, Fraction]
    told: Mapping[str, Fraction]
    drift: Fraction
    lost: tuple[tuple[Fraction, Fraction], ...]
    bad_channels: tuple[str, ...]

    def time(self, name: str, seconds: Number = 0) -> Fraction | None:
        """Return where in the file a moment of a stimulus stands, in seconds; None if it was lost.

        Parameters
        ----------
        name
            Of the stimulus.
        seconds
            Stimulus time.
        """
        if name not in self.onsets:
            raise unknown_name(name, among=self.onsets, kind="stimulus in this recording")
        heard = self.onsets[name] + (1 + self.drift) * exact(seconds)
        if any(start <= heard < stop for start, stop in self.lost):
            return None
        return heard - sum((stop - start for start, stop in self.lost if stop <= heard), Fraction(0))


def simulate_recording(
    sources: Sequence[PlantedSource],
    onsets: Mapping[str, Number],
    *,
    seconds: Number,
    seed: int,
    subject: str = "01",
    rate: Number = 128,
    noise: NoiseLevels | RecordedNoise = TYPICAL,
    amplifier: Amplifier = PERFECT,
) -> tuple[Recording, Truth]:
    """Simulate one listener's recording, and tell what is in it.

    Parameters
    ----------
    sources
        What answers; may be empty. Places and strengths are those that were planted: for listeners who differ,
        see `simulate_listener`.
    onsets
        Stimulus name -> when it was played, in seconds of a perfect clock.
    seconds, rate
        Length of the recording and samples per second.
    seed, subject
        Together they fix every random draw: the same pair gives the same bytes.
    noise
        How much synthetic noise of each kind, or whose.
    amplifier
        What goes wrong.

    Returns
    -------
    recording, truth
        64 EEG channels (biosemi64), ``"VEOG"`` and, where sounds are given, ``"Audio"``, in volts; and the truth.
    """
    _require_played(amplifier, onsets)
    levels = noise if isinstance(noise, NoiseLevels) else SILENT
    write = partial(
        simulate_listener,
        sources,
        onsets,
        seconds=seconds,
        seed=seed,
        subject=subject,
        rate=rate,
        variation=NO_VARIATION,
    )
    pure, noisy = (_exactly(write(noise=level), onsets, subject=subject) for level in (SILENT, levels))
    drift = exact(amplifier.drift)
    if drift:
        pure, noisy = drift_recording(pure, drift), drift_recording(noisy, drift)
    if isinstance(noise, RecordedNoise):
        under = randomise_phases(noise.recording, seed=seed) if noise.phases == "random" else noise.recording
        noisy = add_recorded_noise(noisy, under, gain=noise.gain, seed=seed)
    true = {name: times[0] for name, times in noisy.onsets.items()}
    noisy = _with_audio(noisy, amplifier, true, seed=seed)
    marks = jitter_onsets(true, seconds=amplifier.jitter, seed=seed, late=amplifier.late)
    noisy, pure, lost = _lose(noisy, pure, amplifier.dropped)
    truth = Truth(
        sources=tuple(sources),
        patterns=read_only(
            np.array([_pattern(source) for source in sources]).reshape(len(sources), len(sensor_names()))
        ),
        signal=read_only(np.array(pure.values[:, [kind == "eeg" for kind in pure.kinds]])),
        onsets=true,
        told={name: times[0] for name, times in marks.items()},
        drift=drift,
        lost=lost,
        bad_channels=planted_bad_channels(levels, subject=subject, seed=seed),
    )
    return replace(noisy, onsets=marks), truth


def _exactly(raw: mne.io.RawArray, onsets: Mapping[str, Number], *, subject: str) -> Recording:
    """Return a Raw with its onsets as they were given: MNE keeps them to the microsecond."""
    return replace(Recording.from_mne(raw, subject=subject), onsets={name: (exact(t),) for name, t in onsets.items()})


def randomise_phases(recording: Recording, *, seed: int) -> Recording:
    """Return a recording with random phases, the same at all channels: spectra and cross-spectra stay as they are.

    Parameters
    ----------
    recording
        The recording; it stays as it was.
    seed
        Of the phases.
    """
    rng = generator(seed, "random phases", recording.label)
    spectrum = fft.rfft(np.asarray(recording.values, dtype=float), axis=0)
    turns = np.exp(2j * np.pi * rng.uniform(size=len(spectrum)))
    # The mean, and at even lengths the Nyquist frequency, are real and stay so.
    turns[0] = 1.0
    if recording.axis.n % 2 == 0:
        turns[-1] = 1.0
    values = fft.irfft(spectrum * turns[:, None], n=recording.axis.n, axis=0)
    told = recording.provenance.then("randomise_phases", seed=seed)
    return replace(recording, values=values, onsets={}, bad_spans=(), provenance=told)


def _require_played(amplifier: Amplifier, onsets: Mapping[str, Number]) -> None:
    silent = sorted(set(amplifier.sounds) - set(onsets))
    if silent:
        raise UnknownName(
            "sounds are recorded that were never played",
            got=", ".join(silent),
            fix=f"give their onsets, or leave them out; played: {', '.join(sorted(onsets)) or 'nothing'}",
        )


def _pattern(source: PlantedSource) -> np.ndarray:
    """Return what the sensors see of a source, scaled as `simulate_listener` scales it."""
    pattern = sensor_pattern(source.position, source.orientation)
    return np.asarray(pattern / np.abs(pattern).max())


def _with_audio(recording: Recording, amplifier: Amplifier, onsets: Mapping[str, Fraction], *, seed: int) -> Recording:
    if not amplifier.sounds:
        return recording
    channel = np.zeros(recording.axis.n)
    for name, sound in amplifier.sounds.items():
        how = PlayedSound(onsets[name], amplifier.drift)
        channel += record_sound(sound, how, clock=recording.axis, seed=seed)
    return with_channel(recording, channel, name=AUDIO)


Lost = tuple[tuple[Fraction, Fraction], ...]


def _lose(
    noisy: Recording, pure: Recording, dropped: Sequence[tuple[Number, int]]
) -> tuple[Recording, Recording, Lost]:
    """Drop the same samples from both, the last stretch first, so that the times of the others still hold."""
    clock: TimeAxis = noisy.axis
    starts = sorted((clock.index(at), n) for at, n in dropped)
    for (first, n), (following, _) in zip(starts, starts[1:], strict=False):
        if first + n >= following:
            raise ValueProblem(
                "two stretches of lost samples touch",
                got=f"{n} samples from {float(clock.time(first)):g} s and the next from "
                f"{float(clock.time(following)):g} s",
                fix="lose them as one",
            )
    for first, n in reversed(starts):
        noisy, pure = (drop_samples(item, at=clock.time(first), n=n) for item in (noisy, pure))
    return noisy, pure, tuple((clock.time(first), clock.time(first) + n * clock.step) for first, n in starts)
