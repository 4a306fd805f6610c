"""Clocks are exact in both directions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.align.clock import ListeningClock
from brainalign.core.errors import ValueProblem
from brainalign.core.time import TimeAxis

times = st.fractions(min_value=-1000, max_value=10_000, max_denominator=10**9)
drifts = st.fractions(min_value=Fraction(-1, 200), max_value=Fraction(1, 200), max_denominator=10**7)


@given(onset=times, drift=drifts, moment=times)
def test_there_and_back_is_exact(onset: Fraction, drift: Fraction, moment: Fraction) -> None:
    clock = ListeningClock(onset, drift)
    assert clock.stimulus_time(clock.recording_time(moment)) == moment


@given(onset=times, drift=drifts, frame=st.integers(0, 2999))
def test_axis_and_clock_agree_on_every_frame(onset: Fraction, drift: Fraction, frame: int) -> None:
    clock, axis = ListeningClock(onset, drift), TimeAxis(50, 3000, "0.01247")
    assert clock.on_recording(axis).time(frame) == clock.recording_time(axis.time(frame))


def test_no_drift_only_moves() -> None:
    axis = TimeAxis(50, 10, "0.0125")
    assert ListeningClock(0.1).on_recording(axis) == axis.moved("0.1")


def test_a_drift_in_parts_per_million_by_mistake_is_refused() -> None:
    with pytest.raises(ValueProblem, match="small share"):
        ListeningClock(0, 50)
