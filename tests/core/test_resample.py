"""From one exact clock to another: the numbers the documentation gives, measured."""

import time
from fractions import Fraction

import numpy as np
import pytest
from scipy import signal, sparse

from brainalign.core import resample as module
from brainalign.core.errors import GridMismatch, ShapeMismatch
from brainalign.core.resample import HALF_WIDTH_CYCLES, interpolation_matrix, resample
from brainalign.core.time import TimeAxis

PAIRS = [(128, 50), (64, 50), (50, 128), (1000, 64), (Fraction(16_000, 321), 64), (100, 100)]


def _axes(source_rate, target_rate, *, seconds=8, t0="0.01247") -> tuple[TimeAxis, TimeAxis]:
    source = TimeAxis(source_rate, int(seconds * source_rate))
    return source, TimeAxis(target_rate, int((seconds - Fraction(1, 10)) * target_rate), t0)


def _nyquist(source: TimeAxis, target: TimeAxis) -> float:
    return float(min(source.rate, target.rate) / 2)


def _gain(source: TimeAxis, target: TimeAxis, frequencies: np.ndarray) -> np.ndarray:
    """Complex gain at each frequency (relative to the slower Nyquist rate) over the inner targets."""
    hertz = frequencies * _nyquist(source, target)
    waves = np.exp(2j * np.pi * source.times[:, None] * hertz)
    out = interpolation_matrix(source, target) @ waves
    edge = int(1.2 * HALF_WIDTH_CYCLES / (2 * 0.45 * float(min(source.rate, target.rate))) * float(target.rate)) + 1
    return (out / np.exp(2j * np.pi * target.times[:, None] * hertz))[edge:-edge]


class TestAccuracy:
    """Gain, delay and edges."""

    @pytest.mark.parametrize(("source_rate", "target_rate"), PAIRS)
    def test_pass_band_is_flat_to_a_hundredth_of_a_percent_and_not_delayed(self, source_rate, target_rate):
        gain = _gain(*_axes(source_rate, target_rate), np.linspace(0, 0.82, 40))
        assert np.abs(gain - 1).max() < 1e-4

    @pytest.mark.parametrize(("source_rate", "target_rate"), PAIRS)
    def test_half_is_left_at_nine_tenths(self, source_rate, target_rate):
        np.testing.assert_allclose(_gain(*_axes(source_rate, target_rate), np.array([0.9])), 0.5, atol=1e-4)

    @pytest.mark.parametrize(("source_rate", "target_rate"), PAIRS)
    def test_stop_band_is_82_db_down(self, source_rate, target_rate):
        source, target = _axes(source_rate, target_rate)
        top = float(source.rate / 2) / _nyquist(source, target)
        gain = _gain(source, target, np.linspace(0.98, max(1.0, top), 100))
        assert 20 * np.log10(np.abs(gain).max()) < -82

    @pytest.mark.parametrize(("source_rate", "target_rate"), PAIRS)
    def test_a_constant_stays_one_up_to_the_edges(self, source_rate, target_rate):
        source, target = _axes(source_rate, target_rate)
        np.testing.assert_allclose(resample(np.full((source.n, 2), 7.5), source, target), 7.5, rtol=1e-13)

    @pytest.mark.parametrize("shift", ["0", "1/1000", "399/32000", "1/2", "12.47e-3"])
    def test_any_origin_is_honoured(self, shift):
        source = TimeAxis(128, 1280)
        target = TimeAxis(50, 300, Fraction(2) + Fraction(shift))

        def sound(times):
            return np.sin(2 * np.pi * 6.3 * times + 0.4)

        np.testing.assert_allclose(resample(sound(source.times), source, target), sound(target.times), atol=1e-4)

    def test_moving_both_clocks_changes_nothing(self, rng):
        source, target = _axes(128, 50)
        values = rng.normal(size=source.n)
        moved = resample(values, source.moved("1/3"), target.moved("1/3"))
        np.testing.assert_array_equal(moved, resample(values, source, target))

    def test_it_agrees_with_a_polyphase_resampler_on_a_band_limited_signal(self, rng):
        source, target = TimeAxis(128, 1280), TimeAxis(64, 640)
        low = signal.sosfiltfilt(signal.butter(8, 12, fs=128, output="sos"), rng.normal(size=1280))
        other = signal.resample_poly(low, 1, 2, window=("kaiser", 8.6))
        np.testing.assert_allclose(resample(low, source, target)[60:-60], other[60:-60], atol=2e-3)

    def test_there_and_back_is_where_it_started(self, rng):
        """Both clocks hold a signal below 0.82 of the slower Nyquist rate, so nothing is lost on the way."""
        source, between = TimeAxis(50, 800), TimeAxis(128, 2040, "0.003")
        low = signal.sosfiltfilt(signal.butter(10, 12, fs=50, output="sos"), rng.normal(size=800))
        back = resample(resample(low, source, between), between, source.part(1, 795))
        np.testing.assert_allclose(back[80:-80], low[1:795][80:-80], atol=1e-3)

    def test_two_steps_are_one(self, rng):
        """On a signal that every clock can hold, going by way of a third clock changes nothing."""
        source, between, target = TimeAxis(128, 2048), TimeAxis(100, 1590, "0.01"), TimeAxis(64, 1000, "0.1")
        low = signal.sosfiltfilt(signal.butter(10, 15, fs=128, output="sos"), rng.normal(size=2048))
        direct = resample(low, source, target)
        detour = resample(resample(low, source, between), between, target)
        np.testing.assert_allclose(detour[80:-80], direct[80:-80], atol=1e-3)


