"""What was the response at the times of the frames? The EEG comes to the features' grid.

Bringing the response to the frames, and not the frames to the response, keeps sparse
features sparse. The interpolation is band-limited and exact to a fraction of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

import numpy as np

from brainalign.core.errors import GridMismatch
from brainalign.core.recording import Recording
from brainalign.core.resample import HALF_WIDTH_CYCLES, ROLL_OFF, resample
from brainalign.core.time import TimeAxis


def response_on_grid(recording: Recording, axis: TimeAxis, *, name: str = "the stimulus") -> np.ndarray:
    """Evaluate a recording at the times of a grid, without aliasing.

    Parameters
    ----------
    recording
        The response.
    axis
        The wanted times, in seconds of the recording.
    name
        What the grid belongs to, for the error message.

    Returns
    -------
    numpy.ndarray
        Volts, shape ``(axis.n, n_channels)``, float32.

    Notes
    -----
    Flat to 0.8 times the slower Nyquist rate, 80 dB down from there on. Within 0.7 s (at
    50 Hz) of the recording's first and last sample the filter is cut short.
    """
    _require_inside(recording, axis, name=name)
    if not axis.n:
        return np.zeros((0, len(recording.channels)), dtype=np.float32)
    start, stop = _reach(recording.axis, axis)
    part = resample(recording.values[start:stop], recording.axis.part(start, stop), axis)
    return part.astype(np.float32, copy=False)


def outside_spans(spans: Sequence[tuple[Fraction, Fraction]], axis: TimeAxis) -> np.ndarray:
    """Tell which samples of a clock lie in none of some stretches, shape ``(axis.n,)``, bool.

    Parameters
    ----------
    spans
        First and last moments in seconds, both inside.
    axis
        The clock.
    """
    free = np.ones(axis.n, dtype=bool)
    for start, stop in spans:
        first = ceil((start - axis.t0) * axis.rate)
        last = floor((stop - axis.t0) * axis.rate)
        free[max(0, first) : max(0, last + 1)] = False
    return free


def recording_on_axis(recording: Recording, axis: TimeAxis) -> Recording:
    """Bring a recording to another clock, without aliasing and exactly, origin included.

    Parameters
    ----------
    recording
        The response.
    axis
        The wanted times, in seconds of the recording: another rate, or times between its samples.

    Returns
    -------
    Recording
        Onsets and bad spans stay where they were in time. Channels that tell codes (triggers) do not
        survive any resampling: read them before.
    """
    values = response_on_grid(recording, axis, name="the wanted axis")
    provenance = recording.provenance.then("recording_on_axis", axis=axis.to_json())
    return replace(recording, values=values, axis=axis, provenance=provenance)


def _reach(source: TimeAxis, target: TimeAxis) -> tuple[int, int]:
    """Return the samples that the interpolation touches, so that hours are not copied for a minute."""
    margin = ceil(HALF_WIDTH_CYCLES / (min(source.rate, target.rate) * ROLL_OFF) * source.rate) + 2
    first, last = source.index(target.t0), source.index(target.time(target.n - 1))
    return max(0, first - margin), min(source.n, last + margin + 1)


def _require_inside(recording: Recording, axis: TimeAxis, *, name: str) -> None:
    clock = recording.axis
    if not axis.n:
        return
    slack = clock.step / 2
    early = clock.t0 - axis.t0
    late = axis.time(axis.n - 1) - (clock.time(clock.n - 1) if clock.n else clock.t0)
    if early <= slack and late <= slack:
        return
    sides = [f"{float(early):.4g} s before its start"] * (early > slack) + [f"{float(late):.4g} s past its end"] * (
        late > slack
    )
    raise GridMismatch(
        f"{name} reaches outside the recording {recording.label}",
        got=f"{' and '.join(sides)}; heard from {float(axis.t0):.3f} s to {float(axis.time(axis.n - 1)):.3f} s, "
        f"recorded from {float(clock.t0):.3f} s for {float(clock.duration):.3f} s",
        fix="check the onset, cut the features with Trajectory.frames, or leave this stimulus out",
    )
