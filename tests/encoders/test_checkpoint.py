"""Weights under any name and of any age, read as tensors and nothing else, whole or not at all."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from brainalign.core.errors import MissingFile, UnreadableFile
from brainalign.encoders.families import ENCODERS
from brainalign.encoders.hugging import load_encoder
from tests.encoders.small import write_small

BARE = ("hubert", "wav2vec2-bert", "audio-spectrogram-transformer")


def _rewritten(folder, write):
    path = folder / "model.safetensors"
    state = load_file(path)
    path.unlink()
    write(state)


@pytest.mark.parametrize("kind", BARE)
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_one_file_of_weights_may_have_any_name(tmp_path, sound, kind, suffix):
    write_small(tmp_path, kind)
    stimulus = sound(1)
    expected = load_encoder(tmp_path).encode(stimulus, [3])[3].values
    path = tmp_path / f"my_weights.{suffix}"
    _rewritten(tmp_path, lambda state: save_file(state, path) if suffix == "safetensors" else torch.save(state, path))
    loaded = load_encoder(tmp_path)
    np.testing.assert_array_equal(loaded.encode(stimulus, [3])[3].values, expected)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_names_of_an_older_time_and_of_a_larger_model_are_understood(tmp_path, sound):
    """Weight norm was stored as g and v, and a model with a head keeps its body under a prefix."""
    write_small(tmp_path, "hubert")
    stimulus = sound(1)
    expected = load_encoder(tmp_path).encode(stimulus, [3])[3].values
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}

    def renamed(name):
        for new, before in old.items():
            name = name.replace(new, before)
        return f"hubert.{name}"

    _rewritten(tmp_path, lambda s: save_file({renamed(k): v for k, v in s.items()}, tmp_path / "body.safetensors"))
    np.testing.assert_array_equal(load_encoder(tmp_path).encode(stimulus, [3])[3].values, expected)


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_weights_in_several_parts_are_put_together(tmp_path, sound, kind):
    model = write_small(tmp_path / "whole", kind)
    model.save_pretrained(tmp_path / "parts", max_shard_size="40KB")
    shutil.copy(tmp_path / "whole" / "preprocessor_config.json", tmp_path / "parts")
    parts = sorted((tmp_path / "parts").glob("model-*.safetensors"))
    assert len(parts) > 2
    one, other = (load_encoder(tmp_path / name).encode(sound(1), [3])[3].values for name in ("whole", "parts"))
    np.testing.assert_array_equal(one, other)
    parts[0].unlink()
    with pytest.raises((UnreadableFile, MissingFile)):
        load_encoder(tmp_path / "parts")


def test_several_files_of_weights_are_not_guessed_between(tmp_path):
    write_small(tmp_path, "hubert")
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "a.safetensors")
    (tmp_path / "model.safetensors").rename(tmp_path / "b.safetensors")
    with pytest.raises(UnreadableFile, match=r"weights cannot be read[\s\S]*2 files of weights[\s\S]*a.safetensors"):
        load_encoder(tmp_path)


class Mischief:
    """What a pickle may do when it is opened by a careless hand."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.bin"])
def test_a_pickle_that_is_more_than_tensors_is_never_run(tmp_path, kind, name):
    write_small(tmp_path, kind)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"conv1.weight": Mischief()}, tmp_path / name)
    with pytest.raises(UnreadableFile, match="weights cannot be read"):
        load_encoder(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Mischief(), protocol=2))
    with pytest.raises(UnreadableFile, match="weights cannot be read"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("kind", ["wav2vec2-bert", "whisper", "audio-spectrogram-transformer", "unispeech-sat"])
def test_damaged_weights_are_refused_whatever_the_type(tmp_path, kind):
    write_small(tmp_path, kind)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFile, match=r"weights cannot be read[\s\S]*download the model again"):
        load_encoder(tmp_path)
    path.unlink()
    with pytest.raises(UnreadableFile, match="weights cannot be read"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("whisper", "encoder_layers"), ("wav2vec2-bert", "num_hidden_layers"), ("hubert", "num_hidden_layers")],
)
def test_a_config_of_a_larger_model_is_refused(tmp_path, kind, key):
    """Never a model with parts left at random."""
    write_small(tmp_path, kind)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: 5}))
    with pytest.raises(UnreadableFile, match=r"lacks some of the model's weights[\s\S]*layers.3"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-bert", "hubert"])
def test_a_config_of_another_width_is_refused(tmp_path, kind):
    write_small(tmp_path, kind)
    path = tmp_path / "config.json"
    wider = {"d_model": 64} if kind == "whisper" else {"hidden_size": 64}
    path.write_text(json.dumps(json.loads(path.read_text()) | wider))
    with pytest.raises(UnreadableFile, match="weights"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-bert", "hubert", "audio-spectrogram-transformer"])
def test_a_config_of_a_smaller_model_is_refused(tmp_path, kind):
    """Never a model cut short: transformers would take the first blocks and say nothing."""
    write_small(tmp_path, kind)
    path = tmp_path / "config.json"
    key = "encoder_layers" if kind == "whisper" else "num_hidden_layers"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: 2}))
    with pytest.raises(UnreadableFile, match=r"holds blocks that its config does not[\s\S]*weights left over"):
        load_encoder(tmp_path)


def test_a_model_with_a_head_is_read_without_it_and_not_cut_short(tmp_path, sound):
    write_small(tmp_path / "body", "hubert")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "body")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = transformers.HubertForCTC(config)
    model.save_pretrained(tmp_path / "head")
    shutil.copy(tmp_path / "body" / "preprocessor_config.json", tmp_path / "head")
    model.hubert.save_pretrained(tmp_path / "body")
    one, other = (load_encoder(tmp_path / name).encode(sound(1), [3])[3].values for name in ("body", "head"))
    np.testing.assert_array_equal(one, other)
    path = tmp_path / "head" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 2}))
    with pytest.raises(UnreadableFile, match=r"holds blocks that its config does not"):
        load_encoder(tmp_path / "head")


@pytest.mark.parametrize("kind", list(ENCODERS))
def test_a_config_that_lacks_what_the_weights_do_not_tell_is_refused(tmp_path, kind):
    """What transformers would fill in is another model's clock or number of heads."""
    write_small(tmp_path, kind)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    for name in ENCODERS[kind].config:
        path.write_text(json.dumps({k: v for k, v in values.items() if k != name}))
        with pytest.raises(UnreadableFile, match=rf"config does not say all[\s\S]*without {name}"):
            load_encoder(tmp_path)


def test_a_config_that_contradicts_itself_is_refused(tmp_path):
    write_small(tmp_path, "hubert")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"conv_stride": [5, 2]}))
    with pytest.raises(UnreadableFile, match=r"config cannot be used"):
        load_encoder(tmp_path)
