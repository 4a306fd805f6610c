"""Filters and resampling keep time and band: impulses, gains and aliases, from 128 to 8192 Hz down to 50 and 64 Hz."""

from __future__ import annotations

from fractions import Fraction

import mne
import numpy as np
import pytest

from brainalign.align.grid import recording_on_axis
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.eeg.clean import BandPass, Butterworth, LineNoise

RATES = (128, 500, 512, 1000, 8192)
TARGETS = (50, 64)
PASS_DB, ALIAS_DB = 0.1, -60.0
# Of the slower Nyquist rate: flat up to here, and gone from the Nyquist rate on.
FLAT_TO = 0.8


def _recording(values: np.ndarray, *, rate: int) -> Recording:
    names = tuple(f"E{i}" for i in range(values.shape[1]))
    places = np.full((len(names), 3), np.nan)
    return Recording(values, TimeAxis(rate, len(values)), names, ("eeg",) * len(names), places)


def _waves(hertz: np.ndarray, *, rate: int, seconds: int) -> Recording:
    times = np.arange(rate * seconds) / rate
    return _recording(1e-5 * np.cos(2 * np.pi * np.outer(times, hertz) + 0.3), rate=rate)


def _target(rate: int, *, seconds: int) -> TimeAxis:
    """Frames whose first centre falls between samples, away from the recording's edges."""
    return TimeAxis(rate, (seconds - 4) * rate, Fraction("2.01247"))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rate", RATES)
class TestResampling:
    def test_pass_band_phase_and_origin(self, rate, target):
        hertz = np.linspace(0.5, FLAT_TO * target / 2, 8)
        axis = _target(target, seconds=8)
        found = recording_on_axis(_waves(hertz, rate=rate, seconds=8), axis).values
        expected = 1e-5 * np.cos(2 * np.pi * np.outer(axis.times, hertz) + 0.3)
        gains = np.sqrt(np.mean(found**2, axis=0) / np.mean(expected**2, axis=0))
        assert np.abs(20 * np.log10(gains)).max() < PASS_DB
        # Sample by sample: a delay of a thousandth of a sample would show.
        np.testing.assert_allclose(found, expected, atol=1e-5 * 2e-3)

    def test_aliases(self, rate, target):
        hertz = np.linspace(target / 2, min(rate / 2, 12 * target) * 0.999, 24)
        found = recording_on_axis(_waves(hertz, rate=rate, seconds=8), _target(target, seconds=8)).values
        assert 20 * np.log10(np.abs(found).max() / 1e-5) < ALIAS_DB

    def test_an_impulse_stays_within_half_a_sample(self, rate, target):
        where = rate * 4 + 1
        values = np.zeros((rate * 8, 1))
        values[where] = 1.0
        axis = TimeAxis(target, 4 * target, Fraction("2.01247"))
        answer = recording_on_axis(_recording(values, rate=rate), axis).values[:, 0]
        assert abs(axis.times[int(answer.argmax())] - where / rate) <= 0.5 / target
        centre = float(answer @ axis.times / answer.sum())
        assert abs(centre - where / rate) < 0.01 / target


@pytest.mark.parametrize("rate", RATES)
class TestFilters:
    def _impulse(self, step, *, rate: int, seconds: int = 24) -> tuple[np.ndarray, int]:
        where = rate * seconds // 2
        values = np.zeros((1, rate * seconds))
        values[0, where] = 1.0
        raw = mne.io.RawArray(values, mne.create_info(["Cz"], rate, "eeg"), verbose="error")
        return step(raw).get_data()[0], where

    @pytest.mark.parametrize("step", [BandPass(1, 15), BandPass(0.5, None), BandPass(None, 20), LineNoise()])
    def test_no_delay_and_a_flat_pass_band(self, step, rate):
        answer, where = self._impulse(step, rate=rate)
        assert int(np.abs(answer).argmax()) == where
        reach = 5 * rate
        around = answer[where - reach : where + reach + 1]
        np.testing.assert_allclose(around, around[::-1], atol=1e-10)
        hertz = np.fft.rfftfreq(answer.size, 1 / rate)
        gain = 20 * np.log10(np.maximum(np.abs(np.fft.rfft(answer)), 1e-9))
        low, high = getattr(step, "low", None) or 0, getattr(step, "high", None) or 0.9 * rate / 2
        inside = (hertz >= low) & (hertz <= high)
        if isinstance(step, LineNoise):
            inside &= np.abs(hertz - 50) >= 1.0
        assert np.abs(gain[inside]).max() < PASS_DB

    def test_a_butterworth_run_both_ways_has_no_delay(self, rate):
        answer, where = self._impulse(Butterworth(1, 8), rate=rate)
        assert int(answer.argmax()) == where
