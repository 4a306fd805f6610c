"""The quality numbers are the ones that can be worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.eeg.clean import BadChannels, BandPass, Interpolate, LineNoise, MarkBad, Ransac, Reference, clean
from brainalign.eeg.quality import Quality, quality
from brainalign.eeg.simulate import NoiseLevels, planted_bad_channels, simulate_listener


def _recording(values: np.ndarray, *, rate: int = 128, prefix: str = "E", bads: tuple = ()) -> Recording:
    names = tuple(f"{prefix}{i}" for i in range(values.shape[1]))
    places = np.full((len(names), 3), np.nan)
    return Recording(values, TimeAxis(rate, len(values)), names, ("eeg",) * len(names), places, bads=bads, subject="1")


def test_white_noise_has_the_density_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    before = _recording(rng.normal(scale=8e-6, size=(128 * 120, 9)), bads=("E2",))
    after = _recording(rng.normal(scale=4e-6, size=(128 * 120, 9)))
    found = quality(before, after)
    # a variance of 64 uV^2 spread over 64 Hz is 1 uV^2/Hz: 0 dB; half the amplitude is 6 dB less
    inner = slice(4, -4)
    assert np.mean(found.psd_before[inner]) == pytest.approx(0.0, abs=0.2)
    assert np.mean(found.psd_after[inner]) == pytest.approx(-6.02, abs=0.2)
    assert found.rms_before == pytest.approx([8.0] * 9, rel=0.05)
    assert found.bad_channels == ("E2",)
    assert found.minutes == 2
    assert found.frequencies[1] == 0.25


def test_rates_may_differ() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(5120, 2)) * 1e-5, rng.normal(size=(640, 2)) * 1e-5
    found = quality(_recording(before, rate=512), _recording(after, rate=64))
    assert len(found.frequencies) == len(found.psd_before) == len(found.psd_after) == 4 * 32 + 1


def test_a_cleaned_listener_tells_its_story_in_json() -> None:
    noise = NoiseLevels(bad_channels=2)
    raw = simulate_listener([], {}, seconds=60, seed=3, subject="01", noise=noise)
    before = Recording.from_mne(raw, subject="01")
    found = quality(before, clean(before))
    assert found.bad_channels == planted_bad_channels(noise, subject="01", seed=3)
    drop = np.array(found.psd_before) - np.array(found.psd_after)
    assert drop[found.frequencies.index(50.0)] > 30
    assert drop[found.frequencies.index(5.0)] < 6
    again = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert again["channels"] == list(found.channels)
    assert len(again["rms_after"]) == 64


def test_mistakes_are_explained() -> None:
    values = np.random.default_rng(0).normal(size=(1280, 2)) * 1e-5
    with pytest.raises(UnknownName, match="share no EEG channel"):
        quality(_recording(values), _recording(values, prefix="X"))
    with pytest.raises(ValueProblem, match="too short for a spectrum"):
        quality(_recording(values[:100]), _recording(values[:100]))


def test_silence_has_a_floor_instead_of_minus_infinity() -> None:
    silent = Recording(
        np.zeros((1280, 1)), TimeAxis(128, 1280), ("Cz",), ("eeg",), np.zeros((1, 3)), provenance=Provenance()
    )
    assert max(quality(silent, silent).psd_before) == -120


def test_bad_spans_positions_and_hum() -> None:
    before = Recording.from_mne(simulate_listener([], {}, seconds=20, seed=1, subject="01"), subject="01")
    spans = ((Fraction(2), Fraction(4)), (Fraction(3), Fraction(7)))
    found = quality(before, replace(clean(before), bad_spans=spans))
    assert found.kept_share == pytest.approx(0.75, abs=1e-3)
    np.testing.assert_allclose(found.positions, before.positions[:64], atol=1e-9)
    assert found.line_decibels > 15
    assert quality(clean(before), clean(before)).line_decibels < 3
    slow = _recording(np.random.default_rng(0).normal(size=(640, 2)) * 1e-5, rate=64)
    assert quality(slow, slow).line_decibels is None


def _listener(**levels: object) -> Recording:
    noise = NoiseLevels(**levels)
    return Recording.from_mne(simulate_listener([], {}, seconds=30, seed=3, subject="01", noise=noise), subject="01")


def test_every_bad_channel_has_its_reason() -> None:
    before = _listener(bad_channels=1)
    values = np.array(before.values)
    values[:, before.channels.index("Oz")] = 1e-5
    spoilt = replace(before, values=values, bads=("TP7",))
    found = quality(spoilt, clean(spoilt, [BadChannels(), BandPass(), Interpolate(), Reference()]))
    (loose,) = planted_bad_channels(NoiseLevels(bad_channels=1), subject="01", seed=3)
    reasons = dict(zip(found.bad_channels, found.reasons, strict=True))
    assert set(reasons) == {"TP7", "Oz", loose}
    assert reasons["TP7"] == "marked in the recording" and reasons["Oz"] == "flat"
    assert reasons[loose].startswith("too loud (robust z +")
    assert found.deviations[found.channels.index("Oz")] == -99
    assert found.deviations[found.channels.index(loose)] > 5
    told = clean(_listener(bad_channels=1), [MarkBad(("Cz",)), LineNoise(), Ransac()])
    reasons = dict(zip(*(getattr(quality(before, told), name) for name in ("bad_channels", "reasons")), strict=True))
    assert reasons["Cz"] == "by MarkBad"
    assert "not predicted in" in reasons[loose]


def test_time_that_stands_still_or_at_the_end_of_its_range() -> None:
    values = np.random.default_rng(0).normal(size=(1280, 4)) * 1e-5
    values[100:228, 1] = values[100, 1]
    values[:, 2] = np.clip(values[:, 2], -1e-6, 1e-6)
    values[:, 3] = 5e-6
    found = quality(_recording(values), _recording(values))
    assert found.flat_shares == (0, 0.1, 0, 1)
    low, high = values[:, 2] == -1e-6, values[:, 2] == 1e-6
    runs = [run for ends in (low, high) for run in "".join("x" if flag else "." for flag in ends).split(".")]
    assert found.clipped_shares[2] == pytest.approx(sum(len(run) for run in runs if len(run) >= 3) / 1280, abs=1e-4)
    assert found.clipped_shares[0] == found.clipped_shares[3] == 0


def test_deviation_is_the_one_that_channels_are_judged_by() -> None:
    before = _listener(bad_channels=3, line_microvolts=0)
    deviations = np.array(quality(before, before).deviations)
    marked = BadChannels(methods=("deviation",), threshold=5.0)(before.to_mne()).info["bads"]
    assert [name for name, z in zip(before.channels, deviations, strict=False) if abs(z) > 5] == marked


def test_hum_before_and_after_and_where_it_was() -> None:
    before = _listener(line_hz=60.0)
    found = quality(before, clean(before, [LineNoise((60,))]))
    assert found.line_hz == 60.0
    assert found.line_decibels > 15 > 3 > found.line_decibels_after
    spectrum = np.array(found.channel_psd)
    assert spectrum.shape == (64, len(found.channel_frequencies))
    assert found.channel_frequencies == tuple(sorted(found.channel_frequencies))
    hum = int(np.argmin(np.abs(np.array(found.channel_frequencies) - 60)))
    assert found.channel_frequencies[hum] == pytest.approx(60)
    # The thinned spectra keep the line's height.
    assert np.median(spectrum[:, hum]) == pytest.approx(found.psd_before[found.frequencies.index(60)], abs=0.5)


def test_masked_time_and_the_way_through_json() -> None:
    before = replace(_listener(), axis=TimeAxis(128, 128 * 30, 7))
    after = replace(before, bad_spans=((Fraction(9), Fraction(10)),))
    found = quality(before, after)
    assert found.bad_spans == ((2.0, 3.0),) and found.n_without_position == 0
    again = Quality.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again == found
    assert Quality.from_json({**found.to_json(), "future": 1}) == found
