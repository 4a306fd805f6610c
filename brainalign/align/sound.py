"""When was the sound really heard, and how fast did its clock run? The audio channel beside the EEG tells.

Windows of the sound are looked for in the channel, one by one; the delays of those that agree lie on
a straight line, whose height is the onset and whose slope is the drift. Nothing is taken on trust:
a channel in which most windows do not agree is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.interpolate import CubicSpline

from brainalign.align.clock import ListeningClock
from brainalign.align.line import Line, robust_line
from brainalign.align.whiten import SPLINE_SHARE, TOP, Band, Whitening, delays, places_of_windows, smooth_curve
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import Number, TimeAxis, exact

FEWEST_WINDOWS = 4
LEAST_SHARE = 0.5
N_ROUNDS = 2
# A sound card's clock is off by tens of parts per million; ten times that is looked for.
WIDEST_DRIFT = 1e-3
# Delays are measured within so many seconds of the line found so far.
_REACH = 0.05
# Less than half a glottal period of nearly any voice.
_SLACK = 0.0015
# A single window may peak one glottal period off.
_PERIOD = 0.012
_DIGITS = 12


@dataclass(frozen=True, eq=False)
class SoundMatch:
    """Where a sound was found in an audio channel.

    Parameters
    ----------
    name
        Of the sound.
    clock
        Its onset and drift, for `brainalign.align.build.align`.
    onset_error, drift_error
        Standard errors (seconds; share), from the residuals.
    times
        Centres of the windows in stimulus time, seconds, shape ``(n_windows,)``.
    residuals
        How much later than the clock says each window was heard, in seconds, shape ``(n_windows,)``.
    used
        Which windows the clock rests on, shape ``(n_windows,)``, bool.
    likeness
        Correlation of each window with the channel, after whitening, shape ``(n_windows,)``.
    inverted
        Whether the channel holds the sound upside down.
    """

    name: str
    clock: ListeningClock
    onset_error: float
    drift_error: float
    times: np.ndarray
    residuals: np.ndarray
    used: np.ndarray
    likeness: np.ndarray
    inverted: bool

    @property
    def kept_share(self) -> float:
        """Share of the windows that agree."""
        return float(np.mean(self.used))

    @property
    def spread(self) -> float:
        """Standard deviation of the residuals of the windows in use, in seconds."""
        return float(np.sqrt(np.mean(self.residuals[self.used] ** 2)))


def find_sound(
    sound: Stimulus,
    recording: Recording,
    *,
    channel: str,
    near: Number | None = None,
    reach: Number = 5,
    window: Number = 5,
    band: Band = (30.0, None),
) -> SoundMatch:
    """Find a sound's onset and clock drift in the audio channel of a recording.

    Parameters
    ----------
    sound
        What was played.
    recording
        As it was recorded, not filtered and not resampled.
    channel
        Name of the channel that holds the sound as it was played.
    near, reach
        Where to look: up to ``reach`` seconds around the onset ``near``. Left out, everywhere: safe unless
        the sound was played more than once.
    window
        Length of a window in seconds; shortened for sounds that would not hold eight of them.
    band
        Frequencies in Hz that are compared; None ends at 0.8 times the recording's Nyquist rate.

    Returns
    -------
    SoundMatch
        Raises `ValueProblem` where fewer than half of the windows lie on one line.

    Notes
    -----
    Works on the waveform, so the channel must hold some of the sound's own frequencies (fundamentals of a voice,
    at a rate of 256 Hz and more); a channel with the envelope only does not match.
    """
    part, axis = _channel(recording, channel, near=near, reach=reach, seconds=sound.axis.duration)
    rate, own = float(axis.rate), float(sound.axis.rate)
    size = int(min(exact(window), sound.axis.duration / 8) * axis.rate)
    if size * FEWEST_WINDOWS > part.size or 2 * axis.duration < sound.axis.duration:
        raise ValueProblem(
            f"{recording.label} is too short to hold {sound.name!r}",
            got=f"{float(axis.duration):.3g} s to look in, {float(sound.axis.duration):.3g} s of sound",
            fix="check the onset, or that recording and sound belong together",
        )
    top = min(TOP * rate / 2, own / SPLINE_SHARE, band[1] or np.inf)
    if not part.any() or not 0 <= band[0] < top:
        raise ValueProblem(
            f"channel {channel!r} holds nothing between these frequencies",
            got=f"{band[0]:g} to {top:g} Hz at {rate:g} samples per second, rms {part.std():.3g}",
            fix="name the channel that recorded the sound, or another band=",
        )
    curve = smooth_curve(sound.waveform.astype(float), rate=own, top=top)
    whitening = Whitening.of(part, rate=rate, band=(band[0], top))
    task = _Search(sound, (sound.name, channel), whitening(part), axis, curve, whitening, size)
    sign, line = _upright(task, _coarse(task))
    for _ in range(N_ROUNDS):
        line, times, likeness = _finer(task, line, sign=sign)
    _require_agreement(line, times, likeness, what=task.what)
    clock = ListeningClock(_decimal(line.intercept), _decimal(line.slope))
    return SoundMatch(
        sound.name, clock, line.intercept_error, line.slope_error, times, line.residuals, line.used, likeness, sign < 0
    )


@dataclass(frozen=True, eq=False)
class _Search:
    """What is looked for in what: a sound as a curve over seconds, and a whitened channel on its clock."""

    sound: Stimulus
    what: tuple[str, str]
    heard: np.ndarray
    axis: TimeAxis
    curve: CubicSpline
    whitening: Whitening
    size: int

    def expected(self, seconds: np.ndarray) -> np.ndarray:
        """Return the whitened sound at stimulus times."""
        return self.whitening(self.curve(seconds - float(self.sound.axis.t0)))


def _channel(
    recording: Recording, channel: str, *, near: Number | None, reach: Number, seconds: Fraction
) -> tuple[np.ndarray, TimeAxis]:
    """Return the samples of a channel in which the sound may be, and their clock."""
    if channel not in recording.channels:
        raise UnknownName(
            f"{recording.label} has no channel of that name",
            got=repr(channel),
            fix=f"name the one that recorded the sound; known: {', '.join(recording.channels[-6:])}",
        )
    column = recording.values[:, recording.channels.index(channel)].astype(float)
    clock = recording.axis
    if near is None:
        return column, clock
    first = min(max(0, clock.index(exact(near) - exact(reach))), clock.n)
    stop = min(max(first, clock.index(exact(near) + seconds + exact(reach))), clock.n)
    return column[first:stop], clock.part(first, stop)


def _coarse(task: _Search) -> Line:
    """Look for each window everywhere, and keep the delays on which most agree."""
    rate, what = task.whitening.rate, task.what
    n = int(task.curve.x[-1] * rate)
    played = task.expected(float(task.sound.axis.t0) + np.arange(n) / rate)
    starts, found = places_of_windows(task.heard, played, size=task.size)
    delay = found - starts
    near = (
        np.abs(delay[:, None] - delay[None]) <= WIDEST_DRIFT * np.abs(starts[:, None] - starts[None]) + _PERIOD * rate
    )
    chosen = near[int(np.argmax(near.sum(axis=1)))]
    if chosen.sum() < max(FEWEST_WINDOWS - 1, LEAST_SHARE * starts.size):
        raise ValueProblem(
            f"the sound {what[0]!r} was not found in channel {what[1]!r}",
            got=f"{chosen.sum()} of {starts.size} windows agree on when it was heard",
            fix="check that this is the sound that was played and the channel that recorded it; give near= and reach= "
            "if it was played more than once. Or samples are missing in its middle",
        )
    stimulus_times = float(task.sound.axis.t0) + starts[chosen] / rate
    heard_times = float(task.axis.t0) + found[chosen] / rate
    return robust_line(stimulus_times, heard_times - stimulus_times, floor=0.5 / rate)


def _upright(task: _Search, line: Line) -> tuple[int, Line]:
    """Tell whether the channel holds the sound as it is or upside down: where all windows together are more alike."""
    tried = {sign: _finer(task, line, sign=sign) for sign in (1, -1)}
    best = max(tried, key=lambda sign: float(tried[sign][2].sum()))
    return best, tried[best][0]


def _finer(task: _Search, line: Line, *, sign: int) -> tuple[Line, np.ndarray, np.ndarray]:
    """Put the sound on the recording's clock by the line found so far, and measure what is left."""
    axis, rate = task.axis, task.whitening.rate
    origin, pace = float(task.sound.axis.t0), 1 + line.slope
    first = line.intercept + pace * origin
    last = line.intercept + pace * (origin + float(task.curve.x[-1]))
    start, stop = max(0, axis.index(first) + 1), min(axis.n, axis.index(last))
    seconds = (float(axis.t0) + np.arange(start, max(start, stop)) / rate - line.intercept) / pace
    if seconds.size < FEWEST_WINDOWS * task.size:
        raise ValueProblem(
            f"too little of the sound {task.what[0]!r} was recorded in channel {task.what[1]!r}",
            got=f"{seconds.size / rate:.3g} s of {task.curve.x[-1]:.3g} s",
            fix="check that recording and sound belong together",
        )
    expected = sign * task.expected(seconds)
    found = delays(task.heard[start:stop], expected, size=task.size, reach=int(_REACH * rate), slack=_SLACK * rate)
    times = seconds[0] + found.centres / (rate * pace)
    measured = line.intercept + line.slope * times + found.late / rate
    weights = found.likeness**2 / np.maximum(1 - found.likeness**2, 1e-3)
    return robust_line(times, measured, weights=weights, floor=1e-7), times, found.likeness


def _require_agreement(line: Line, times: np.ndarray, likeness: np.ndarray, *, what: tuple[str, str]) -> None:
    if line.used.sum() >= max(FEWEST_WINDOWS - 1, LEAST_SHARE * line.used.size):
        return
    worst = int(np.argmax(np.abs(line.residuals)))
    raise ValueProblem(
        f"the sound {what[0]!r} in channel {what[1]!r} does not run on one clock",
        got=f"{line.used.sum()} of {line.used.size} windows on one line; at {times[worst]:.1f} s it is "
        f"{1e3 * line.residuals[worst]:+.1f} ms off; median likeness {np.median(likeness):.2f}",
        fix="look for dropped samples or a pause in the playback, and align the parts on their own",
    )


def _decimal(value: float) -> Fraction:
    return exact(round(value, _DIGITS))
