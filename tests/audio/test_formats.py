"""Every kind of sound file that laboratories have: the same sound out of each, or a refusal that says what to do."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from brainalign.audio.read import read_audio, resample_audio
from brainalign.core.errors import ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.encoders.builtin import write_untrained_hubert
from brainalign.encoders.hugging import load_encoder

RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000)


def _voice(rate, seconds=1.0):
    """Return three tones that come and go, below 2 kHz."""
    times = np.arange(int(rate * seconds)) / rate
    tones = sum(np.sin(2 * np.pi * hertz * times) for hertz in (220.0, 700.0, 1_900.0))
    return (0.25 * tones * np.hanning(times.size)).astype(np.float32)


@pytest.mark.parametrize(
    ("ending", "subtype", "step", "share"),
    [
        ("wav", "PCM_U8", 2**-7, 0),
        ("wav", "PCM_16", 2**-15, 0),
        ("wav", "PCM_24", 2**-23, 0),
        ("wav", "PCM_32", 2**-24, 0),
        ("wav", "FLOAT", 0, 0),
        ("wav", "DOUBLE", 0, 0),
        ("wav", "ULAW", 2**-12, 0.04),
        ("wav", "ALAW", 2**-11, 0.04),
        ("w64", "PCM_24", 2**-23, 0),
        ("aiff", "PCM_16", 2**-15, 0),
        ("flac", "PCM_16", 2**-15, 0),
        ("flac", "PCM_24", 2**-23, 0),
    ],
)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_every_sample_is_there_as_exact_as_its_format_allows(tmp_path, ending, subtype, step, share, n_channels):
    """To one step of its quantiser, or to a share of the value where steps grow with it."""
    voice = _voice(16_000)
    path = tmp_path / f"voice.{ending}"
    soundfile.write(path, np.column_stack([voice] * n_channels), 16_000, subtype=subtype)
    found = read_audio(path)
    assert found.axis == TimeAxis(16_000, voice.size)
    np.testing.assert_allclose(found.waveform, voice, atol=step, rtol=share)


@pytest.mark.parametrize(("ending", "subtype"), [("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III")])
def test_a_lossy_file_is_the_same_sound_at_the_same_time(tmp_path, ending, subtype):
    """No encoder delay is left in: the best match lies at a shift of 0 samples."""
    voice = _voice(16_000)
    path = tmp_path / f"voice.{ending}"
    soundfile.write(path, voice, 16_000, format=ending.upper(), subtype=subtype)
    found = read_audio(path, rate=16_000).waveform
    assert abs(found.size - voice.size) <= 1_200
    shared = min(found.size, voice.size)
    across = np.correlate(found[:shared], voice[:shared], mode="full")
    assert abs(int(across.argmax()) - (shared - 1)) <= 1
    assert np.corrcoef(found[:shared], voice[:shared])[0, 1] > 0.99


@pytest.mark.parametrize("rate", RATES)
def test_all_rates_come_to_the_encoders_one(tmp_path, rate):
    soundfile.write(tmp_path / "voice.wav", _voice(rate), rate, subtype="FLOAT")
    found = read_audio(tmp_path / "voice.wav", rate=16_000)
    assert found.axis.rate == 16_000
    middle = slice(800, 15_200)
    np.testing.assert_allclose(found.waveform[middle], _voice(16_000)[middle], atol=2e-3)


def test_one_sample_is_a_sound_but_no_frame(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.array([0.5], dtype=np.float32), 16_000, subtype="FLOAT")
    found = read_audio(tmp_path / "one.wav")
    np.testing.assert_array_equal(found.waveform, [np.float32(0.5)])
    assert resample_audio(found, 8_000).axis.n == 1
    encoder = load_encoder(write_untrained_hubert(tmp_path / "model", seed=0))
    with pytest.raises(ValueProblem, match=r"shorter than one frame[\s\S]*1 samples[\s\S]*give at least 400 samples"):
        encoder.encode(found, [1])


def test_a_clipped_sound_is_read_as_it_is_and_told(tmp_path):
    loud = np.clip(3 * _voice(16_000), -1, 32_767 / 32_768)
    soundfile.write(tmp_path / "loud.wav", np.column_stack([loud, loud]), 16_000, subtype="PCM_16")
    n_full = 2 * int((np.abs(loud) >= 0.9999).sum())
    with pytest.warns(UserWarning, match=r"loud.wav is clipped: (\d+) samples") as caught:
        found = read_audio(tmp_path / "loud.wav")
    np.testing.assert_allclose(found.waveform, loud, atol=1e-4)
    n_told = int(str(caught[0].message).split("clipped: ")[1].split()[0])
    assert 0.75 * n_full <= n_told <= n_full


@pytest.mark.parametrize("peak", [0.5, 1.0, 4.0])
def test_a_loud_sound_is_not_called_clipped(tmp_path, peak):
    """A peak at full scale is one sample; floats above full scale have lost nothing."""
    voice = _voice(16_000)
    soundfile.write(tmp_path / "v.wav", voice * np.float32(peak / np.abs(voice).max()), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(np.abs(read_audio(tmp_path / "v.wav").waveform).max(), peak, rtol=1e-6)


@pytest.mark.slow
def test_two_hours_are_read_and_resampled_block_by_block(tmp_path):
    """Besides the result (16 kHz, four bytes each), less than a tenth of it is held."""
    second, n = _voice(8_000), 7_200
    with soundfile.SoundFile(tmp_path / "long.flac", "w", samplerate=8_000, channels=1) as file:
        for _ in range(n // 60):
            file.write(np.tile(second, 60))
    tracemalloc.start()
    found = read_audio(tmp_path / "long.flac", rate=16_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.axis == TimeAxis(16_000, 16_000 * n)
    assert peak < 1.1 * found.waveform.nbytes
    last = found.waveform[-16_000:]
    np.testing.assert_allclose(last[800:-800], _voice(16_000)[800:-800], atol=2e-3)
