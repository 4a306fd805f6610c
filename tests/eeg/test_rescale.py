"""Robust scaling, resampling and Butterworth filters do what they say, to the numbers."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy import signal

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.eeg.clean import Butterworth, Resample, RobustScale, clean

RATE = 256


def raw_of(values: np.ndarray, *, kinds: str | list[str] = "eeg") -> mne.io.RawArray:
    names = [f"E{i}" for i in range(len(values))]
    return mne.io.RawArray(values, mne.create_info(names, RATE, kinds), verbose="error")


def noise(n_channels: int = 3, seconds: int = 20) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 1e-5 * (rng.standard_t(2, (n_channels, RATE * seconds)) + 3)


def test_the_median_is_zero_and_the_quartiles_are_one_apart() -> None:
    values = noise()
    scaled = RobustScale()(raw_of(values)).get_data()
    np.testing.assert_allclose(np.median(scaled, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.subtract(*np.percentile(scaled, [75, 25], axis=1)), 1)
    np.testing.assert_allclose(np.corrcoef(scaled[0], values[0])[0, 1], 1)


def test_outliers_and_units_do_not_matter() -> None:
    values = noise()
    scaled = RobustScale()(raw_of(values)).get_data()
    np.testing.assert_allclose(RobustScale()(raw_of(1e6 * values)).get_data(), scaled, rtol=1e-9)
    spoilt = values.copy()
    spoilt[range(3), values.argmax(axis=1)] *= 1e6
    np.testing.assert_allclose(RobustScale()(raw_of(spoilt)).get_data()[:, :10], scaled[:, :10], rtol=1e-9)


def test_only_eeg_is_scaled_and_marks_stay() -> None:
    raw = raw_of(noise(), kinds=["eeg", "eog", "eeg"])
    raw.info["bads"] = ["E2"]
    scaled = RobustScale()(raw)
    np.testing.assert_array_equal(scaled.get_data(picks="eog"), raw.get_data(picks="eog"))
    assert scaled.info["bads"] == ["E2"]


def test_a_channel_that_is_silent_most_of_the_time_is_named() -> None:
    values = noise()
    values[1, : RATE * 15] = 0
    with pytest.raises(ValueProblem, match="E1 is constant"):
        RobustScale()(raw_of(values))


@pytest.mark.parametrize("method", ["fft", "polyphase"])
def test_a_slow_wave_survives_resampling(method: str) -> None:
    times = np.arange(RATE * 20) / RATE
    wave = 1e-5 * np.sin(2 * np.pi * 5 * times)[None]
    after = clean(Recording.from_mne(raw_of(wave)), (Resample(128, method),))
    assert (after.axis.rate, after.axis.n) == (128, 20 * 128)
    middle = slice(128, -128)
    np.testing.assert_allclose(after.values[middle, 0], wave[0, ::2][middle], atol=2e-8)
    assert after.provenance.steps[-1].parameters == {"rate": 128, "method": method}


def test_the_zero_phase_filter_is_scipys() -> None:
    sections = signal.butter(3, (1, 8), "bandpass", fs=RATE, output="sos")
    values = noise(seconds=60)
    expected = signal.sosfiltfilt(sections, values, axis=1)
    filtered = Butterworth(1.0, 8.0, order=3)(raw_of(values)).get_data()
    middle = slice(RATE * 15, -RATE * 15)
    np.testing.assert_allclose(filtered[:, middle], expected[:, middle], atol=1e-3 * expected.std())


def test_the_forward_filter_looks_at_the_past_only() -> None:
    values = noise()
    other = values.copy()
    other[:, RATE * 10 :] = 0
    step = Butterworth(1.0, 8.0, phase="forward")
    past = slice(0, RATE * 10)
    np.testing.assert_allclose(
        step(raw_of(values)).get_data()[:, past], step(raw_of(other)).get_data()[:, past], atol=1e-18
    )
    both = Butterworth(1.0, 8.0)
    assert np.abs(both(raw_of(values)).get_data()[:, past] - both(raw_of(other)).get_data()[:, past]).max() > 1e-7


def test_mistakes_are_explained() -> None:
    raw = raw_of(noise())
    with pytest.raises(ValueProblem, match="low below high"):
        Butterworth(8.0, 1.0)(raw)
    with pytest.raises(UnknownName, match="phase of a filter"):
        Butterworth(phase="minimum")(raw)
    with pytest.raises(UnknownName, match="way to resample"):
        Resample(64, "hold")(raw)
    with pytest.raises(ValueProblem, match="a rate must be positive"):
        Resample(-1.0)(raw)
