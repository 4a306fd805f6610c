"""Exact clocks and lag windows."""

from fractions import Fraction

import numpy as np
import pytest

from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.time import Lags, TimeAxis, exact, nearest, require_same_axis


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (0.1, Fraction(1, 10)),
        (np.float64(0.1), Fraction(1, 10)),
        (np.float32(0.1), Fraction(1, 10)),
        (1e-3, Fraction(1, 1000)),
        ("16000/320", Fraction(50)),
        ("0.0125", Fraction(1, 80)),
        (np.int64(64), Fraction(64)),
        (Fraction(1, 3), Fraction(1, 3)),
    ],
)
def test_a_number_is_read_as_its_writer_meant_it(value, meant):
    read = exact(value)
    assert read == meant
    assert type(read.numerator) is int


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "fifty", "1/0", None, ""])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueProblem, match="must be a finite number"):
        exact(value)


@pytest.mark.parametrize(("value", "expected"), [("-3/2", -1), ("-1/2", 0), ("1/2", 1), ("3/2", 2), ("5/2", 3), (0, 0)])
def test_halves_are_rounded_up_everywhere(value, expected):
    assert nearest(Fraction(value)) == expected


def test_float_labels_would_lose_what_the_axis_keeps():
    one, other = np.arange(1000) / 100, np.arange(1000) * 0.01
    assert np.isin(one, other).sum() == 871
    assert TimeAxis(100, 1000) == TimeAxis(1 / 0.01, 1000)


def test_labels_are_the_floats_nearest_to_the_exact_times():
    axis = TimeAxis(50, 3000)
    assert all(label == float(axis.time(i)) for i, label in enumerate(axis.times))


def test_numpy_integers_do_not_overflow_inside_a_fraction():
    axis = TimeAxis(1, np.int64(10), t0=Fraction(1, 3**40))
    assert axis.time(np.int64(9)) == 9 + Fraction(1, 3**40)
    assert type(axis.n) is int


@pytest.mark.parametrize("n", [2.5, np.float64(0.1)])
def test_a_broken_sample_is_refused(n):
    with pytest.raises(ValueProblem, match="must be whole"):
        TimeAxis(50, n)


@pytest.mark.parametrize(
    ("rate", "n", "message"), [(0, 3, "rate must be positive"), (-1, 3, "positive"), (50, -1, "0 samples")]
)
def test_impossible_clocks_are_refused(rate, n, message):
    with pytest.raises(ValueProblem, match=message):
        TimeAxis(rate, n)


def test_part_outside_is_refused_with_the_range():
    with pytest.raises(ValueProblem, match="samples 2 to 11 of 10"):
        TimeAxis(50, 10).part(2, 11)


def test_duration_counts_the_last_step():
    assert TimeAxis(50, 100).duration == 2


def test_two_clocks_are_equal_or_refused():
    one, other = TimeAxis(50, 100), TimeAxis(50, 100, t0="0.0125")
    require_same_axis(one, TimeAxis("100/2", 100, 0.0), names=("a", "b"))
    with pytest.raises(GridMismatch, match=r"(?s)a and b are not on one time axis.*brainalign\.core\.resample"):
        require_same_axis(one, other, names=("a", "b"))


def test_axis_and_lags_survive_json_exactly():
    axis, lags = TimeAxis("16000/321", 7, t0="399/32000"), Lags(-3, 9, Fraction(1000, 21))
    assert TimeAxis.from_json(axis.to_json()) == axis
    assert Lags.from_json(lags.to_json()) == lags
    assert hash(TimeAxis.from_json(axis.to_json())) == hash(axis)


class TestLags:
    """MNE rounds the ends of a lag window, the mTRF toolboxes round them outward."""

    def test_conventions_differ_at_64_hz(self):
        assert Lags.from_seconds(-0.1, 0.4, rate=64) == Lags(-6, 26, 64)
        assert Lags.from_seconds(-0.1, 0.4, rate=64, rounding="outward") == Lags(-7, 26, 64)

    def test_nearest_is_the_window_of_mne(self):
        mne = pytest.importorskip("mne.decoding.receptive_field")
        delays = mne._times_to_delays(-0.1, 0.4, 64)
        assert list(delays) == list(Lags.from_seconds(-0.1, 0.4, rate=64).samples)

    def test_conventions_agree_on_whole_samples(self):
        windows = [Lags.from_seconds(-0.1, 0.4, rate=50, rounding=way) for way in ("nearest", "outward")]
        assert windows[0] == windows[1] == Lags(-5, 20, 50)

    def test_both_ends_are_in_the_window(self):
        lags = Lags(-2, 3, 100)
        assert lags.n == 6
        assert list(lags.samples) == [-2, -1, 0, 1, 2, 3]
        np.testing.assert_allclose(lags.seconds, [-0.02, -0.01, 0, 0.01, 0.02, 0.03], rtol=1e-15)

    @pytest.mark.parametrize(
        ("values", "message"), [((3, 2, 50), "end after it begins"), ((0, 1, 0), "positive"), ((0, 1.5, 50), "whole")]
    )
    def test_impossible_windows_are_refused(self, values, message):
        with pytest.raises(ValueProblem, match=message):
            Lags(*values)
