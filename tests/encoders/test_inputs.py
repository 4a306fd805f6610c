"""What models are given to hear: transformers' own extractors agree, and nothing is learnt where it must not be."""

import json
from fractions import Fraction

import numpy as np
import pytest
import transformers

from brainalign.core.errors import UnreadableFile, ValueProblem
from brainalign.encoders.families import ENCODERS
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.inputs import INPUTS, PaddedFilterbank, StackedFilterbank, WhisperMel
from brainalign.encoders.spectra import filterbank, whisper_log_mel
from tests.encoders.small import PADDED, SEAMLESS, heard, write_small

OPTIONS = {"sampling_rate": 16_000, "return_tensors": "np"}


def test_every_way_of_hearing_is_used():
    assert {family.inputs for family in ENCODERS.values()} == set(INPUTS)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("seconds", [0.3, 7.77, 30])
def test_whispers_spectrogram_is_that_of_transformers(sound, n_mels, seconds):
    waveform = sound(seconds, seed=4).waveform
    theirs = transformers.WhisperFeatureExtractor(feature_size=n_mels)(np.array(waveform), **OPTIONS).input_features[0]
    ours = WhisperMel(n_mels, 1500).given(waveform, None)
    assert ours.dtype == np.float32 and ours.shape == theirs.shape == (n_mels, 3000)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert np.mean(np.abs(ours - theirs)) < 1e-6


@pytest.mark.parametrize("n_samples", [560, 719, 720, 16_000, 32_480, 300_001])
def test_stacked_filterbanks_are_those_of_transformers(sound, n_samples):
    """An odd last filterbank frame counts in the normalisation and is then left out, as its mask has it."""
    waveform = sound(n_samples / 16_000, seed=5).waveform
    theirs = transformers.SeamlessM4TFeatureExtractor(**SEAMLESS)(np.array(waveform), **OPTIONS)
    inputs = StackedFilterbank(Fraction(16_000), 80, 2)
    ours = inputs.given(waveform, inputs.statistics(waveform))
    n_valid = inputs.clock.n_frames(n_samples)
    assert ours.shape == (n_valid, 160) and ours.dtype == np.float32
    # A frame whose second half is padding is what transformers masks out.
    assert n_valid == int(theirs.attention_mask.sum())
    # Two frames alone may be so alike that their spread is little more than rounding in single precision.
    atol = 1e-4 if n_valid > 1 else 5e-3
    np.testing.assert_allclose(ours, theirs.input_features[0, :n_valid], atol=atol)


@pytest.mark.parametrize("seconds", [0.5, 6.4, 12])
def test_padded_filterbanks_are_those_of_transformers(sound, seconds):
    waveform = sound(seconds, seed=6).waveform
    theirs = transformers.ASTFeatureExtractor(**PADDED)(np.array(waveform), **OPTIONS)["input_values"][0]
    inputs = PaddedFilterbank(Fraction(16_000), 48, 640, (PADDED["mean"], PADDED["std"]), 16)
    ours = inputs.given(waveform, None)
    assert ours.dtype == np.float32 and ours.shape == theirs.shape == (640, 48)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_utterance_statistics_are_those_of_transformers_however_long_the_sound(sound, tmp_path):
    """Longer than one block of the sums."""
    write_small(tmp_path, "hubert")
    inputs = load_encoder(tmp_path).inputs
    waveform = np.tile(sound(25).waveform, 3) + np.float32(0.2)
    ours = inputs.given(waveform, inputs.statistics(waveform))
    theirs = heard("hubert", waveform)["input_values"][0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_blocks_of_a_filterbank_leave_no_seam(sound):
    waveform = sound(2).waveform
    options = {"n_mels": 20, "sample_rate": Fraction(16_000), "window": "povey"}
    whole = np.concatenate(list(filterbank(waveform, **options)))
    parts = np.concatenate(list(filterbank(waveform, **options, n_at_once=7)))
    assert whole.shape == (198, 20)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_digital_silence_is_finite():
    assert np.isfinite(whisper_log_mel(np.zeros(16_000), n_mels=80)).all()
    inputs = StackedFilterbank(Fraction(16_000), 80, 2)
    silence = np.zeros(16_000, dtype=np.float32)
    assert np.isfinite(inputs.given(silence, inputs.statistics(silence))).all()


def test_a_loud_moment_changes_whispers_quiet_ones_and_no_other_types(sound):
    """The clamp to 80 dB below the loudest bin is the leak; fixed scales have none."""
    quiet = 1e-3 * sound(6).waveform
    loud = quiet.copy()
    loud[-8_000:] *= 1e5
    whisper, padded = WhisperMel(80, 400), PaddedFilterbank(Fraction(16_000), 48, 640, None, 16)
    before = slice(0, 400)
    moved = np.abs(whisper.given(loud, None) - whisper.given(quiet, None))[:, before] > 1e-3
    assert moved.mean() > 0.5
    np.testing.assert_array_equal(padded.given(loud, None)[before], padded.given(quiet, None)[before])


def test_settings_of_another_model_are_refused(tmp_path):
    write_small(tmp_path / "b", "wav2vec2-bert", settings={"num_mel_bins": 64})
    with pytest.raises(
        ValueProblem, match=r"do not belong to this model[\s\S]*64 bands x 2 frames, the model takes 160"
    ):
        load_encoder(tmp_path / "b")
    write_small(tmp_path / "a", "audio-spectrogram-transformer", settings={"max_length": 1024})
    with pytest.raises(ValueProblem, match=r"do not belong[\s\S]*max_length: 1024, the model takes 640"):
        load_encoder(tmp_path / "a")


def test_settings_that_lack_something_are_refused_with_all_that_is_needed(tmp_path):
    write_small(tmp_path, "audio-spectrogram-transformer")
    path = tmp_path / "preprocessor_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in values.items() if key != "std"}))
    with pytest.raises(UnreadableFile, match=r"KeyError\('std'\)[\s\S]*sampling_rate[\s\S]*mean, std"):
        load_encoder(tmp_path)


def test_whisper_needs_no_settings(tmp_path, sound):
    write_small(tmp_path, "whisper")
    expected = load_encoder(tmp_path).encode(sound(1), [2])[2].values
    (tmp_path / "preprocessor_config.json").unlink()
    np.testing.assert_array_equal(load_encoder(tmp_path).encode(sound(1), [2])[2].values, expected)
