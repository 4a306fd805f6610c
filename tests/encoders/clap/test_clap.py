"""CLAP's audio tower gives transformers' own numbers at every site, from any folder, through every door of the room."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from brainalign.core.errors import UnreadableFile, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.encoders.base import Encoder
from brainalign.encoders.clap import ClapEncoder
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.many import encode_many
from brainalign.encoders.stream import encode_to
from brainalign.encoders.twin import shuffled_twin, untrained_twin
from tests.encoders.tower import N_LAYERS, RATE, SETTINGS, WIDTH, noise, write_tower


def extracted(waveform):
    """What transformers' own extractor gives a sound that fits."""
    options = {"sampling_rate": RATE, "return_tensors": "pt", "padding": "pad"}
    return transformers.ClapFeatureExtractor(**SETTINGS)(np.array(waveform), **options)["input_features"]


def unfolded(picture):
    """Read the frames off a picture (row, column, feature), patch by patch: mean over a frame's bands."""
    side = len(picture)
    n_bands = side // 4
    frames = [
        [picture[quarter * n_bands + band, column] for band in range(n_bands)]
        for quarter in range(4)
        for column in range(side)
    ]
    return np.array(frames).mean(axis=1)


def test_hidden_states_are_those_of_transformers(tower, encoder):
    """Transformers gives the last block of every stage, before its patches are merged."""
    stimulus = noise(10)
    with torch.inference_mode():
        theirs = tower(
            extracted(stimulus.waveform), output_hidden_states=True, output_hidden_states_before_downsampling=True
        ).hidden_states
    ours = encoder.encode(stimulus, [0, 2, 4, 6, 8])
    for stage, (layer, state) in enumerate(zip(ours, theirs, strict=True)):
        picture = state[0].permute(1, 2, 0).numpy()
        assert ours[layer].values.shape == (len(picture) * 4, WIDTH * 2 ** max(0, stage - 1))
        np.testing.assert_allclose(ours[layer].values, unfolded(picture), atol=2e-5)


def test_a_model_that_fuses_is_given_whole_sounds(tmp_path):
    """Four times the same spectrogram, and no sound longer than it: the pieces' own weights are not used."""
    model = write_tower(tmp_path, enable_fusion=True, settings={"truncation": "fusion"})
    encoder, stimulus = load_encoder(tmp_path), noise(10)
    extractor = transformers.ClapFeatureExtractor(**{**SETTINGS, "truncation": "fusion"})
    heard = extractor(np.array(stimulus.waveform), sampling_rate=RATE, return_tensors="pt")["input_features"]
    given = encoder.inputs.given(stimulus.waveform, None)
    assert given.shape == heard.shape[1:] == (4, 1001, 64)
    np.testing.assert_allclose(given, heard[0], atol=2e-4)
    with torch.inference_mode():
        theirs = model(
            heard,
            is_longer=torch.zeros(1, 1, dtype=torch.bool),
            output_hidden_states=True,
            output_hidden_states_before_downsampling=True,
        ).hidden_states
    ours = encoder.encode(stimulus, [0, 2, 8])
    for layer, state in zip(ours, (theirs[0], theirs[1], theirs[4]), strict=True):
        np.testing.assert_allclose(ours[layer].values, unfolded(state[0].permute(1, 2, 0).numpy()), atol=2e-5)
    assert not encoder.model._forward_pre_hooks
    assert untrained_twin(encoder, seed=0).encode(noise(11), [8])[8].axis.n == 35


