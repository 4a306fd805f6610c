"""Impulses: one per event, at the right frame, or shared so that their mean time is exact."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.audio.annotations import Events
from brainalign.audio.impulses import impulses
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.time import TimeAxis

HUBERT = TimeAxis(50, 100, Fraction(399, 32_000))


def _events(*onsets, labels=None, **columns):
    onsets = tuple(Fraction(str(onset)) if not isinstance(onset, Fraction) else onset for onset in onsets)
    return Events("words", onsets, labels or ("",) * len(onsets), columns)


def test_the_nearest_frame_and_halves_go_up():
    axis = TimeAxis(50, 10)
    assert np.flatnonzero(impulses(_events(0.0299, 0.03, 0.1), axis=axis).values[:, 0]).tolist() == [1, 2, 5]
    shifted = impulses(_events(HUBERT.time(7)), axis=HUBERT)
    assert shifted.values[7, 0] == 1 and shifted.values.sum() == 1
    assert shifted.features == ("words",) and shifted.axis == HUBERT


def test_shared_impulses_weigh_by_nearness():
    values = impulses(_events("0.025"), axis=TimeAxis(50, 4), place="shared").values[:, 0]
    np.testing.assert_allclose(values, [0, 0.75, 0.25, 0])
    on_a_frame = impulses(_events("0.02"), axis=TimeAxis(50, 4), place="shared").values[:, 0]
    np.testing.assert_array_equal(on_a_frame, [0, 1, 0, 0])


@given(
    st.lists(st.fractions(Fraction(1, 50), Fraction(19, 10), max_denominator=10**9), min_size=1, max_size=20),
    st.sampled_from([Fraction(50), Fraction(64), Fraction(16_000, 321)]),
)
def test_the_mean_time_of_shared_impulses_is_exact(onsets, rate):
    """Sums are the number of events, and the first moment is that of the onsets (to half a frame if not shared)."""
    axis = TimeAxis(rate, int(2 * rate), Fraction(1, 80))
    shared, near = (impulses(_events(*onsets), axis=axis, place=place).values[:, 0] for place in ("shared", "nearest"))
    times = np.array([float(axis.time(i)) for i in range(axis.n)])
    mean = float(sum(onsets) / len(onsets))
    assert shared.sum() == pytest.approx(len(onsets), rel=1e-6)
    assert near.sum() == len(onsets)
    assert shared @ times / len(onsets) == pytest.approx(mean, abs=1e-6)
    assert near @ times / len(onsets) == pytest.approx(mean, abs=0.5 / float(rate) + 1e-6)


def test_heights_add_up_on_one_frame():
    events = _events(0.1, 0.104, 0.5, surprisal=("2.5", "1.5", "-3"), length=("1", "2", "3"))
    values = impulses(events, axis=TimeAxis(50, 50), heights=["surprisal", "length"])
    assert values.features == ("words surprisal", "words length")
    assert values.values[5].tolist() == [4.0, 3.0] and values.values[25].tolist() == [-3.0, 3.0]
    assert impulses(events, axis=TimeAxis(50, 50), heights="length").features == ("words length",)
    assert impulses(events, axis=TimeAxis(50, 50)).values[5, 0] == 2


def test_one_feature_per_label_is_sparse():
    events = _events(0.1, 0.2, 0.3, labels=("b", "a", "b"), duration=("1", "2", "3"))
    phones = impulses(events, axis=TimeAxis(50, 50), by_label=True)
    assert phones.is_sparse and phones.features == ("words a", "words b")
    assert np.argwhere(phones.block(0, 2)).tolist() == [[5, 1], [10, 0], [15, 1]]
    durations = impulses(events, axis=TimeAxis(50, 50), by_label=True, heights=["duration"])
    assert durations.features == ("words a duration", "words b duration")
    assert durations.block(0, 2).sum(axis=0).tolist() == [2, 4]


def test_no_events_no_impulses():
    assert not impulses(_events(), axis=TimeAxis(50, 50)).values.any()
    assert impulses(_events(), axis=TimeAxis(50, 50), by_label=True).values.shape == (50, 0)
    assert impulses(_events(), axis=TimeAxis(50, 0), place="shared").values.shape == (0, 1)


@pytest.mark.parametrize("place", ["nearest", "shared"])
def test_events_outside_the_clock(place):
    axis = TimeAxis(50, 10, "0.1")
    inside = _events("0.0901", "0.2", "0.2899")
    values = impulses(inside, axis=axis, place=place).values[:, 0]
    assert values.sum() == pytest.approx(3) and values[0] == 1 and values[5] == pytest.approx(1)
    outside = _events("0.0899", "0.2", "0.29", "7")
    with pytest.raises(ValueProblem, match=r"outside the clock[\s\S]*3 of 4, the first at 0.0899 s[\s\S]*drop"):
        impulses(outside, axis=axis, place=place)
    dropped = impulses(outside, axis=axis, place=place, outside="drop")
    assert dropped.values.sum() == 1 and dropped.provenance.steps[-1].parameters["outside"] == "drop"


def test_what_cannot_be_done_is_refused():
    with pytest.raises(UnknownName, match=r"placing of impulses[\s\S]*nearest, shared"):
        impulses(_events(0.1), axis=HUBERT, place="floor")
    with pytest.raises(UnknownName, match="treatment of events outside the clock"):
        impulses(_events(0.1), axis=HUBERT, outside="clip")
    with pytest.raises(UnknownName, match="column of 'words'"):
        impulses(_events(0.1), axis=HUBERT, heights="surprisal")
    with pytest.raises(ValueProblem, match="not a number everywhere"):
        impulses(_events(0.1, labels=("x",), surprisal=("",)), axis=HUBERT, heights="surprisal")
