"""The peak of a response between its samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.time import Lags
from brainalign.encoding.peaks import find_peaks, peak_latency

LAGS = Lags(-5, 20, 50)


def parabola(peak: float, *, bend: float = -40.0, height: float = 3.0) -> np.ndarray:
    return height + bend * (LAGS.seconds - peak) ** 2


@given(st.floats(-0.05, 0.35), st.sampled_from([-1.0, 1.0]), st.floats(1e-9, 1e9))
def test_a_parabola_is_met_exactly_whatever_its_sign_and_unit(peak, sign, unit):
    # A bend so weak that the largest absolute value stays at the top.
    response = sign * unit * parabola(peak, bend=-10.0)
    assert peak_latency(response, LAGS) == pytest.approx(peak, abs=1e-9)


@pytest.mark.parametrize("peak", [0.08, 0.123, 0.2, 0.2599])
def test_a_smooth_response_of_brain_width_is_met_within_a_millisecond(peak):
    response = np.exp(-0.5 * ((LAGS.seconds - peak) / 0.03) ** 2)
    assert peak_latency(response, LAGS) == pytest.approx(peak, abs=1e-3)


def test_the_deeper_trough_wins_over_the_peak():
    response = np.zeros(LAGS.n)
    response[[7, 15]] = 2.0, -3.0
    assert peak_latency(response, LAGS) == pytest.approx(LAGS.seconds[15])


def test_two_equal_neighbours_share_the_peak():
    response = np.zeros(LAGS.n)
    response[[10, 11]] = 1.0
    assert peak_latency(response, LAGS) == pytest.approx(LAGS.seconds[[10, 11]].mean())


@pytest.mark.parametrize("at", [0, -1])
def test_a_peak_at_the_edge_is_left_at_the_edge(at):
    response = np.zeros(LAGS.n)
    response[at] = 1.0
    assert peak_latency(response, LAGS) == LAGS.seconds[at]


def test_a_flat_response_peaks_at_the_first_lag():
    assert peak_latency(np.zeros(LAGS.n), LAGS) == LAGS.seconds[0]


def test_one_or_two_lags_are_no_parabola():
    assert peak_latency(np.array([1.0]), Lags(3, 3, 50)) == pytest.approx(0.06)
    assert peak_latency(np.array([1.0, 2.0]), Lags(0, 1, 50)) == pytest.approx(0.02)


def test_what_gathers_at_the_edge_is_no_peak():
    """A window that ends before the response does lets the last lag stand for all that follows."""
    response = np.exp(-0.5 * ((LAGS.seconds - 0.26) / 0.03) ** 2)
    response[-1] = -1.5
    assert peak_latency(response, LAGS) == pytest.approx(0.26, abs=1e-3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=26, max_size=26))
def test_the_refined_peak_stays_within_half_a_step_of_a_sample_that_no_neighbour_tops(values):
    response = np.array(values)
    size = np.abs(response)
    at = int(np.abs(LAGS.seconds - peak_latency(response, LAGS)).argmin())
    reach = np.abs(LAGS.seconds - peak_latency(response, LAGS))
    near = [i for i in (at - 1, at, at + 1) if 0 <= i < LAGS.n and reach[i] <= 0.01 + 1e-9]
    assert any(size[i] >= size[max(i - 1, 0)] and size[i] >= size[min(i + 1, LAGS.n - 1)] for i in near)


def test_the_response_is_not_touched():
    response = parabola(0.1)
    before = response.copy()
    peak_latency(response, LAGS)
    np.testing.assert_array_equal(response, before)


def test_many_peaks_at_once_are_those_of_each(rng):
    responses = rng.standard_normal((4, 3, LAGS.n))
    found = find_peaks(responses, LAGS)
    alone = [[peak_latency(response, LAGS) for response in row] for row in responses]
    np.testing.assert_array_equal(found.latency, alone)
    assert found.found.all()


@given(st.floats(-0.05, 0.35), st.sampled_from([-1.0, 1.0]))
def test_the_height_of_a_parabola_is_met_exactly(peak, sign):
    found = find_peaks(sign * parabola(peak, bend=-10.0), LAGS)
    assert float(found.amplitude) == pytest.approx(sign * 3.0, abs=1e-9)


def test_polarity_and_window_choose_among_peaks():
    response = np.zeros(LAGS.n)
    response[[7, 15, 20]] = 2.0, -3.0, 1.0
    seconds = LAGS.seconds
    for polarity, window, at, height in (
        ("either", None, 15, -3.0),
        ("positive", None, 7, 2.0),
        ("negative", None, 15, -3.0),
        ("positive", (seconds[10], seconds[-1]), 20, 1.0),
        ("either", (seconds[19], seconds[20]), 20, 1.0),
    ):
        found = find_peaks(response, LAGS, polarity=polarity, window=window)
        assert float(found.latency) == pytest.approx(seconds[at])
        assert float(found.amplitude) == height
        assert found.found


def test_where_there_is_no_peak_the_largest_of_the_window_is_told_as_none():
    found = find_peaks(np.arange(LAGS.n, dtype=float), LAGS, window=(0.0, 0.1))
    assert not found.found
    assert (float(found.latency), float(found.amplitude)) == (pytest.approx(0.1), 10.0)


def test_what_has_no_peaks_to_look_for_is_refused():
    with pytest.raises(ValueProblem, match="must hold lags of the model"):
        find_peaks(np.zeros(LAGS.n), LAGS, window=(1.0, 2.0))
    with pytest.raises(UnknownName, match="no polarity"):
        find_peaks(np.zeros(LAGS.n), LAGS, polarity="up")
    with pytest.raises(ShapeMismatch, match="a value per lag"):
        find_peaks(np.zeros(3), LAGS)
