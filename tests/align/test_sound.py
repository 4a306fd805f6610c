"""The audio channel tells onset and drift to what was asked of it, and says so when it cannot."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from brainalign.align.checks import check_lengths, check_onsets, require_fit
from brainalign.align.sound import find_sound
from brainalign.audio.synth import synthesise_speech
from brainalign.core.errors import GridMismatch, UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.eeg.simulate_faults import PlayedSound, drop_samples, jitter_onsets, record_sound


@pytest.fixture(scope="module")
def sound() -> Stimulus:
    return synthesise_speech("story", seconds=60, seed=3)


def _recording(values: np.ndarray, *, rate: int, onsets: dict | None = None) -> Recording:
    axis = TimeAxis(rate, len(values))
    return Recording(values[:, None], axis, ("Erg1",), ("misc",), np.full((1, 3), np.nan), onsets=onsets or {})


def _played(sound: Stimulus, *, rate: int = 512, seconds: int = 75, seed: int = 0, **how: object) -> Recording:
    clock = TimeAxis(rate, rate * seconds)
    values = record_sound(sound, PlayedSound(**{"onset": "5.43217", **how}), clock=clock, seed=seed)
    return _recording(values, rate=rate)


@pytest.mark.parametrize(
    ("rate", "drift", "volts", "noise_db", "hum_db"),
    [(512, 100, 1e-3, 0, 0), (512, -73, -1e-3, -6, 10), (1000, 41, 1e-3, 6, -20), (600, 0, -2.0, -20, -20)],
)
def test_onset_and_drift(sound, rate, drift, volts, noise_db, hum_db):
    share = Fraction(drift, 10**6)
    heard = _played(sound, rate=rate, drift=share, volts=volts, noise_db=noise_db, hum_db=hum_db)
    match = find_sound(sound, heard, channel="Erg1")
    assert abs(match.clock.onset - Fraction("5.43217")) < Fraction(1, 5000)
    assert abs(match.clock.drift - share) < Fraction(2, 10**6)
    assert match.inverted == (volts < 0)
    assert match.kept_share > 0.7
    assert match.spread < 5e-4


def test_standard_errors_are_honest(sound):
    scores = []
    for seed in range(12):
        match = find_sound(sound, _played(sound, noise_db=0, drift="30/1000000", seed=seed), channel="Erg1")
        scores.append(
            [
                float(match.clock.onset - Fraction("5.43217")) / match.onset_error,
                float(match.clock.drift - Fraction(30, 10**6)) / match.drift_error,
            ]
        )
    spread = np.sqrt(np.mean(np.square(scores), axis=0))
    # The mean square of 12 standard normal values lies in this range in 999 of 1000 cases.
    assert (spread > 0.45).all()
    assert (spread < 1.7).all()


@pytest.mark.parametrize("drift", [-300, 0, 300])
@pytest.mark.parametrize("silent", [slice(0, 30), slice(40, 60)])
def test_silence_at_one_end_changes_nothing(sound, silent, drift):
    """Windows of silence are left out, and those that are left do not lie around the sound's middle."""
    rate = int(sound.axis.rate)
    waveform = np.array(sound.waveform)
    waveform[silent.start * rate : silent.stop * rate] = 0
    quiet = replace(sound, waveform=waveform)
    share = Fraction(drift, 10**6)
    found = find_sound(quiet, _played(quiet, rate=500, drift=share), channel="Erg1").clock
    assert abs(found.onset - Fraction("5.43217")) < Fraction(1, 2000)
    assert abs(found.drift - share) < Fraction(5, 10**6)


def test_another_sound_is_not_found(sound):
    other = synthesise_speech("other", seconds=60, seed=4)
    with pytest.raises(ValueProblem, match="was not found in channel 'Erg1'"):
        find_sound(other, _played(sound), channel="Erg1")


def test_noise_alone_is_not_taken_for_the_sound(sound):
    noise = np.random.default_rng(0).standard_normal(512 * 75)
    with pytest.raises(ValueProblem, match="not found"):
        find_sound(sound, _recording(noise, rate=512), channel="Erg1")


def test_a_jump_is_seen_in_the_residuals(sound):
    lost = drop_samples(_played(sound), at=55, n=10)
    match = find_sound(sound, lost, channel="Erg1")
    late = match.times > 50
    assert not match.used[late].any()
    np.testing.assert_allclose(match.residuals[late], -10 / 512, atol=1e-3)
    assert match.used[match.times < 45].all()


def test_what_cannot_hold_the_sound(sound):
    heard = _played(sound)
    with pytest.raises(UnknownName, match=r"no channel of that name[\s\S]*Erg1"):
        find_sound(sound, heard, channel="Audio")
    with pytest.raises(ValueProblem, match="too short to hold 'story'"):
        find_sound(sound, heard, channel="Erg1", near=70, reach=1)
    with pytest.raises(ValueProblem, match="holds nothing"):
        find_sound(sound, _recording(np.zeros(512 * 75), rate=512), channel="Erg1")


class TestOnsets:
    @pytest.mark.parametrize("late", [20, -20])
    def test_twenty_milliseconds_are_detected(self, sound, late):
        told = jitter_onsets({"story": "5.43217"}, seconds=0.001, late=Fraction(-late, 1000), seed=1)
        heard = _played(sound, noise_db=0)
        findings, _ = check_onsets(_recording(heard.values[:, 0], rate=512, onsets=told), [sound], channel="Erg1")
        assert [f.fits for f in findings] == [False, True]
        assert findings[0].seconds == pytest.approx(late / 1000, abs=0.004)
        with pytest.raises(GridMismatch, match=r"sub-1: sound and recording[\s\S]*story: onset [+-]"):
            require_fit(findings, label="sub-1")

    def test_jitter_is_forgiven(self, sound):
        told = jitter_onsets({"story": "5.43217"}, seconds=0.001, seed=1)
        heard = _played(sound, noise_db=0)
        findings, matches = check_onsets(_recording(heard.values[:, 0], rate=512, onsets=told), [sound], channel="Erg1")
        require_fit(findings)
        assert abs(matches["story"].clock.onset - Fraction("5.43217")) < Fraction(1, 2000)


class TestLengths:
    def test_sounds_that_fit(self):
        heard = _recording(np.zeros(1000), rate=100, onsets={"a": (Fraction(1),), "b": (Fraction(5),)})
        assert all(finding.fits for finding in check_lengths(heard, {"a": 4, "b": 5}))

    def test_sounds_that_overlap_or_run_past_the_end(self):
        heard = _recording(np.zeros(1000), rate=100, onsets={"a": (Fraction(1),), "b": (Fraction(5),), "x": ()})
        findings = check_lengths(heard, {"a": "4.5", "b": "5.25"})
        assert {(f.stimulus, f.what): f.seconds for f in findings if not f.fits} == {
            ("a", "overlap"): 0.5,
            ("b", "end"): 0.25,
        }
        with pytest.raises(GridMismatch, match=r"2 of 4 respects[\s\S]*a: overlap \+500"):
            require_fit(findings)
        assert all(finding.fits for finding in check_lengths(heard, {"a": "4.5", "b": "5.25"}, tolerance=0.5))