def test_every_site_is_what_plain_hooks_hear(tower, encoder):
    stimulus, layer = noise(10, seed=1), 5
    block, heard = tower.audio_encoder.layers[2].blocks[0], {}

    def keep(name, end):
        def hook(_, args, output):
            heard[name] = (args[0] if end == "input" else output if torch.is_tensor(output) else output[0]).clone()

        return hook

    places = {
        "before": (block, "input"),
        "residual": (block, "output"),
        "between": (block.layernorm_after, "input"),
        "mlp": (block.intermediate, "output"),
        "front": (tower.audio_encoder.patch_embed.proj, "output"),
        "final": (tower.audio_encoder.norm, "output"),
    }
    handles = [module.register_forward_hook(keep(name, end)) for name, (module, end) in places.items()]
    with torch.inference_mode():
        tower(extracted(stimulus.waveform))
    for handle in handles:
        handle.remove()
    theirs = {name: tensor[0].flatten(1).T if name == "front" else tensor[0] for name, tensor in heard.items()}
    # What attention adds to the residual stream.
    theirs["attention"] = theirs.pop("between") - theirs.pop("before")
    wanted = [(name, {"front": 0, "final": N_LAYERS}.get(name, layer)) for name in theirs]
    ours = encoder.encode_sites(stimulus, wanted)
    assert list(ours) == wanted
    for name, key in zip(theirs, wanted, strict=True):
        side = int(len(theirs[name]) ** 0.5)
        np.testing.assert_allclose(ours[key].values, unfolded(theirs[name].reshape(side, side, -1).numpy()), atol=2e-5)
        assert ours[key].provenance.steps[-1].parameters["site"] == name
    assert ours["mlp", layer].n_features == 4 * 4 * WIDTH
    assert ours["mlp", layer].features[3] == "layer5-mlp-3"


@pytest.mark.parametrize("seconds", [0.7, 3, 10])
@pytest.mark.parametrize(("truncation", "filters"), [("rand_trunc", "slaney"), ("fusion", "htk")])
def test_the_spectrogram_is_that_of_transformers(seconds, truncation, filters, encoder):
    """The extractor's own cutting and repeating is not asked for, only its spectrogram and its silence."""
    waveform = noise(seconds, seed=2).waveform
    extractor = transformers.ClapFeatureExtractor(**{**SETTINGS, "truncation": truncation})
    theirs = extractor(np.array(waveform), sampling_rate=RATE, return_tensors="np", padding="pad")["input_features"]
    hears = replace(encoder.inputs, mel=replace(encoder.inputs.mel, filters=filters))
    ours = hears.given(waveform, None)
    assert ours.shape == (1, 1001, 64) and ours.dtype == np.float32
    np.testing.assert_allclose(ours[0], theirs[0, 0], atol=2e-4)


@pytest.mark.parametrize("seconds", [3, 23.1])
def test_one_way_of_asking_gives_what_another_gives(encoder, seconds):
    """Layers of several stages in one pass, or one by one."""
    stimulus = noise(seconds)
    together = encoder.encode_sites(stimulus, [("mlp", 7), ("residual", 0), ("residual", 3), ("mlp", 3)])
    for (site, layer), found in together.items():
        alone = encoder.encode(stimulus, [layer], site=site)[layer]
        np.testing.assert_array_equal(alone.values, found.values)
        assert (alone.axis, alone.provenance, alone.features) == (found.axis, found.provenance, found.features)


def test_bands_lie_side_by_side_low_ones_first(encoder):
    stimulus = noise(2)
    mean = encoder.encode(stimulus, [3])[3]
    apart = replace(encoder, bands="apart").encode(stimulus, [3])[3]
    assert apart.n_features == 8 * 2 * WIDTH and apart.features[2 * WIDTH] == "layer3-band1-0"
    np.testing.assert_allclose(apart.values.reshape(-1, 8, 2 * WIDTH).mean(axis=1), mean.values, atol=1e-6)
    # A low tone and a high one move the patches of their own bands most, before any block mixes them.
    lowest, highest = (_moved_by_a_tone(encoder, hertz) for hertz in (300, 11_000))
    assert (lowest, highest) == (1, 15)