class TestForm:
    """Shapes, dtypes, blocks and refusals."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
    def test_shape_and_dtype_are_kept(self, rng, dtype, shape):
        source, target = _axes(128, 50)
        values = rng.normal(size=(source.n, *shape)).astype(dtype)
        out = resample(values, source, target)
        assert out.shape == (target.n, *shape)
        assert out.dtype == dtype
        weights = interpolation_matrix(source, target)
        expected = (weights @ values.reshape(source.n, -1 if values.size else 0)).reshape(out.shape)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)

    def test_integers_are_not_cut_off(self):
        source, target = _axes(128, 50)
        values = np.arange(source.n, dtype=np.int16)
        np.testing.assert_allclose(resample(values, source, target)[80:-80], (target.times * 128)[80:-80], atol=0.05)
        assert resample(values, source, source).dtype == float

    def test_the_same_clock_gives_a_copy(self, rng):
        values = rng.normal(size=(10, 2))
        out = resample(values, TimeAxis(50, 10), TimeAxis("100/2", 10))
        np.testing.assert_array_equal(out, values)
        assert not np.shares_memory(out, values)

    def test_blocks_do_not_show(self, rng, monkeypatch):
        source, target = _axes(Fraction(16_000, 321), 64)
        values = rng.normal(size=(source.n, 2))
        whole, weights = resample(values, source, target), interpolation_matrix(source, target)
        monkeypatch.setattr(module, "_BLOCK_WEIGHTS", 1000)
        np.testing.assert_array_equal(resample(values, source, target), whole)
        assert abs(interpolation_matrix(source, target) - weights).max() == 0

    def test_whole_numbers_of_any_size_give_the_same_weights(self, monkeypatch):
        source, target = _axes(128, Fraction(49_999, 1000), t0="0.012345678901234567")
        quick = interpolation_matrix(source, target)
        monkeypatch.setattr(module, "_INT64_LIMIT", 0)
        assert abs(interpolation_matrix(source, target) - quick).max() == 0

    def test_clocks_whose_numbers_need_more_than_64_bits(self):
        rate = Fraction(50) + Fraction(1, 3**50)
        source, target = TimeAxis(128, 1280), TimeAxis(rate, 450, Fraction(1, 7**30))
        close = interpolation_matrix(source, TimeAxis(50, 450))
        assert abs(interpolation_matrix(source, target) - close).max() < 1e-9

    def test_weights_are_a_csr_matrix_of_the_two_lengths(self):
        source, target = _axes(128, 50)
        weights = interpolation_matrix(source, target)
        assert isinstance(weights, sparse.csr_array)
        assert weights.shape == (target.n, source.n)
        assert weights.has_canonical_format
        assert interpolation_matrix(source, target.part(5, 5)).shape == (0, source.n)

    def test_the_callers_values_are_left_alone(self, rng):
        source, target = _axes(128, 50)
        values = rng.normal(size=(source.n, 1))
        before = values.copy()
        resample(values, source, target)
        np.testing.assert_array_equal(values, before)

    @pytest.mark.parametrize(
        "target", [TimeAxis(50, 10, "-0.02"), TimeAxis(50, 500, "0.04"), TimeAxis(50, 1, 11), TimeAxis(50, 1, -1)]
    )
    def test_times_outside_are_refused(self, target):
        source = TimeAxis(128, 1280)
        with pytest.raises(GridMismatch, match=r"(?s)reach outside the signal.*1280 samples at 128 Hz.*TimeAxis\.part"):
            resample(np.zeros(1280), source, target)

    def test_half_a_step_outside_is_forgiven(self):
        source = TimeAxis(128, 1280)
        out = resample(np.ones(1280), source, TimeAxis(50, 501, "-0.005"))
        np.testing.assert_allclose(out, 1, rtol=1e-13)

    def test_nothing_comes_from_nothing(self):
        empty = TimeAxis(128, 0)
        assert resample(np.zeros((0, 2)), empty, TimeAxis(50, 0)).shape == (0, 2)
        with pytest.raises(GridMismatch, match="reach outside"):
            resample(np.zeros((0, 2)), empty, TimeAxis(50, 1))

    def test_a_wrong_length_is_refused(self):
        source, target = _axes(128, 50)
        with pytest.raises(ShapeMismatch, match="values must have shape"):
            resample(np.zeros(source.n + 1), source, target)


def test_ten_minutes_of_frames_take_a_moment():
    source, target = TimeAxis(128, 601 * 128), TimeAxis(50, 30_000, "399/32000")
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        interpolation_matrix(source, target)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.5
