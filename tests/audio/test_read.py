"""Reading sound: exact rates, one mean, honest refusals."""

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from brainalign.audio.read import read_audio, resample_audio
from brainalign.core.errors import MissingFile, NotFinite, UnreadableFile, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis


def _write(path, samples, rate=16000, subtype="FLOAT"):
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def test_a_file_keeps_its_samples_and_its_exact_rate(tmp_path, rng):
    samples = rng.uniform(-0.5, 0.5, 1000).astype(np.float32)
    stimulus = read_audio(_write(tmp_path / "one.wav", samples, rate=22_050))
    np.testing.assert_array_equal(stimulus.waveform, samples)
    assert stimulus.axis == TimeAxis(22_050, 1000)
    assert stimulus.name == "one"


def test_channels_are_averaged(tmp_path, rng):
    left, right = rng.uniform(-0.5, 0.5, (2, 500)).astype(np.float32)
    stereo = read_audio(_write(tmp_path / "s.wav", np.column_stack([left, right])))
    np.testing.assert_allclose(stereo.waveform, (left + right) / 2, atol=1e-7)
    doubled = read_audio(_write(tmp_path / "d.wav", np.column_stack([left, left])))
    np.testing.assert_array_equal(doubled.waveform, left)


def test_provenance_names_the_file_and_its_content_but_not_its_place(tmp_path, rng):
    path = _write(tmp_path / "one.wav", rng.uniform(-0.5, 0.5, 100))
    stimulus = read_audio(path, name="chapter 1", rate=8000)
    read, resampled = stimulus.provenance.steps
    assert read.parameters["file"] == "one.wav" and len(read.parameters["sha256"]) == 64
    assert resampled.parameters["rate"] == "8000/1"
    assert stimulus.name == "chapter 1"
    assert str(tmp_path) not in str(stimulus.provenance.to_json())


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(MissingFile, match=r"there is no sound file here[\s\S]*nowhere.wav[\s\S]*check the path"):
        read_audio(tmp_path / "nowhere.wav")
    with pytest.raises(FileNotFoundError):
        read_audio(tmp_path)


def test_a_file_that_is_no_sound_is_refused(tmp_path):
    path = tmp_path / "text.wav"
    path.write_text("this is no sound")
    with pytest.raises(UnreadableFile, match="a sound file cannot be read"):
        read_audio(path)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(ValueProblem, match="a sound file is empty"):
        read_audio(_write(tmp_path / "empty.wav", np.zeros(0)))
    (tmp_path / "nothing.wav").touch()
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_audio(tmp_path / "nothing.wav")


def test_samples_that_are_not_finite_are_refused(tmp_path):
    samples = np.zeros(100, dtype=np.float32)
    samples[7] = np.nan
    with pytest.raises(NotFinite, match=r"waveform of 'holes'[\s\S]*holes.wav: the first at sample 7"):
        read_audio(_write(tmp_path / "holes.wav", samples))
    # Also on the way to another rate, where one NaN would spread over its neighbours.
    with pytest.raises(NotFinite, match="the first at sample 7"):
        read_audio(tmp_path / "holes.wav", rate=8000)


def _tone(rate, seconds, hertz=440.0):
    axis = TimeAxis(rate, int(seconds * rate))
    return Stimulus("tone", 0.5 * np.sin(2 * np.pi * hertz * axis.times), axis)


@pytest.mark.parametrize(("before", "after"), [(44_100, 16_000), (8_000, 16_000), (16_000, 11_025), (48_000, 16_000)])
def test_resampling_moves_nothing_in_time(before, after):
    """Each new sample is the tone at that sample's exact time: no delay, no drift, over two seconds."""
    resampled = resample_audio(_tone(before, 2), after)
    assert resampled.axis == TimeAxis(after, 2 * after)
    middle = slice(after // 10, -after // 10)
    expected = 0.5 * np.sin(2 * np.pi * 440.0 * resampled.axis.times)
    np.testing.assert_allclose(resampled.waveform[middle], expected[middle], atol=2e-6)


def test_what_lies_above_the_new_nyquist_is_gone():
    assert np.abs(resample_audio(_tone(44_100, 1, hertz=9_000.0), 16_000).waveform[800:-800]).max() < 1e-5


@pytest.mark.parametrize("n", [1, 2, 3, 99, 1000, 1001, 12_345])
@pytest.mark.parametrize("rates", [(44_100, 16_000), (16_000, 44_100), (16_000, Fraction(16_000, 3)), (11_025, 8_000)])
def test_every_sample_that_begins_before_the_end_is_there(n, rates):
    before, after = rates
    stimulus = Stimulus("noise", np.random.default_rng(n).uniform(-0.5, 0.5, n), TimeAxis(before, n, "1/7"))
    axis = resample_audio(stimulus, after).axis
    assert axis.rate == after and axis.t0 == Fraction(1, 7)
    assert axis.time(axis.n - 1) < stimulus.axis.time(n) <= axis.time(axis.n)


def test_the_same_rate_changes_nothing():
    tone = _tone(16_000, 1)
    assert resample_audio(tone, "16000") is tone
