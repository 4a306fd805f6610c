"""Every format people have, and every way a file can be wrong: a defined result, or an error that says what to do."""

import struct
import tracemalloc
import wave

import numpy as np
import pytest
import soundfile

from brainalign.audio.read import read_audio, resample_audio
from brainalign.core.errors import NotFinite, UnreadableFile, ValueProblem
from brainalign.core.time import TimeAxis

RATE = 16_000

# How far a sample may be off: half a step of the coding, or what the codec is known for.
WAV_CODINGS = {
    "PCM_U8": 2**-7,
    "PCM_16": 2**-15,
    "PCM_24": 2**-23,
    "PCM_32": 2**-23,
    "FLOAT": 0.0,
    "DOUBLE": 2**-24,
    "ULAW": 0.02,
    "ALAW": 0.02,
    "IMA_ADPCM": 0.03,
    "MS_ADPCM": 0.03,
}
OTHERS = {
    ("flac", "PCM_S8"): 2**-7,
    ("flac", "PCM_16"): 2**-15,
    ("flac", "PCM_24"): 2**-23,
    ("ogg", "VORBIS"): 0.03,
    ("mp3", "MPEG_LAYER_III"): 0.03,
    ("aiff", "PCM_16"): 2**-15,
    ("au", "ULAW"): 0.02,
    ("caf", "ALAC_16"): 2**-15,
    ("w64", "PCM_16"): 2**-15,
    ("rf64", "PCM_16"): 2**-15,
    ("nist", "PCM_16"): 2**-15,
    ("voc", "PCM_16"): 2**-15,
}


def _tone(rate=RATE, n=None, hertz=440.0):
    times = np.arange(rate if n is None else n) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def _write(path, samples, *, rate=RATE, subtype=None, form=None):
    known = {form, path.suffix[1:].upper()} & set(soundfile.available_formats())
    if not known or (subtype and subtype not in soundfile.available_subtypes(known.pop())):
        pytest.skip(f"this libsndfile writes no {path.suffix[1:]} as {subtype}")
    soundfile.write(path, samples, rate, subtype=subtype, format=form)
    return path


@pytest.mark.parametrize("subtype", WAV_CODINGS)
def test_wav_in_every_coding(tmp_path, subtype):
    tone = _tone()
    sound = read_audio(_write(tmp_path / "tone.wav", tone, subtype=subtype))
    assert sound.axis.rate == RATE
    # Block codecs fill their last block up with silence.
    assert 0 <= sound.axis.n - tone.size < (1 if "ADPCM" not in subtype else 2048)
    # Adaptive codecs need some samples to find the right step.
    settled = slice(32 if "ADPCM" in subtype else 0, tone.size)
    np.testing.assert_allclose(sound.waveform[settled], tone[settled], atol=WAV_CODINGS[subtype], rtol=0)


@pytest.mark.parametrize(("suffix", "subtype"), OTHERS)
def test_other_formats(tmp_path, suffix, subtype):
    tone = _tone()
    sound = read_audio(_write(tmp_path / f"tone.{suffix}", tone, subtype=subtype, form=suffix.upper()))
    assert sound.axis == TimeAxis(RATE, tone.size)
    np.testing.assert_allclose(sound.waveform, tone, atol=OTHERS[suffix, subtype], rtol=0)


def test_every_format_this_libsndfile_can_write(tmp_path):
    """Whatever it is, it reads back as the same tone, or is refused in three parts."""
    tone, read = _tone(n=4000), 0
    for form in soundfile.available_formats():
        for subtype in soundfile.available_subtypes(form):
            path = tmp_path / f"{form}-{subtype}.{form.lower()}"
            try:
                soundfile.write(path, tone, RATE, subtype=subtype, format=form)
            except (soundfile.SoundFileError, TypeError, ValueError):
                continue
            try:
                sound = read_audio(path)
            except UnreadableFile as error:
                assert path.name in error.got and "export it again" in error.fix
                continue
            read += 1
            spectrum = np.abs(np.fft.rfft(sound.waveform))
            loudest = np.argmax(spectrum) * float(sound.axis.rate) / sound.axis.n
            assert sound.axis.rate not in (RATE, 48_000) or abs(loudest - 440) < 15, path.name
    assert read > 40


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_rates_from_8_to_96_khz(tmp_path, rate, suffix):
    sound = read_audio(_write(tmp_path / f"tone.{suffix}", _tone(rate), rate=rate))
    assert sound.axis == TimeAxis(rate, rate)
    np.testing.assert_allclose(sound.waveform, _tone(rate), atol=2**-15)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_stereo_is_averaged(tmp_path, suffix):
    left, right = _tone(), _tone(hertz=880.0)
    sound = read_audio(_write(tmp_path / f"stereo.{suffix}", np.column_stack([left, right]), form=suffix.upper()))
    np.testing.assert_allclose(sound.waveform, (left + right) / 2, atol=0.05)
    opposite = read_audio(_write(tmp_path / f"opposite.{suffix}", np.column_stack([left, -left]), form=suffix.upper()))
    assert np.abs(opposite.waveform).max() < 0.02


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_one_sample(tmp_path, suffix):
    path = _write(tmp_path / f"one.{suffix}", np.array([0.25], dtype=np.float32), form=suffix.upper())
    sound = read_audio(path)
    assert sound.axis == TimeAxis(RATE, 1)
    assert abs(sound.waveform[0]) <= 0.5
    assert read_audio(path, rate=44_100).axis == TimeAxis(44_100, 3)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_no_samples(tmp_path, suffix):
    with pytest.raises((ValueProblem, UnreadableFile), match=rf"empty.{suffix}"):
        read_audio(_write(tmp_path / f"empty.{suffix}", np.zeros(0, dtype=np.float32)))


