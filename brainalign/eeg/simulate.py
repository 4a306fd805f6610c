"""What would a listener's EEG be, if we knew what drives it? A planted truth.

Features drive dipoles through known kernels, on exact clocks, under
realistic noise. Whatever an analysis then finds can be checked against what was put in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import mne
import numpy as np

from brainalign.core.arrays import require_finite, require_shape
from brainalign.core.errors import GridMismatch, UnknownName, ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.time import Number, TimeAxis, exact, nearest
from brainalign.eeg.simulate_head import (
    BRAIN_RADIUS,
    HEAD_CENTRE,
    PLANTED_SITES,
    Site,
    Vector,
    head_info,
    project,
    require_in_brain,
    sensor_names,
    sensor_pattern,
)
from brainalign.eeg.simulate_kernel import ResponseKernel, respond
from brainalign.eeg.simulate_noise import SILENT, TYPICAL, NoiseLevels, add_noise, planted_bad_channels

__all__ = [
    "NO_VARIATION",
    "PLANTED_SITES",
    "SILENT",
    "TYPICAL",
    "NoiseLevels",
    "PlantedSource",
    "ResponseKernel",
    "Site",
    "Variation",
    "planted_bad_channels",
    "sensor_names",
    "sensor_pattern",
    "simulate_listener",
]

MICROVOLT = 1e-6
MAX_DEPTH_SHARE = 0.98


@dataclass(frozen=True)
class PlantedSource:
    """A patch of cortex that answers to one feature.

    Parameters
    ----------
    name
        What the source is called in reports.
    drives
        Stimulus name -> the feature's values, shape ``(n_frames,)``, and their clock in
        stimulus time (frame centres).
    kernel
        The answer to one frame.
    position, orientation
        The dipole: metres in head coordinates, and a unit vector.
    peak_microvolts
        The answer's rms over the trials, at the sensor that sees it best after average
        reference (before the listener's own gain).
    """

    name: str
    drives: Mapping[str, tuple[np.ndarray, TimeAxis]]
    kernel: ResponseKernel
    position: Vector
    orientation: Vector
    peak_microvolts: float = 1.0

    def __post_init__(self) -> None:
        for stimulus, (values, axis) in self.drives.items():
            what = f"the drive of {self.name!r} by {stimulus!r}"
            require_shape(np.shape(values), (axis.n,), name=what, axes="frames")
            require_finite(np.asarray(values, dtype=float), name=what, fix="repair the feature's values")
        require_in_brain(np.atleast_2d(self.position), np.atleast_2d(self.orientation))


@dataclass(frozen=True)
class Variation:
    """How much listeners differ.

    Parameters
    ----------
    position_millimetres, angle_degrees
        Standard deviation of each dipole's place (per coordinate) and of its tilt (about
        each of two axes).
    gain
        Standard deviation of the logarithm of each source's strength.
    """

    position_millimetres: float = 3.0
    angle_degrees: float = 5.0
    gain: float = 0.2


USUAL_VARIATION = Variation()
NO_VARIATION = Variation(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Listener:
    """Who listens to what, and when: what every source needs to know."""

    onsets: Mapping[str, Fraction]
    clock: TimeAxis
    subject: str
    seed: int
    variation: Variation


def simulate_listener(
    sources: Sequence[PlantedSource],
    onsets: Mapping[str, Number],
    *,
    seconds: Number,
    seed: int,
    subject: str,
    rate: Number = 128,
    noise: NoiseLevels = TYPICAL,
    variation: Variation = USUAL_VARIATION,
) -> mne.io.RawArray:
    """Simulate one listener's recording.

    Parameters
    ----------
    sources
        What answers; may be empty.
    onsets
        Stimulus name -> when it began, in seconds of the recording (need not fall on a
        sample). Each becomes an annotation of that name.
    seconds, rate
        Length of the recording and samples per second.
    seed, subject
        Together they fix every random draw: the same pair gives the same bytes.
    noise
        How much noise of each kind.
    variation
        How far this listener's dipoles and gains stray from the planted ones.

    Returns
    -------
    mne.io.RawArray
        Volts; 64 EEG channels (biosemi64, referenced to infinity) and ``"VEOG"``. No
        channel is marked bad: `planted_bad_channels` knows which ones are.
    """
    clock = TimeAxis(rate, nearest(exact(seconds) * exact(rate)))
    listener = _Listener({name: exact(time) for name, time in onsets.items()}, clock, subject, seed, variation)
    _require_heard(sources, listener)
    _require_inside(sources, listener)
    microvolts = np.zeros((len(sensor_names()), clock.n))
    for source in sources:
        microvolts += np.outer(_pattern(source, listener), _course(source, listener))
    signals = add_noise(microvolts, noise, clock=clock, subject=subject, seed=seed)
    info = head_info(float(clock.rate))
    info["subject_info"] = {"his_id": subject}
    raw = mne.io.RawArray(signals * MICROVOLT, info, verbose="error")
    marks = sorted((float(time), name) for name, time in listener.onsets.items())
    raw.set_annotations(mne.Annotations([m[0] for m in marks], [0.0] * len(marks), [m[1] for m in marks]))
    return raw


def _require_inside(sources: Sequence[PlantedSource], listener: _Listener) -> None:
    clock = listener.clock
    for name, onset in listener.onsets.items():
        axes = [source.drives[name][1] for source in sources if name in source.drives]
        last = max([onset, *(onset + axis.time(axis.n) for axis in axes)])
        if onset < 0 or last > clock.duration:
            raise GridMismatch(
                f"stimulus {name!r} does not fit into the recording",
                got=f"{float(onset):.3f} to {float(last):.3f} s of 0 to {float(clock.duration):.3f} s",
                fix="record for longer (seconds=) or move the onset",
            )


def _require_heard(sources: Sequence[PlantedSource], listener: _Listener) -> None:
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ValueProblem("sources must have different names", got=", ".join(names), fix="rename one of them")
    for source in sources:
        if not set(source.drives) & set(listener.onsets):
            raise UnknownName(
                f"source {source.name!r} is driven by no stimulus that is heard",
                got=sorted(source.drives),
                fix=f"use the onsets' names: {sorted(listener.onsets)}",
            )


def _course(source: PlantedSource, listener: _Listener) -> np.ndarray:
    """Return the source's time course in microvolts at its best sensor, shape ``(n_samples,)``."""
    clock, course = listener.clock, np.zeros(listener.clock.n)
    heard = np.zeros(clock.n, dtype=bool)
    for stimulus in sorted(set(source.drives) & set(listener.onsets)):
        values, frames = source.drives[stimulus]
        onset = listener.onsets[stimulus]
        course += respond(values, source.kernel, frames=frames, onset=onset, clock=clock)
        heard[clock.index(onset) : clock.index(onset + frames.time(frames.n))] = True
    strength = np.sqrt(np.mean(course[heard] ** 2)) if heard.any() else 0.0
    if not strength:
        raise ValueProblem(
            f"source {source.name!r} is never active", got="drives that are all zero", fix="plant a feature that fires"
        )
    rng = generator(listener.seed, "listener", listener.subject, "gain", source.name)
    return course * (source.peak_microvolts / strength * np.exp(rng.normal(0.0, listener.variation.gain)))


