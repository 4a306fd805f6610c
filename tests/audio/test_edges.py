"""The auditory edge detector: rises and nothing else, on time."""

import numpy as np
import pytest
from scipy import special

from brainalign.audio.acoustic import acoustic
from brainalign.audio.baselines import read_name
from brainalign.audio.edges import EDGE_DELAY, EDGE_RATE, edge_detector
from brainalign.core.errors import GridMismatch, NotFinite, ShapeMismatch, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

RATE = 16_000


def _smooth_step(rate, *, at=0.5, width=0.002, seconds=1.0):
    axis = TimeAxis(rate, int(rate * seconds))
    return special.ndtr((axis.times - at) / width)[:, None], axis


@pytest.mark.parametrize("rate", [500, 1000, 2003, 8000])
@pytest.mark.parametrize("saturation", [None, 30.0])
def test_a_rise_peaks_after_the_documented_delay(rate, saturation):
    step, axis = _smooth_step(rate)
    edges = edge_detector(5 * step, axis, saturation=saturation)[:, 0]
    assert axis.moved(-EDGE_DELAY).times[edges.argmax()] == pytest.approx(0.5, abs=0.5 / rate + 0.6e-3)


def test_the_delay_is_where_the_kernel_turns():
    """In continuous time the response to a step peaks where that to an impulse crosses zero."""
    taus = np.linspace(0.003, 0.005, 10)
    place = np.arange(10) - 4.5
    weights = -place * np.exp(-(place**2) / 8)
    seconds = np.linspace(0.006, 0.009, 30_001)[:, None]
    response = (weights * seconds / taus**2 * np.exp(-seconds / taus)).sum(axis=1)
    assert seconds[np.argmax(response < 0), 0] == pytest.approx(float(EDGE_DELAY), abs=1e-6)


def test_a_fall_is_no_rise_and_a_rise_no_fall():
    step, axis = _smooth_step(1000)
    rise, fall = edge_detector(step, axis), edge_detector(1 - step, axis)
    assert fall.max() < 1e-12 < 1e-3 < rise.max()
    np.testing.assert_allclose(
        edge_detector(1 - step, axis, offsets=True, saturation=None),
        edge_detector(step, axis, saturation=None),
        atol=1e-12,
    )


def test_a_steady_band_has_no_edges_however_it_begins():
    axis = TimeAxis(1000, 200)
    assert edge_detector(np.full((200, 2), 7.0), axis).max() < 1e-12
    assert not edge_detector(np.zeros((200, 2)), axis).any()
    assert edge_detector(np.full((1, 2), 7.0), TimeAxis(1000, 1)).shape == (1, 2)


def test_bands_do_not_hear_each_other(rng):
    values, axis = rng.random((400, 3)), TimeAxis(1000, 400)
    together = edge_detector(values, axis)
    for i in range(3):
        np.testing.assert_array_equal(together[:, i : i + 1], edge_detector(values[:, i : i + 1], axis))


def test_without_saturation_it_is_linear_in_height_and_with_it_loud_rises_gain_less():
    step, axis = _smooth_step(1000)
    low, high = (edge_detector(height * step, axis, saturation=None).max() for height in (1, 10))
    assert high == pytest.approx(10 * low)
    low, high = (edge_detector(height * step, axis, saturation=1.0).max() for height in (1, 10))
    assert high < 5 * low
    # A wide saturation is a scale: tanh(s / 2c) is s / 2c for a small s.
    wide = edge_detector(step, axis, saturation=1e4)
    np.testing.assert_allclose(2e4 * wide, edge_detector(step, axis, saturation=None), rtol=1e-4, atol=1e-9)


def test_the_clock_does_not_matter():
    """The same rise seen at 1 kHz and at 4 kHz gives the same edge, sample for sample."""
    (slow, slow_axis), (fast, fast_axis) = _smooth_step(1000), _smooth_step(4000)
    np.testing.assert_allclose(edge_detector(fast, fast_axis)[::4], edge_detector(slow, slow_axis), atol=5e-5)


@pytest.mark.parametrize("name", ["gammatone-8-edges", "gammatone-envelope-edges"])
@pytest.mark.parametrize("axis", [TimeAxis(50, 149, "399/32000"), TimeAxis(100, 300), TimeAxis(400, 1200)])
def test_as_a_baseline_an_edge_stands_where_the_sound_rises(name, axis, rng):
    noise = 0.1 * rng.standard_normal(3 * RATE)
    noise[: RATE * 3 // 2] *= 1e-3
    sound = Stimulus("test", noise, TimeAxis(RATE, noise.size))
    values = acoustic(sound, [name], axis=axis).values
    middle = (axis.times > 0.2) & (axis.times < 2.8)
    peaks = axis.times[middle][values[middle].argmax(axis=0)]
    # A logarithm sees a rise early: by less than the 10 ms its magnitudes are averaged over, and the ring of a filter.
    assert np.median(peaks) == pytest.approx(1.5, abs=max(0.011, float(axis.step)))


def test_edges_are_detected_at_a_kilohertz_and_their_delay_taken_back():
    sound = Stimulus("test", np.zeros(RATE), TimeAxis(RATE, RATE, "0.25"))
    values, axis = read_name("gammatone-8-edges")(sound)
    assert axis.rate == EDGE_RATE and axis.t0 == TimeAxis(1, 1, "0.25").t0 - EDGE_DELAY
    assert values.shape == (1000 + 8, 8) and not values.any()


def test_what_cannot_be_done_is_refused():
    with pytest.raises(GridMismatch, match=r"so slow a clock[\s\S]*400 Hz[\s\S]*500 Hz or more"):
        edge_detector(np.zeros((10, 1)), TimeAxis(400, 10))
    with pytest.raises(ValueProblem, match=r"saturation must be positive[\s\S]*saturation=0"):
        edge_detector(np.zeros((10, 1)), TimeAxis(1000, 10), saturation=0)
    with pytest.raises(ShapeMismatch, match="samples of the axis, bands"):
        edge_detector(np.zeros((10, 1)), TimeAxis(1000, 11))
    with pytest.raises(NotFinite, match="magnitudes"):
        edge_detector(np.full((10, 1), np.nan), TimeAxis(1000, 10))