def test_clipped_sound_is_read_as_it_is_and_told(tmp_path):
    """Flat tops stay at full scale, and a float file keeps what lies beyond it."""
    loud = 4 * _tone()
    path = _write(tmp_path / "clipped.wav", np.column_stack([np.clip(loud, -1, 1)] * 2), subtype="PCM_16")
    with pytest.warns(UserWarning, match=r"clipped.wav is clipped: \d+ samples") as caught:
        clipped = read_audio(path)
    n_full = 2 * np.sum(np.abs(clipped.waveform) > 0.9999)
    assert n_full > 0.6 * clipped.waveform.size
    assert 0.75 * n_full <= int(str(caught[0].message).split("clipped: ")[1].split()[0]) <= n_full
    np.testing.assert_array_equal(read_audio(_write(tmp_path / "loud.wav", loud, subtype="FLOAT")).waveform, loud)


@pytest.mark.parametrize("peak", [0.5, 1.0])
def test_a_loud_sound_is_not_called_clipped(tmp_path, peak):
    """A peak at full scale is one sample, or two."""
    tone = _tone() * np.float32(peak / np.abs(_tone()).max())
    assert np.abs(read_audio(_write(tmp_path / "tone.wav", tone, subtype="FLOAT")).waveform).max() == peak


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [None, 8_000])
def test_samples_that_are_no_numbers(tmp_path, bad, rate):
    samples = _tone()
    samples[300_000 % samples.size] = bad
    with pytest.raises(NotFinite, match=r"'holes' holds values[\s\S]*at sample 12000[\s\S]*repair or re-export"):
        read_audio(_write(tmp_path / "holes.wav", samples, subtype="FLOAT"), rate=rate)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_files_that_were_cut_off(tmp_path, suffix, capfd):
    path = _write(tmp_path / f"whole.{suffix}", _tone(n=4 * RATE), form=suffix.upper())
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(
        (UnreadableFile, ValueProblem), match=rf"(cannot be read|before its header says|is empty)[\s\S]*cut.{suffix}"
    ):
        read_audio(cut)


def test_a_wav_from_a_pipe_is_whole(tmp_path):
    """Its header gives the largest number for a length, as nobody knew better when it was written."""
    tone, path = _tone(), tmp_path / "pipe.wav"
    _write(path, tone, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = content[4:8] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    np.testing.assert_allclose(read_audio(path).waveform, tone, atol=2**-15)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"\0" * 1000, b"ID3" + b"\xff" * 500])
@pytest.mark.parametrize("suffix", ["wav", "mp3", "raw", "txt"])
def test_files_that_are_no_sound(tmp_path, content, suffix, capfd):
    path = tmp_path / f"no.{suffix}"
    path.write_bytes(content)
    with pytest.raises((UnreadableFile, ValueProblem), match=rf"no.{suffix}[\s\S]*export it again"):
        read_audio(path)


def test_silence_is_a_sound(tmp_path):
    sound = read_audio(_write(tmp_path / "silence.wav", np.zeros(RATE)))
    assert not sound.waveform.any()


def _hours_of_silence(path, *, hours, rate, channels, bytes_per_sample, click_at):
    """Write a WAV file with a hole in it (no more disk than its header), and one click."""
    n = hours * 3600 * rate
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(bytes_per_sample)
        file.setframerate(rate)
        file.setnframes(n)
        file.writeframesraw(b"")
    size, frame = 44 + n * channels * bytes_per_sample, channels * bytes_per_sample
    with path.open("r+b") as file:
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
        file.seek(40)
        file.write(struct.pack("<I", size - 44))
        file.truncate(size)
        file.seek(44 + click_at * frame)
        file.write((b"\0" * (bytes_per_sample - 1) + b"\x40") * channels)
    return n


def _peak_of(function):
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_two_hours_take_the_memory_of_their_samples(tmp_path):
    path = tmp_path / "long.wav"
    n = _hours_of_silence(path, hours=2, rate=8_000, channels=1, bytes_per_sample=2, click_at=40_000_001)
    sound, peak = _peak_of(lambda: read_audio(path))
    assert sound.axis == TimeAxis(8_000, n)
    assert np.flatnonzero(sound.waveform).tolist() == [40_000_001]
    assert peak < 4 * n + 30e6


@pytest.mark.slow
def test_two_hours_of_stereo_on_the_way_to_another_rate(tmp_path):
    """Only the wanted rate's samples are ever held, and the click stays at its time."""
    path = tmp_path / "long.wav"
    n = _hours_of_silence(path, hours=2, rate=44_100, channels=2, bytes_per_sample=3, click_at=44_100 * 5_000)
    sound, peak = _peak_of(lambda: read_audio(path, rate=RATE))
    assert sound.axis == TimeAxis(RATE, n * 160 // 441)
    assert np.abs(sound.waveform).argmax() == RATE * 5_000
    assert peak < 4 * sound.axis.n + 60e6


def test_reading_at_another_rate_is_reading_and_resampling(tmp_path, rng):
    path = _write(tmp_path / "noise.wav", 0.3 * rng.standard_normal(300_001).clip(-3, 3), subtype="FLOAT")
    for rate in (44_100, 8_000, 11_025):
        at_once, after = read_audio(path, rate=rate), resample_audio(read_audio(path), rate)
        assert at_once.waveform.tobytes() == after.waveform.tobytes()
        assert at_once.axis == after.axis
        assert at_once.provenance.to_json() == after.provenance.to_json()


@pytest.mark.parametrize("rate", [0, -8_000])
def test_a_rate_must_be_positive(tmp_path, rate):
    path = _write(tmp_path / "tone.wav", _tone())
    with pytest.raises(ValueProblem, match="a rate must be positive"):
        read_audio(path, rate=rate)