def _moved_by_a_tone(encoder, hertz):
    quiet = noise(2)
    tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(quiet.axis.n) / RATE).astype(np.float32)
    loud = Stimulus("tone", quiet.waveform + tone, quiet.axis)
    one, other = (replace(encoder, bands="apart").encode_sites(s, [("front", 0)])["front", 0] for s in (quiet, loud))
    return int(np.argmax(np.square(other.values - one.values).reshape(-1, 16, WIDTH).sum(axis=(0, 2))))


# --- the room's other doors


def test_frames_go_to_the_disk_and_are_taken_up_again(encoder, tmp_path):
    stimulus, wanted = noise(23), [("residual", 5), ("mlp", 6)]
    staged = replace(encoder.at(wanted), memory=1)
    expected = encoder.encode_sites(stimulus, wanted)

    class Interrupted(Exception):
        pass

    def stop(done, total):
        if done:
            raise Interrupted

    with pytest.raises(Interrupted):
        encode_to(tmp_path, staged, stimulus=stimulus, wanted=wanted, progress=stop)
    found = encode_to(tmp_path, staged, stimulus=stimulus, wanted=wanted)
    for key in wanted:
        np.testing.assert_allclose(found[key].values, expected[key].values, atol=2e-5)
        assert (found[key].axis, found[key].provenance) == (expected[key].axis, expected[key].provenance)
    with pytest.raises(ValueProblem, match=r"not on its clock[\s\S]*stage 2, the encoder is at stage 0"):
        encode_to(tmp_path / "b", encoder, stimulus=stimulus, wanted=wanted)
    with pytest.raises(ValueProblem, match=r"on different clocks[\s\S]*stages \[0, 3\]"):
        encoder.at([("residual", 0), ("final", 8)])


def test_many_sounds_and_their_progress(encoder):
    stimulus, told = noise(2), []
    first, second = encode_many(encoder, [stimulus, stimulus], layers=[0, 8])
    assert np.shares_memory(first[8].values, second[8].values)
    assert [first[k].axis.rate for k in (0, 8)] == [Fraction(1023, 40), Fraction(1023, 320)]
    encoder.encode_sites(stimulus, [("residual", 8), ("residual", 0)], progress=lambda *counts: told.append(counts))
    encoder.encode_sites(stimulus, [("residual", 8)], progress=lambda *counts: told.append(counts))
    assert told == [(0, 51), (51, 51)] * 2


def test_twins_have_the_same_clocks_and_other_numbers(encoder):
    stimulus = noise(2)
    trained = encoder.encode(stimulus, [3])[3]
    for twin in (untrained_twin(encoder, seed=1), shuffled_twin(encoder, seed=1)):
        assert isinstance(twin, ClapEncoder) and isinstance(twin, Encoder)
        found = twin.encode(stimulus, [3])[3]
        assert found.axis == trained.axis and found.values.shape == trained.values.shape
        assert np.abs(found.values - trained.values).max() > 0.1


def test_half_precision_agrees(folder, encoder):
    stimulus = noise(3)
    exact = encoder.encode(stimulus, [0, 8])
    half = load_encoder(folder, dtype="bfloat16").encode(stimulus, [0, 8])
    for k in exact:
        error = np.sqrt(np.mean(np.square(half[k].values - exact[k].values))) / exact[k].values.std()
        assert 1e-4 < error < 0.05


def test_batches_are_windows_filled_up_to_one_length(encoder):
    stimulus = noise(40)
    many = replace(encoder, memory="1GB")
    assert [len(batch) for batch in many._batches(stimulus)] == [7]
    assert {len(batch) for batch in replace(encoder, memory=1)._batches(stimulus)} == {1}
    np.testing.assert_allclose(
        many.encode(stimulus, [6])[6].values, replace(encoder, memory=1).encode(stimulus, [6])[6].values, atol=2e-5
    )


# --- folders


