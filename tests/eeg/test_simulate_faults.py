"""Faults are what they say they are, to the numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.eeg.simulate_faults import (
    PlayedSound,
    add_recorded_noise,
    drift_recording,
    drop_samples,
    jitter_onsets,
    record_sound,
    with_channel,
)

RATE = 200


def recording(values: np.ndarray, *, names: tuple[str, ...] = ("Cz",), **more: object) -> Recording:
    axis = TimeAxis(RATE, len(values))
    places = np.full((len(names), 3), np.nan)
    return Recording(values.reshape(len(values), -1), axis, names, ("eeg",) * len(names), places, **more)


def test_a_tone_is_heard_at_its_exact_time_and_pace():
    times = np.arange(8000 * 10) / 8000
    tone = Stimulus("tone", np.sin(2 * np.pi * 40 * times).astype(np.float32), TimeAxis(8000, times.size))
    clock = TimeAxis(512, 512 * 14)
    how = PlayedSound("1.2345678", "100/1000000", volts=-1e-3, noise_db=-200, hum_db=-200)
    heard = record_sound(tone, how, clock=clock, seed=0)
    seconds = (clock.times - 1.2345678) / (1 + 1e-4)
    expected = -1e-3 * np.sin(2 * np.pi * 40 * seconds)
    inside = (seconds > 1) & (seconds < 9)
    level = np.linalg.norm(heard[inside]) / np.linalg.norm(expected[inside])
    np.testing.assert_allclose(heard[inside], level * expected[inside], atol=2e-6 * level)
    assert np.abs(heard[seconds < -0.1]).max() < 1e-9
    loud = PlayedSound(1, noise_db=0, hum_db=-200)
    noise = record_sound(tone, loud, clock=clock, seed=0)[:500]
    assert np.std(noise) == pytest.approx(1e-3, rel=0.1)
    assert (
        record_sound(tone, loud, clock=clock, seed=0).tobytes()
        == record_sound(tone, loud, clock=clock, seed=0).tobytes()
    )


def test_a_drifting_recording_says_the_nominal_rate():
    times = np.arange(RATE * 60) / RATE
    before = recording(np.sin(2 * np.pi * 5 * times), onsets={"a": (Fraction(30),)}, bad_spans=((0, 10),))
    after = drift_recording(before, "500/1000000")
    assert after.axis.rate == RATE
    assert after.onset("a") == Fraction(30) * (1 + Fraction(500, 10**6))
    assert after.bad_spans == ((0, 10 * (1 + Fraction(500, 10**6))),)
    told = after.axis.times / (1 + 5e-4)
    middle = slice(RATE, -RATE)
    np.testing.assert_allclose(after.values[middle, 0], np.sin(2 * np.pi * 5 * told)[middle], atol=1e-3)


def test_lost_samples_are_gone():
    before = recording(np.arange(1000.0))
    after = drop_samples(before, at=2, n=7)
    np.testing.assert_array_equal(after.values[:, 0], np.delete(np.arange(1000.0), slice(400, 407)))
    assert after.axis.n == 993
    with pytest.raises(ValueProblem, match="within the recording"):
        drop_samples(before, at=4.99, n=7)


def test_triggers_jitter_each_by_itself():
    told = jitter_onsets({f"s{i}": i for i in range(500)}, seconds=0.002, late="0.1", seed=3)
    errors = np.array([float(told[f"s{i}"][0]) - i for i in range(500)])
    assert errors.mean() == pytest.approx(0.1, abs=4e-4)
    assert errors.std() == pytest.approx(0.002, rel=0.1)
    assert jitter_onsets({"s7": 7}, seconds=0.002, late="0.1", seed=3)["s7"] == told["s7"]


def test_noise_comes_from_a_real_recording(rng):
    signal = recording(np.zeros((400, 2)), names=("Cz", "Pz"))
    noise = recording(rng.standard_normal((1000, 3)), names=("Pz", "Oz", "Cz"))
    found = add_recorded_noise(signal, noise, gain=2.0, seed=1)
    start = found.provenance.steps[-1].parameters["start"]
    part = noise.values[start : start + 400][:, [2, 0]]
    np.testing.assert_allclose(found.values, 2 * (part - part.mean(axis=0)))
    with pytest.raises(ValueProblem, match="does not fit"):
        add_recorded_noise(noise, signal, seed=1)
    with pytest.raises(ValueProblem, match="0 channels in common"):
        add_recorded_noise(signal, replace(noise, channels=("a", "b", "c")), seed=1)


def test_a_channel_more():
    more = with_channel(recording(np.zeros(50)), np.arange(50.0), name="Erg1")
    assert (more.channels, more.kinds) == (("Cz", "Erg1"), ("eeg", "misc"))
    np.testing.assert_array_equal(more.values[:, 1], np.arange(50.0))
    with pytest.raises(ShapeMismatch, match="as many samples"):
        with_channel(more, np.zeros(3), name="x")
