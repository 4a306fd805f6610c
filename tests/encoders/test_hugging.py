"""Loading and running: the states transformers computes, on the right clock, and refusals that help."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

from brainalign.core.errors import GridMismatch, MissingFile, UnknownName, UnreadableFile, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.builtin import PREPROCESSOR, SETTINGS
from brainalign.encoders.families import ENCODERS
from brainalign.encoders.hugging import load_encoder

SMALL = {key: value for key, value in SETTINGS.items() if key not in ("architectures", "model_type")}
SMALL |= {"hidden_size": 32, "intermediate_size": 48, "conv_dim": [16] * 7, "num_hidden_layers": 3}
MODELS = {
    "hubert": (transformers.HubertConfig, {}),
    "wav2vec2": (transformers.Wav2Vec2Config, {"feat_extract_norm": "group", "conv_bias": False}),
    "data2vec-audio": (transformers.Data2VecAudioConfig, {"num_conv_pos_embeddings": 2}),
    "wavlm": (transformers.WavLMConfig, {}),
}
VARIANTS = [(kind, stable) for kind in MODELS for stable in (False, True) if not (stable and kind == "data2vec-audio")]


def _write(folder, kind="hubert", *, stable=False, seed=0, **preprocessor):
    make, changes = MODELS[kind]
    config = make(**{**SMALL, **changes, "do_stable_layer_norm": stable})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModel.from_config(config)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**PREPROCESSOR, **preprocessor}))
    return model.eval()


@pytest.mark.parametrize(("kind", "stable"), VARIANTS)
def test_every_family_gives_the_states_of_transformers(tmp_path, sound, kind, stable):
    """Compared with the library's own hidden states, except the last: there its meaning has changed."""
    model = _write(tmp_path, kind, stable=stable, do_normalize=False)
    stimulus = sound(2)
    with torch.inference_mode():
        theirs = model(torch.from_numpy(stimulus.waveform.copy())[None], output_hidden_states=True).hidden_states
    states = load_encoder(tmp_path).encode(stimulus, [0, 1, 2, 3])
    for k in (0, 1, 2):
        np.testing.assert_allclose(states[k].values, theirs[k][0].numpy(), atol=1e-5)
        assert states[k].axis == TimeAxis(50, 99, "399/32000")
    # Block 3's own output: before a stable-layer-norm model's final norm, whatever the version says.
    block = model.encoder.layers[2]
    found = []
    handle = block.register_forward_hook(lambda *args: found.append(args[2]))
    with torch.inference_mode():
        model(torch.from_numpy(stimulus.waveform.copy())[None])
    handle.remove()
    expected = found[0][0] if isinstance(found[0], tuple) else found[0]
    np.testing.assert_allclose(states[3].values, expected[0].numpy(), atol=1e-5)


def test_normalisation_is_that_of_the_feature_extractor(tmp_path, sound):
    model = _write(tmp_path, do_normalize=True)
    stimulus = sound(2)
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    inputs = extractor(stimulus.waveform.copy(), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        theirs = model(inputs, output_hidden_states=True).hidden_states[1][0].numpy()
    loaded = load_encoder(tmp_path)
    assert loaded.inputs.normalise
    np.testing.assert_allclose(loaded.encode(stimulus, [1])[1].values, theirs, atol=1e-4)


def test_one_layer_is_the_same_alone_and_in_company(encoder, sound):
    stimulus = sound(2)
    together = encoder.encode(stimulus, [0, 1, 2, 3, 4])
    for k, states in together.items():
        np.testing.assert_array_equal(encoder.encode(stimulus, [k])[k].values, states.values)
        assert states.features[:2] == (f"layer{k}-0", f"layer{k}-1")
        assert states.values.dtype == np.float32 and not states.is_sparse
    assert list(encoder.encode(stimulus, [3, 1, 3])) == [3, 1]


def test_blocks_above_the_wanted_one_do_not_run(encoder, sound):
    runs = []
    handles = [b.register_forward_hook(lambda *_, i=i: runs.append(i)) for i, b in enumerate(encoder.blocks, start=1)]
    encoder.encode(sound(1), [2])
    encoder.encode(sound(1), [0])
    for handle in handles:
        handle.remove()
    assert runs == [1, 2]


def test_encoding_leaves_the_model_as_it_was(encoder, sound):
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    encoder.encode(sound(1), [1])
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in encoder.model.modules())
    assert not encoder.model.training and len(encoder.blocks) == encoder.n_layers == 4


def test_a_later_start_moves_the_frames(encoder, sound):
    early = sound(1)
    late = Stimulus("late", early.waveform, TimeAxis(16_000, early.axis.n, "3/2"))
    one, other = (encoder.encode(s, [1])[1] for s in (early, late))
    assert other.axis == one.axis.moved("3/2")
    np.testing.assert_array_equal(one.values, other.values)


def test_provenance_knows_the_weights_and_not_the_folder(encoder, untrained, sound, tmp_path):
    moved = shutil.copytree(untrained, tmp_path / "elsewhere")
    one, other = (e.encode(sound(1), [2])[2].provenance for e in (encoder, load_encoder(moved)))
    assert one == other
    step = one.steps[-1]
    assert step.name == "encode"
    assert (step.parameters["layer"], step.parameters["model_type"], step.parameters["dtype"]) == (
        2,
        "hubert",
        "float32",
    )
    assert step.parameters["normalised"] is True and len(step.parameters["sha256"]) == 64
    assert step.parameters["sha256"][:12] in encoder.name
    for folder in (untrained, tmp_path):
        assert str(folder) not in json.dumps(one.to_json())


