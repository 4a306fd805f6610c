"""The truth beside a simulated recording is the truth: in time, in place, in size, and after every fault."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import signal

from brainalign.align.build import align
from brainalign.align.clock import ListeningClock
from brainalign.align.sound import find_sound
from brainalign.audio.synth import synthesise_speech
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.eeg.simulate import PLANTED_SITES, SILENT, NoiseLevels, PlantedSource, ResponseKernel
from brainalign.eeg.simulate_recording import Amplifier, RecordedNoise, randomise_phases, simulate_recording

RATE = 128
PPM = Fraction(80, 1_000_000)
FRAMES = TimeAxis(50, 1500, "0.01247")
KERNEL = ResponseKernel(latency=0.15, width=0.1)
SITE = PLANTED_SITES["central"]


def source(*, frames: TimeAxis = FRAMES, at: tuple[int, ...] | None = None) -> PlantedSource:
    rng = np.random.default_rng(5)
    drive = np.where(rng.random(frames.n) < 0.1, 1.0, 0.0)
    if at is not None:
        drive = np.isin(np.arange(frames.n), at).astype(float)
    return PlantedSource("a", {"story": (drive, frames)}, KERNEL, SITE.position, SITE.orientation, 2.0)


def noise_of(seconds: int = 60) -> Recording:
    """Stands in for a real recording: channels that go together, of very different spectra."""
    recording, _ = simulate_recording([], {}, seconds=seconds, seed=77, subject="other")
    return recording


def test_without_faults_or_noise_it_is_what_was_planted():
    recording, truth = simulate_recording([source()], {"story": "4/3"}, seconds=40, seed=0, noise=SILENT)
    assert recording.onset("story") == truth.onsets["story"] == truth.told["story"] == Fraction(4, 3)
    np.testing.assert_array_equal(recording.values[:, :64], truth.signal)
    # One source: the signal is its pattern times one course, and its best sensor has the rms that was asked for.
    referenced = truth.signal - truth.signal.mean(axis=1, keepdims=True)
    course = referenced @ truth.patterns[0] / (truth.patterns[0] @ truth.patterns[0])
    np.testing.assert_allclose(referenced, np.outer(course, truth.patterns[0]), atol=1e-12)
    first, last = recording.axis.index("4/3"), recording.axis.index(Fraction(4, 3) + FRAMES.time(FRAMES.n))
    assert np.sqrt(np.mean(course[first:last] ** 2)) == pytest.approx(2e-6, rel=1e-6)


def test_noise_lies_on_top_and_is_told():
    levels = NoiseLevels(bad_channels=2)
    recording, truth = simulate_recording([source()], {"story": 2}, seconds=40, seed=1, noise=levels)
    rest = recording.values[:, :64] - truth.signal
    loud = {recording.channels[i] for i in np.flatnonzero(rest.std(axis=0) > 1e-4)}
    assert loud == set(truth.bad_channels) and len(loud) == 2
    again, _ = simulate_recording([source()], {"story": 2}, seconds=40, seed=1, noise=levels)
    assert again.values.tobytes() == recording.values.tobytes()


class TestClocks:
    def test_a_drifting_amplifier_and_the_moments_in_its_file(self):
        """Single answers, a second and half a minute into the story, peak where the truth says."""
        frames = (50, 1400)
        told = [source(at=frames)]
        recording, truth = simulate_recording(
            told, {"story": 5}, seconds=40, seed=0, rate=512, noise=SILENT, amplifier=Amplifier(drift=PPM)
        )
        assert truth.onsets["story"] == 5 * (1 + PPM) and recording.axis.rate == 512
        best = np.abs(truth.patterns[0]).argmax()
        for frame in frames:
            expected = float(truth.time("story", FRAMES.time(frame) + Fraction(15, 100)))
            around = np.abs(recording.axis.times - expected) < 0.05
            values, times = np.abs(truth.signal[around, best]), recording.axis.times[around]
            top = np.polyfit(times - expected, values, 4)
            peak = np.roots(np.polyder(top)).real
            assert np.abs(peak).min() < 1e-4

    def test_the_aligned_answer_needs_the_drift(self):
        story, onset = source(), {"story": 3}
        recording, truth = simulate_recording(
            [story], onset, seconds=40, seed=0, noise=SILENT, amplifier=Amplifier(drift="2000/1000000")
        )
        drive, frames = story.drives["story"]
        features = {"story": Trajectory(drive[:, None].astype(np.float32), frames, ("a",))}
        perfect, _ = simulate_recording([story], onset, seconds=40, seed=0, noise=SILENT)
        wanted = align(features, perfect).trials[0].y
        right = align(features, recording, drift=truth.drift).trials[0].y
        wrong = align(features, recording).trials[0].y
        scale = np.abs(wanted).max()
        assert np.abs(right - wanted)[50:-50].max() < 0.01 * scale
        assert np.abs(wrong - wanted)[50:-50].max() > 0.2 * scale

    def test_marks_jitter_and_the_brain_does_not(self):
        amplifier = Amplifier(jitter=0.002, late="0.02")
        recording, truth = simulate_recording(
            [source()], {"story": 3}, seconds=40, seed=3, noise=SILENT, amplifier=amplifier
        )
        plain, _ = simulate_recording([source()], {"story": 3}, seconds=40, seed=3, noise=SILENT)
        np.testing.assert_array_equal(recording.values, plain.values)
        assert recording.onset("story") == truth.told["story"]
        assert truth.onsets["story"] == 3
        assert 0.01 < float(truth.told["story"] - 3) < 0.03 and truth.told["story"] != Fraction(302, 100)

    def test_the_sound_is_found_where_the_truth_says(self):
        sound = synthesise_speech("story", seconds=45, seed=3)
        amplifier = Amplifier(drift=PPM, late="0.02", sounds={"story": sound})
        recording, truth = simulate_recording(
            [], {"story": "5.43217"}, seconds=55, seed=1, rate=512, amplifier=amplifier
        )
        match = find_sound(sound, recording, channel="Audio")
        assert abs(float(match.clock.onset - truth.onsets["story"])) < 1e-4
        assert abs(float(match.clock.drift - truth.drift)) < 1e-6
        moment = ListeningClock(truth.onsets["story"], truth.drift).recording_time(30)
        assert truth.time("story", 30) == moment
        with pytest.raises(UnknownName, match=r"never played[\s\S]*story"):
            simulate_recording([], {}, seconds=9, seed=0, amplifier=Amplifier(sounds={"story": sound}))


class TestLostSamples:
    def test_what_follows_comes_earlier_and_the_truth_knows(self):
        amplifier = Amplifier(dropped=((20, 64), (10, 32)))
        recording, truth = simulate_recording(
            [source()], {"story": 3}, seconds=40, seed=0, noise=SILENT, amplifier=amplifier
        )
        whole, _ = simulate_recording([source()], {"story": 3}, seconds=40, seed=0, noise=SILENT)
        assert recording.axis.n == whole.axis.n - 96
        assert truth.lost == ((10, Fraction(41, 4)), (20, Fraction(41, 2)))
        assert truth.time("story", 6) == 9
        assert truth.time("story", "7.1") is None
        assert truth.time("story", 10) == 13 - Fraction(1, 4)
        assert truth.time("story", 25) == 28 - Fraction(3, 4)
        for seconds in (6, 10, 25):
            there = recording.axis.index(truth.time("story", seconds))
            np.testing.assert_array_equal(recording.values[there], whole.values[whole.axis.index(3 + seconds)])
        np.testing.assert_array_equal(recording.values[:, :64], truth.signal)
        with pytest.raises(UnknownName, match="stimulus in this recording"):
            truth.time("other")

    def test_stretches_that_touch(self):
        with pytest.raises(ValueProblem, match=r"touch[\s\S]*lose them as one"):
            simulate_recording([], {}, seconds=9, seed=0, amplifier=Amplifier(dropped=((2, 128), (3, 5))))


class TestRecordedNoise:
    def test_a_stretch_of_it_lies_under_the_signal(self):
        noise = noise_of()
        recording, truth = simulate_recording(
            [source()], {"story": 3}, seconds=40, seed=0, noise=RecordedNoise(noise, gain=0.5)
        )
        start = recording.provenance.steps[-1].parameters["start"]
        part = noise.values[start : start + recording.axis.n, :64]
        np.testing.assert_allclose(
            recording.values[:, :64] - truth.signal, 0.5 * (part - part.mean(axis=0)), rtol=1e-9, atol=1e-15
        )
        assert truth.bad_channels == ()

    def test_random_phases_keep_spectra_and_correlations_and_nothing_else(self):
        noise = replace(noise_of(), onsets={"x": (Fraction(1),)})
        other = randomise_phases(noise, seed=0)
        for n in (noise.axis.n, noise.axis.n - 1):
            part = replace(noise, values=noise.values[:n], axis=noise.axis.part(0, n))
            mixed = randomise_phases(part, seed=0).values
            power = [np.abs(np.fft.rfft(values, axis=0)) for values in (part.values, mixed)]
            np.testing.assert_allclose(power[1], power[0], rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(np.cov(mixed.T), np.cov(part.values.T), rtol=1e-6, atol=1e-16)
        assert abs(np.corrcoef(other.values[:, 10], noise.values[:, 10])[0, 1]) < 0.2
        assert other.onsets == {}
        _, coherence = signal.coherence(other.values[:, 3], noise.values[:, 3], fs=RATE, nperseg=256)
        assert np.median(coherence) < 0.15

    def test_through_the_whole(self):
        noise = RecordedNoise(noise_of(), phases="random")
        one, _ = simulate_recording([source()], {"story": 3}, seconds=40, seed=0, noise=noise)
        two, _ = simulate_recording([source()], {"story": 3}, seconds=40, seed=1, noise=noise)
        assert one.values.tobytes() != two.values.tobytes()
        with pytest.raises(UnknownName, match="treatment of phases"):
            RecordedNoise(noise_of(10), phases="mixed")
        with pytest.raises(ValueProblem, match="does not fit the simulated recording"):
            simulate_recording([], {}, seconds=40, seed=0, noise=RecordedNoise(noise_of(30)))

    def test_real_eeg(self, root):
        folder = root.parent / "shared" / "data" / "eeg_dtu_single_talker"
        if not folder.is_dir():
            pytest.skip("the recordings of Fuglsang et al. are not beside the project")
        with np.load(folder / "DTU_S1_000.npz") as file:
            values = file["eeg"] * 1e-6
        plain, _ = simulate_recording([], {}, seconds=1, seed=0, rate=64, noise=SILENT)
        names, kinds, places = plain.channels[:64], plain.kinds[:64], plain.positions[:64]
        real = Recording(values, TimeAxis(64, len(values)), names, kinds, places, subject="S1")
        recording, truth = simulate_recording(
            [source()], {"story": 3}, seconds=45, seed=0, rate=64, noise=RecordedNoise(real, phases="random")
        )
        rest = recording.values[:, :64] - truth.signal
        ratio = np.log10(rest.std(axis=0) / values.std(axis=0))
        assert np.abs(ratio).max() < 0.2
        likeness = np.corrcoef(
            np.corrcoef(rest.T)[np.triu_indices(64, 1)], np.corrcoef(values.T)[np.triu_indices(64, 1)]
        )
        assert likeness[0, 1] > 0.95
