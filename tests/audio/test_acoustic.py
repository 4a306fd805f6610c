"""Acoustic baselines: what they say, and above all when."""

from fractions import Fraction

import numpy as np
import pytest

from brainalign.audio.acoustic import BASELINES, FINE_RATE, acoustic, fine_axis, mel_weights
from brainalign.core.errors import GridMismatch, UnknownName, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

RATE = 16_000
HUBERT = TimeAxis(50, 149, Fraction(399, 32_000))


def _sound(waveform, rate=RATE):
    return Stimulus("test", np.asarray(waveform, dtype=np.float32), TimeAxis(rate, len(waveform)))


@pytest.mark.parametrize("at", [8_000, 16_100, 24_037, 30_001])
@pytest.mark.parametrize("axis", [HUBERT, TimeAxis(64, 190), TimeAxis(100, 299, "0.002")])
def test_a_click_peaks_at_its_own_time(at, axis):
    waveform = np.zeros(3 * RATE)
    waveform[at] = 1.0
    values = acoustic(_sound(waveform), ["envelope", "mel"], axis=axis).values
    peaks = axis.times[values.argmax(axis=0)]
    assert np.abs(peaks - at / RATE).max() <= float(axis.step) / 2 + 1e-9


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_an_onset_is_stamped_with_the_rise(rate, rng):
    waveform = 0.3 * rng.standard_normal(3 * rate)
    waveform[: rate * 3 // 2] = 0
    onset = acoustic(_sound(waveform, rate), ["onsets"], axis=HUBERT)
    assert abs(HUBERT.times[onset.values.argmax()] - 1.5) <= 0.01
    # Only rises count: the end of the noise is no louder than the noise itself flickers.
    waveform = waveform[::-1].copy()
    fall = acoustic(_sound(waveform, rate), ["onsets"], axis=HUBERT).values
    assert fall[65:90].max() < 0.2 * onset.values.max()


def test_a_tone_lights_its_own_band():
    seconds = np.arange(3 * RATE) / RATE
    loudest = []
    for hertz in (150, 400, 800, 1300, 2000, 3000, 4200, 6000):
        values = acoustic(_sound(0.3 * np.sin(2 * np.pi * hertz * seconds)), ["mel"], axis=HUBERT).values
        loudest.append(int(values[50:100].mean(axis=0).argmax()))
    assert loudest == sorted(loudest)
    assert loudest[0] == 0 and loudest[-1] == 7


def test_the_envelope_follows_a_slow_modulation(rng):
    seconds = np.arange(3 * RATE) / RATE
    modulation = 1 + 0.8 * np.sin(2 * np.pi * 4 * seconds)
    envelope = acoustic(_sound(0.1 * modulation * rng.standard_normal(3 * RATE)), ["envelope"], axis=HUBERT).values[
        :, 0
    ]
    expected = 1 + 0.8 * np.sin(2 * np.pi * 4 * HUBERT.times)
    assert np.corrcoef(envelope, expected**0.6)[0, 1] > 0.98


def test_the_envelope_is_a_compressed_magnitude(rng):
    """Ten times the amplitude gives 10 ** 0.6 times the envelope (power to the 0.3)."""
    noise = 0.05 * rng.standard_normal(3 * RATE)
    quiet, loud = (acoustic(_sound(gain * noise), ["envelope"], axis=HUBERT).values for gain in (1, 10))
    np.testing.assert_allclose(loud / quiet, 10**0.6, rtol=1e-4)


def test_features_stand_in_the_order_of_their_names(rng):
    sound = _sound(0.1 * rng.standard_normal(3 * RATE))
    both = acoustic(sound, ["mel", "envelope"], axis=HUBERT)
    assert both.features == (*(f"mel-{i}" for i in range(1, 9)), "envelope")
    assert both.axis == HUBERT and both.values.dtype == np.float32
    alone = acoustic(sound, ["envelope"], axis=HUBERT)
    np.testing.assert_allclose(both.values[:, 8:], alone.values, rtol=1e-6)
    assert set(BASELINES) == {"envelope", "onsets", "mel"}


def test_the_fine_axis_is_exact():
    sound = _sound(np.ones(44_100), rate=44_100)
    axis = fine_axis(sound)
    assert axis.rate == Fraction(44_100, 110) and axis.n == (44_100 - 1) // 110 + 1
    assert abs(axis.rate - FINE_RATE) < 2


def test_mel_filters_sum_to_one():
    weights = mel_weights(8, n_fft=1024, rate=16_000)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert np.all(np.diff(weights.argmax(axis=0)) > 0)


def test_what_cannot_be_done_is_refused(rng):
    sound = _sound(0.1 * rng.standard_normal(RATE))
    with pytest.raises(UnknownName, match="did you mean 'envelope'"):
        acoustic(sound, ["envelop"], axis=TimeAxis(50, 40))
    with pytest.raises(ValueProblem, match="no baseline was named"):
        acoustic(sound, [], axis=TimeAxis(50, 40))
    with pytest.raises(GridMismatch, match="finer than the baselines"):
        acoustic(sound, ["mel"], axis=TimeAxis(1000, 40))
    with pytest.raises(GridMismatch, match="reach outside the signal"):
        acoustic(sound, ["mel"], axis=TimeAxis(50, 80))