def test_old_pickled_checkpoints_load_too(tmp_path, sound):
    model = _write(tmp_path)
    stimulus = sound(1)
    expected = load_encoder(tmp_path).encode(stimulus, [3])[3].values
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    np.testing.assert_array_equal(load_encoder(tmp_path).encode(stimulus, [3])[3].values, expected)


def test_half_precision_checkpoints_run_in_float32(tmp_path, sound):
    _write(tmp_path).half().save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert np.all(np.isfinite(loaded.encode(sound(1), [1])[1].values))


def test_transformers_settings_are_left_alone(untrained):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_num_threads()
    load_encoder(untrained)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_num_threads()) == before


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_wrong_rate_is_refused_with_the_way_out(encoder, sound):
    with pytest.raises(
        GridMismatch, match=r"not at the encoder's[\s\S]*8000 Hz[\s\S]*resample_audio\(stimulus, 16000\)"
    ):
        encoder.encode(sound(1, rate=8000), [1])


def test_a_sound_shorter_than_a_frame_is_refused(encoder, sound):
    with pytest.raises(ValueProblem, match=r"shorter than one frame[\s\S]*399 samples[\s\S]*at least 400"):
        encoder.encode(sound(399 / 16_000), [1])
    assert encoder.encode(sound(400 / 16_000), [1])[1].axis.n == 1


@pytest.mark.parametrize("layers", [[5], [-1], [0, 9], [1.5], ["2"], []])
def test_layers_that_are_not_there_are_refused(encoder, sound, layers):
    with pytest.raises(ValueProblem, match="has hidden states 0 to 4"):
        encoder.encode(sound(1), layers)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    for source in (tmp_path / "none", str(tmp_path / "none"), "./none", "a/b/c", ""):
        with pytest.raises(MissingFile, match="no encoder folder here"):
            load_encoder(source)


def test_a_hub_that_cannot_be_reached_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(MissingFile, match=r"no such folder, and the hub[\s\S]*nobody/nothing[\s\S]*local folder"):
        load_encoder("nobody/nothing")


def test_a_hub_model_goes_by_its_name_and_commit(untrained, sound, monkeypatch):
    """The hub's cache is stood in for by a folder: which files are asked for, and at which commit."""
    asked = []

    def cached(where, name, *, revision=None, **_):
        asked.append((where, name, revision))
        return str(untrained / name) if (untrained / name).is_file() else None

    def config(where, **_):
        found = transformers.HubertConfig.from_pretrained(untrained)
        found._commit_hash = "c0ffee"
        return found

    whole = transformers.AutoModel.from_pretrained
    monkeypatch.setattr("brainalign.encoders.checkpoint.cached_file", cached)
    monkeypatch.setattr("brainalign.encoders.checkpoint.AutoConfig.from_pretrained", config)
    monkeypatch.setattr(
        "brainalign.encoders.checkpoint.AutoModel.from_pretrained", lambda where, **kw: whole(untrained, **kw)
    )
    loaded = load_encoder("some/hubert", revision="v1")
    assert asked[0] == ("some/hubert", "config.json", "v1")
    assert {revision for _, _, revision in asked[1:]} == {"c0ffee"}
    parameters = loaded.encode(sound(1), [1])[1].provenance.steps[-1].parameters
    assert (loaded.name, parameters["model"], parameters["revision"]) == ("some/hubert", "some/hubert", "c0ffee")


def test_a_folder_without_its_config_is_refused(tmp_path):
    with pytest.raises(MissingFile, match=r"no config.json \(it says what kind"):
        load_encoder(tmp_path)


def test_a_damaged_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{half")
    with pytest.raises(UnreadableFile, match="config is damaged"):
        load_encoder(tmp_path)


def test_an_unknown_type_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "huberts"}))
    with pytest.raises(UnknownName) as caught:
        load_encoder(tmp_path)
    assert "did you mean 'hubert'" in caught.value.fix
    assert all(kind in caught.value.fix for kind in ENCODERS)


def test_an_unknown_normalisation_is_refused(tmp_path, untrained):
    folder = shutil.copytree(untrained, tmp_path / "m")
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 16_000}))
    with pytest.raises(UnreadableFile, match=r"normalisation of a model's waveforms are not known[\s\S]*do_normalize"):
        load_encoder(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(MissingFile, match=r"no preprocessor_config.json \(it holds sampling_rate"):
        load_encoder(folder)


def test_damaged_weights_are_refused(tmp_path, untrained):
    folder = shutil.copytree(untrained, tmp_path / "m")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFile, match="weights cannot be read"):
        load_encoder(folder)
    weights.unlink()
    with pytest.raises(UnreadableFile, match="weights cannot be read"):
        load_encoder(folder)


def test_weights_of_another_model_are_refused(tmp_path, untrained):
    """Never a model with parts left at random."""
    folder = shutil.copytree(untrained, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))
    with pytest.raises(UnreadableFile, match=r"lacks some of the model's weights[\s\S]*missing, e.g. encoder.layers.4"):
        load_encoder(folder)
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    with pytest.raises(UnreadableFile, match=r"weights"):
        load_encoder(folder)


def test_a_device_that_is_not_there_is_refused(untrained):
    with pytest.raises(ValueProblem, match=r"this device is not here[\s\S]*nonsense"):
        load_encoder(untrained, device="nonsense")