def _pattern(source: PlantedSource, listener: _Listener) -> np.ndarray:
    """Return this listener's pattern, shape ``(64,)``; after average reference its best sensor sees 1."""
    rng = generator(listener.seed, "listener", listener.subject, "dipole", source.name)
    variation = listener.variation
    place = np.asarray(source.position) + rng.normal(0.0, variation.position_millimetres * 1e-3, 3)
    centre = np.asarray(HEAD_CENTRE)
    reach = float(np.linalg.norm(place - centre))
    # A planted position outside the brain was refused; one that a listener's jitter pushes out is drawn back.
    place = centre + (place - centre) * min(1.0, MAX_DEPTH_SHARE * BRAIN_RADIUS / max(reach, 1e-9))
    planted = np.asarray(source.orientation)
    tilt = np.tan(np.deg2rad(variation.angle_degrees) * rng.standard_normal(2))
    direction = planted + tilt @ _across(planted)
    pattern = project(place, direction / np.linalg.norm(direction))[:, 0]
    return pattern / np.abs(pattern - pattern.mean()).max()


def _across(direction: np.ndarray) -> np.ndarray:
    """Return two unit vectors at right angles to a direction and to each other, shape ``(2, 3)``."""
    helper = np.eye(3)[int(np.argmin(np.abs(direction)))]
    one = np.cross(direction, helper)
    one /= np.linalg.norm(one)
    return np.stack([one, np.cross(direction, one)])
