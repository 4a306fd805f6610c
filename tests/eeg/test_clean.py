"""Cleaning does what each step says, to the numbers, and refuses what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import mne
import numpy as np
import pytest
from scipy import signal

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.eeg.clean import (
    STEPS,
    TRF_DEFAULT,
    TRF_WITHOUT_EOG,
    BadChannels,
    BandPass,
    Interpolate,
    LineNoise,
    OcularRegression,
    Reference,
    clean,
)
from brainalign.eeg.simulate import NoiseLevels, planted_bad_channels, simulate_listener

RATE = 128


def _listener(*, seed: int = 0, seconds: int = 60, rate: int = RATE, **levels: object) -> mne.io.RawArray:
    noise, onsets = NoiseLevels(**levels), {"story": Fraction(10, 3)}
    return simulate_listener([], onsets, seconds=seconds, seed=seed, subject="01", rate=rate, noise=noise)


def _raw(values: np.ndarray, *, kinds: str | list[str] = "eeg", rate: float = RATE) -> mne.io.RawArray:
    names = [f"E{i}" for i in range(len(values))]
    return mne.io.RawArray(values, mne.create_info(names, rate, kinds), verbose="error")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_bad", [0, 1, 3])
def test_planted_bad_channels_are_found_and_no_other(seed: int, n_bad: int) -> None:
    raw = _listener(seed=seed, bad_channels=n_bad)
    truth = planted_bad_channels(NoiseLevels(bad_channels=n_bad), subject="01", seed=seed)
    assert tuple(BadChannels()(LineNoise()(raw)).info["bads"]) == truth


def test_blinks_condemn_nobody() -> None:
    raw = _listener(blink_microvolts=400.0, blinks_per_minute=20.0)
    assert BadChannels()(LineNoise()(raw)).info["bads"] == []


def test_flat_and_unlike_channels_are_found_and_earlier_marks_kept() -> None:
    raw = _listener()
    values = raw.get_data()
    values[10] = 0.0  # an unplugged electrode
    values[20] = np.random.default_rng(0).normal(
        scale=values[20].std(), size=values.shape[1]
    )  # as loud as any, and alone
    spoilt = mne.io.RawArray(values, raw.info, verbose="error")
    spoilt.info["bads"] = ["Oz"]
    found = BadChannels()(spoilt)
    assert set(found.info["bads"]) == {raw.ch_names[10], raw.ch_names[20], "Oz"}
    assert raw.ch_names[20] not in BadChannels(methods=("deviation",))(spoilt).info["bads"]
    assert spoilt.info["bads"] == ["Oz"]


@pytest.mark.parametrize("step", [BandPass(), BandPass(low=None), BandPass(high=None), LineNoise()])
def test_filters_are_zero_phase(step: object) -> None:
    values = np.zeros((2, 30 * RATE))
    values[:, 15 * RATE] = 1e-5
    answer = step(_raw(values, kinds=["eeg", "eog"])).get_data()
    assert (answer.argmax(axis=1) == 15 * RATE).all()
    around = answer[:, 15 * RATE - 600 : 15 * RATE + 601]
    np.testing.assert_allclose(around, around[:, ::-1], atol=1e-12)


def test_band_pass_has_the_edges_it_documents() -> None:
    values = np.zeros((1, 60 * RATE))
    values[:, 30 * RATE] = 1.0
    gain = np.abs(np.fft.rfft(BandPass()(_raw(values)).get_data()[0]))
    hertz = np.fft.rfftfreq(60 * RATE, 1 / RATE)
    decibel = 20 * np.log10(np.maximum(gain, 1e-9))
    assert np.abs(decibel[(hertz > 1.05) & (hertz < 14.9)]).max() < 0.3
    assert decibel[hertz >= 18.8].max() < -45
    assert np.interp([0.5, 16.875], hertz, decibel) == pytest.approx([-6, -6], abs=0.4)


def test_hum_falls_by_thirty_decibels_and_its_neighbourhood_stays() -> None:
    before = _listener(line_microvolts=5.0)
    after = LineNoise()(before)
    hertz, old = signal.welch(before.get_data(), RATE, nperseg=4 * RATE)
    _, new = signal.welch(after.get_data(), RATE, nperseg=4 * RATE)
    change = 10 * np.log10(np.median(new, axis=0) / np.median(old, axis=0))
    assert change[hertz == 50] < -30
    assert np.abs(change[(hertz > 1) & (hertz < 48)]).max() < 0.5


def test_nine_tenths_of_the_blinks_at_fp1_are_removed() -> None:
    with_blinks, without = _listener(seed=2, seconds=120), _listener(seed=2, seconds=120, blink_microvolts=0)

    def cleaned(raw: mne.io.BaseRaw, *, steps: tuple) -> np.ndarray:
        return clean(Recording.from_mne(raw), steps).values[:, 0].astype(float)

    band_only = (BandPass(), Reference())
    blinks_before = cleaned(with_blinks, steps=band_only) - cleaned(without, steps=band_only)
    blinks_after = cleaned(with_blinks, steps=(*band_only, OcularRegression())) - cleaned(without, steps=band_only)
    eyes = BandPass()(with_blinks).get_data(picks="VEOG")[0]
    assert np.var(blinks_after) < 0.1 * np.var(blinks_before)
    assert abs(np.corrcoef(cleaned(with_blinks, steps=TRF_DEFAULT), eyes)[0, 1]) < 0.01


def test_regression_on_the_eyes_commutes_with_the_average_reference() -> None:
    raw = BandPass()(_listener())
    last = OcularRegression()(Reference()(raw)).get_data(picks="eeg")
    eyes, brain = raw.get_data(picks="eog"), raw.get_data(picks="eeg")
    eyes = eyes - eyes.mean(axis=1, keepdims=True)
    first = brain - (brain @ eyes.T) @ np.linalg.inv(eyes @ eyes.T) @ eyes
    np.testing.assert_allclose(last, first - first.mean(axis=0), atol=1e-10)


def test_interpolated_channel_is_like_the_one_that_was_lost() -> None:
    raw = BandPass()(_listener(blink_microvolts=0))
    spoilt = raw.copy()
    lost = raw.ch_names.index("CP3")
    spoilt._data[lost] = 1e-3
    spoilt.info["bads"] = ["CP3"]
    rebuilt = Interpolate()(spoilt)
    assert rebuilt.info["bads"] == []
    assert np.corrcoef(rebuilt.get_data()[lost], raw.get_data()[lost])[0, 1] > 0.9
    others = [i for i in range(64) if i != lost]
    np.testing.assert_array_equal(rebuilt.get_data()[others], raw.get_data()[others])


def test_average_reference_sums_to_zero_and_leaves_the_eyes_alone() -> None:
    raw = _listener()
    after = Reference()(raw)
    assert np.abs(after.get_data(picks="eeg").sum(axis=0)).max() < 1e-15
    np.testing.assert_array_equal(after.get_data(picks="eog"), raw.get_data(picks="eog"))
    mastoids = Reference(("P9", "P10"))(raw).get_data(picks=["P9", "P10"])
    assert np.abs(mastoids.sum(axis=0)).max() < 1e-15


@pytest.mark.parametrize("name", sorted(STEPS))
def test_steps_change_nothing_they_were_given_and_read_lists_as_tuples(name: str) -> None:
    # Muscles are heard above 110 Hz only.
    raw = _listener(seconds=20, rate=320) if name == "muscle_segments" else _listener(seconds=20)
    bads = [] if name in ("laplacian", "rest_reference") else ["Oz"]
    raw.info["bads"] = bads
    if name == "ocular_regression":
        raw.set_eeg_reference("average", projection=False, verbose="error")
    before = raw.get_data().copy()
    step = STEPS[name]()
    step(raw)
    np.testing.assert_array_equal(raw.get_data(), before)
    assert raw.info["bads"] == bads
    hash(step)
    assert LineNoise([50, 60]) == LineNoise((50.0, 60.0))
    assert Reference(["P9"]) == Reference(("P9",))


def test_clean_keeps_clock_onsets_and_identity_and_writes_down_what_it_did() -> None:
    raw = _listener(seconds=30, seed=4, bad_channels=1)
    truth = planted_bad_channels(NoiseLevels(bad_channels=1), subject="01", seed=4)
    before = replace(Recording.from_mne(raw, subject="01", session="2", run="3"), onsets={"story": (Fraction(10, 3),)})
    moved = replace(before, axis=before.axis.moved(5), onsets={"story": (Fraction(25, 3),)})
    after = clean(moved, TRF_DEFAULT)
    assert after.onsets == moved.onsets
    assert after.axis == moved.axis
    assert after.label == "sub-01_ses-2_run-3"
    assert set(after.kinds) == {"eeg"}
    assert len(after.channels) == 64
    assert after.bads == ()
    assert after.values.dtype == np.float32
    np.testing.assert_allclose(after.positions, before.positions[:64], atol=1e-9)
    steps = {step.name: step.parameters for step in after.provenance.steps}
    assert steps["BadChannels"]["marked_bad"] == list(truth)
    assert steps["Interpolate"]["no_longer_bad"] == list(truth)
    assert steps["BandPass"] == {"low": 1.0, "high": 15.0, "low_transition": None, "high_transition": None}
    assert after.values.tobytes() == clean(moved, TRF_DEFAULT).values.tobytes()


def test_a_step_of_ones_own_may_resample_and_crop() -> None:
    before = replace(Recording.from_mne(_listener(seconds=30)), axis=TimeAxis(RATE, 30 * RATE, 7), onsets={})

    def shorter(raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        return raw.copy().crop(2.0).resample(64, verbose="error")

    after = clean(before, (shorter,))
    assert after.axis == TimeAxis(64, 28 * 64, 9)
    assert after.provenance.steps[-1].name == "shorter"


def test_mistakes_are_explained() -> None:
    raw = _listener(seconds=20)
    with pytest.raises(ValueProblem, match=r"half the sampling rate[\s\S]*got: \[64\.0\] Hz"):
        LineNoise((50.0, 64.0))(raw)
    with pytest.raises(ValueProblem, match="leave that frequency out"):
        LineNoise((100.0,))(raw)
    with pytest.raises(ValueProblem, match="upper transition"):
        BandPass(high=64.0)(raw)
    with pytest.raises(ValueProblem, match="lower transition"):
        BandPass(low=0.5, low_transition=1.0)(raw)
    with pytest.raises(ValueProblem, match="low below high"):
        BandPass(low=20.0, high=10.0)(raw)
    with pytest.raises(ValueProblem, match="shorter than the filter of BandPass"):
        BandPass()(raw.copy().crop(0, 2))
    with pytest.raises(ValueProblem, match=r"needs an EOG channel[\s\S]*TRF_WITHOUT_EOG"):
        OcularRegression()(raw.copy().pick("eeg"))
    with pytest.raises(UnknownName, match="M1"):
        Reference("M1")(raw)
    with pytest.raises(UnknownName, match="did you mean 'deviation'"):
        BadChannels(methods=("deviations",))
    with pytest.raises(ValueProblem, match="no EEG channel"):
        Reference()(_raw(np.zeros((1, 100)), kinds="misc"))
    broken = raw.copy()
    broken.info["bads"] = raw.ch_names[:20]
    with pytest.raises(ValueProblem, match="20 of 64"):
        Interpolate()(broken)
    homeless = _raw(np.random.default_rng(0).normal(size=(9, 100)))
    homeless.info["bads"] = ["E3"]
    with pytest.raises(ValueProblem, match="9 channels without one"):
        Interpolate()(homeless)


def test_recordings_without_eog_have_a_recipe() -> None:
    raw = _listener(seconds=20).pick("eeg")
    assert len(clean(Recording.from_mne(raw), TRF_WITHOUT_EOG).channels) == 64
