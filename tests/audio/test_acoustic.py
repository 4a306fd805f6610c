"""Acoustic baselines: what they say, and above all when."""

from fractions import Fraction

import numpy as np
import pytest

from brainalign.audio.acoustic import acoustic
from brainalign.audio.baselines import BASELINES
from brainalign.audio.fine import FINE_RATE, fine_axis
from brainalign.audio.mel import MelBank, mel_weights
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
    assert {"envelope", "onsets", "mel"} < set(BASELINES)


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


NAMES = (
    "hilbert-envelope",
    "hilbert-envelope-onsets",
    "gammatone-envelope",
    "gammatone-envelope-log",
    "gammatone-envelope-edges",
    "gammatone-8",
    "gammatone-16-linear",
    "gammatone-32",
    "gammatone-8-onsets",
    "gammatone-8-log-onsets",
    "gammatone-8-edges",
    "mel-32",
    "mel-16-log",
    "mel-8-onsets",
    "pitch",
    "voicing",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_every_name_on_every_clock(name, rate, rng):
    """Names give as many finite features as they say, called after them, on clocks of any rate and origin."""
    sound = _sound(0.1 * rng.standard_normal(rate), rate)
    count = next((int(part) for part in name.split("-") if part.isdigit()), None)
    expected = (name,) if count is None else tuple(f"{name}-{i + 1}" for i in range(count))
    for axis in (TimeAxis(50, 49, Fraction(399, 32_000)), TimeAxis(Fraction(128, 3), 40), TimeAxis(100, 100)):
        features = acoustic(sound, [name], axis=axis)
        assert features.features == expected and features.axis == axis
        assert np.isfinite(features.values).all()


@pytest.mark.parametrize("name", NAMES)
def test_silence_gives_nothing(name):
    silent = _sound(np.zeros(RATE))
    assert not acoustic(silent, [name], axis=TimeAxis(50, 49)).values.any()


@pytest.mark.parametrize("name", [*NAMES, "envelope", "onsets", "mel"])
def test_one_sample_is_a_sound(name):
    values = acoustic(_sound([0.5]), [name], axis=TimeAxis(50, 1)).values
    assert np.isfinite(values).all() and len(values) == 1


@pytest.mark.parametrize(
    ("name", "late"), [("hilbert-envelope", 0), ("mel-16", 0), ("gammatone-envelope", 2.5e-3), ("gammatone-8", 4.5e-3)]
)
@pytest.mark.parametrize("at", [8_000, 16_100, 30_001])
@pytest.mark.parametrize("axis", [HUBERT, TimeAxis(100, 299, "0.002")])
def test_a_click_peaks_at_its_own_time_in_every_bank(name, late, at, axis):
    """On a slow clock a gammatone's long fall pulls its peak back, in the lowest bands by up to 4 ms."""
    waveform = np.zeros(3 * RATE)
    waveform[at] = 1.0
    values = acoustic(_sound(waveform), [name], axis=axis).values
    off = axis.times[values.argmax(axis=0)] - at / RATE
    half = float(axis.step) / 2 + 1e-6
    assert off.min() >= -half and off.max() <= half + late


@pytest.mark.parametrize("name", ["hilbert-envelope-onsets", "gammatone-8-onsets", "mel-8-onsets"])
def test_onsets_of_every_band_are_stamped_with_the_rise(name, rng):
    waveform = 0.3 * rng.standard_normal(3 * RATE)
    waveform[: RATE * 3 // 2] = 0
    onsets = acoustic(_sound(waveform), [name], axis=HUBERT).values
    window = (HUBERT.times > 1.4) & (HUBERT.times < 1.6)
    peaks = HUBERT.times[window][onsets[window].argmax(axis=0)]
    assert abs(np.median(peaks) - 1.5) <= 0.02
    assert onsets[HUBERT.times < 0.7].max() < 1e-3 * onsets[window].max()


def test_nothing_faster_than_the_clock_gets_through(rng):
    """A modulation of 70 Hz would look like 20 Hz on a 50 Hz clock; it is gone instead."""
    seconds = np.arange(3 * RATE) / RATE
    carrier = np.sin(2 * np.pi * 1000 * seconds)
    names = ["envelope", "hilbert-envelope-linear", "gammatone-envelope-linear"]
    slow, fast = (
        acoustic(_sound(0.2 * (1 + 0.8 * np.sin(2 * np.pi * hertz * seconds)) * carrier), names, axis=HUBERT).values
        for hertz in (10, 70)
    )
    assert (fast[40:-40].std(axis=0) < 0.02 * slow[40:-40].std(axis=0)).all()


def test_the_envelope_of_a_bank_is_the_mean_of_its_bands(rng):
    sound = _sound(0.1 * rng.standard_normal(RATE))
    features = acoustic(sound, ["gammatone-envelope", "gammatone-8", "gammatone-16"], axis=TimeAxis(50, 49)).values
    np.testing.assert_allclose(features[:, 1:9].mean(axis=1), features[:, 0], rtol=1e-4)
    np.testing.assert_allclose(features[:, 9:].mean(axis=1), features[:, 0], rtol=1e-4)


def test_a_spectrum_that_several_share_is_computed_once(monkeypatch, rng):
    calls = []
    compute = MelBank.__call__
    monkeypatch.setattr(MelBank, "__call__", lambda bank, sound: calls.append(bank) or compute(bank, sound))
    names = ["envelope", "mel-8-log", "onsets", "mel"]
    acoustic(_sound(0.1 * rng.standard_normal(RATE)), names, axis=TimeAxis(50, 49))
    assert calls == [MelBank(24), MelBank(8)]


def test_baselines_together_are_as_they_are_alone(rng):
    sound, axis = _sound(0.1 * rng.standard_normal(2 * RATE)), TimeAxis(50, 98, "0.01")
    names = ["gammatone-8-edges", "mel", "pitch", "onsets", "gammatone-8"]
    together = acoustic(sound, names, axis=axis)
    alone = [acoustic(sound, [name], axis=axis) for name in names]
    assert together.features == sum((item.features for item in alone), ())
    np.testing.assert_allclose(together.values, np.hstack([item.values for item in alone]), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("mel-envelope", "simply called 'envelope'"),
        ("hilbert-8", "ask for 'hilbert-envelope'"),
        ("hilbert-envelope-edges", "ask for 'hilbert-envelope'"),
        ("mel-8-edges", "'gammatone-8-edges'"),
        ("gammatone-8-linear-edges", "'gammatone-8-edges'"),
        ("gammatone-200", "ask for 1 to 128"),
        ("mel-65", "ask for 1 to 64"),
    ],
)
def test_names_that_mean_nothing_are_refused(name, fix):
    with pytest.raises(ValueProblem, match=fix):
        acoustic(_sound(np.zeros(RATE)), [name], axis=TimeAxis(50, 40))


@pytest.mark.parametrize("name", ["gammatone-08", "gammatone-8-onset", "mel-", "gammatone", "gammatone-8-", ""])
def test_names_outside_the_rule_are_unknown(name):
    with pytest.raises(UnknownName, match=r"no acoustic baseline of that name[\s\S]*gammatone-8, "):
        acoustic(_sound(np.zeros(RATE)), [name], axis=TimeAxis(50, 40))


def test_one_feature_twice_is_refused():
    with pytest.raises(ValueProblem, match=r"feature names must differ[\s\S]*'pitch' twice"):
        acoustic(_sound(np.zeros(RATE)), ["pitch", "envelope", "pitch"], axis=TimeAxis(50, 40))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 48_000, 96_000])
def test_64_mel_bands_all_hold_bins(rate):
    n_fft = 1 << (2 * (2 * round(rate * 0.0125) + 1) - 1).bit_length()
    weights = mel_weights(64, n_fft=n_fft, rate=rate)
    assert np.isfinite(weights).all() and (weights.sum(axis=0) > 0.999).all()


def test_too_low_a_rate_is_refused():
    slow = _sound(np.zeros(400), rate=200)
    with pytest.raises(ValueProblem, match=r"too low for so many mel bands[\s\S]*24 bands at 200 Hz[\s\S]*fewer"):
        acoustic(slow, ["envelope"], axis=TimeAxis(50, 40))
    with pytest.raises(ValueProblem, match=r"no room for frequency bands[\s\S]*a higher rate"):
        acoustic(_sound(np.zeros(100), rate=100), ["mel"], axis=TimeAxis(50, 40))
    with pytest.raises(ValueProblem, match="too low for this pitch range"):
        acoustic(slow, ["pitch"], axis=TimeAxis(50, 40))