def test_a_whole_clap_gives_its_tower(tmp_path, encoder):
    write_tower(tmp_path, whole=True)
    whole = load_encoder(tmp_path)
    assert whole.identity["model_type"] == "clap_audio_model"
    assert not any("text" in name for name, _ in whole.model.named_parameters())
    stimulus = noise(2)
    # Norms and biases were drawn in another order.
    assert whole.encode(stimulus, [8])[8].axis == encoder.encode(stimulus, [8])[8].axis
    state = {k.removeprefix("audio_model."): v for k, v in load_file(tmp_path / "model.safetensors").items()}
    tower_alone = transformers.ClapAudioModel(encoder.model.config)
    tower_alone.load_state_dict({k: v for k, v in state.items() if k.startswith("audio_encoder.")})
    alone = replace(encoder, model=tower_alone.eval())
    np.testing.assert_array_equal(alone.encode(stimulus, [8])[8].values, whole.encode(stimulus, [8])[8].values)


def test_old_pickled_checkpoints_are_read_as_tensors(tmp_path, encoder, folder):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save({f"audio_model.{k}": v for k, v in encoder.model.state_dict().items()}, tmp_path / "pytorch_model.bin")
    stimulus = noise(2)
    np.testing.assert_array_equal(
        load_encoder(tmp_path).encode(stimulus, [8])[8].values, encoder.encode(stimulus, [8])[8].values
    )


def test_what_cannot_be_read_is_refused(tmp_path, folder):
    with pytest.raises(ValueProblem, match=r"several spectrograms at once[\s\S]*'channel_map'"):
        load_encoder(_changed(folder, tmp_path / "fused", enable_fusion=True, fusion_type="channel_map"))
    with pytest.raises(ValueProblem, match=r"no time of their own[\s\S]*patches of 7 every \[4, 4\]"):
        load_encoder(_changed(folder, tmp_path / "overlap", patch_size=7))
    with pytest.raises(
        ValueProblem, match=r"no time of their own[\s\S]*64 bands, patches of 4 every \[4, 4\], 6 stages"
    ):
        load_encoder(_changed(folder, tmp_path / "deep", depths=[1] * 6))
    with pytest.raises(UnreadableFile, match=r"does not say all that it must[\s\S]*without spec_size"):
        load_encoder(_changed(folder, tmp_path / "size", spec_size=None))
    with pytest.raises(UnreadableFile, match=r"lacks some of the model's weights[\s\S]*layers.1.blocks.2"):
        load_encoder(_changed(folder, tmp_path / "more", depths=[2, 3, 2, 2]))
    with pytest.raises(UnreadableFile, match=r"holds blocks that its config does not know of[\s\S]*layers.1.blocks.1"):
        load_encoder(_changed(folder, tmp_path / "fewer", depths=[2, 1, 2, 2]))
    path = _changed(folder, tmp_path / "settings")
    for changes in ({"feature_size": 80}, {"max_length_s": 12}, {"truncation": "other"}, {"max_length_s": 3}):
        (path / "preprocessor_config.json").write_text(json.dumps({**SETTINGS, **changes}))
        with pytest.raises(ValueProblem, match=r"do not belong to this model[\s\S]*the model takes 64 x 1024 at most"):
            load_encoder(path)
    text = _changed(folder, tmp_path / "text")
    save_file({"text_model.x": torch.ones(2)}, text / "model.safetensors")
    with pytest.raises(UnreadableFile, match=r"weights cannot be read[\s\S]*no CLAP audio tower in these weights"):
        load_encoder(text)


def _changed(folder, path, **changes):
    path.mkdir()
    for source in folder.iterdir():
        (path / source.name).write_bytes(source.read_bytes())
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return path


def test_sites_that_do_not_fit_the_frames_say_why(encoder):
    with pytest.raises(ValueProblem, match=r"cannot give 'heads'[\s\S]*pieces of several moments"):
        encoder.encode(noise(1), [1], site="heads")
    with pytest.raises(ValueProblem, match=r"gives no attention maps[\s\S]*pieces of several moments"):
        encoder.attention_maps(noise(1), [1])
    with pytest.raises(ValueProblem, match="has hidden states 0 to 8"):
        encoder.encode(noise(1), [9])
