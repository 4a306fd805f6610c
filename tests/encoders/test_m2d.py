"""M2D: another library's vision transformer gives the same numbers, and clicks find the frames where the clock says."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import transformers

from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.base import Encoder
from brainalign.encoders.causal import Causal
from brainalign.encoders.hooks import captured
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.m2d import M2DEncoder, load_m2d
from brainalign.encoders.m2d_model import M2D, M2DConfig
from brainalign.encoders.sites import find_site
from brainalign.encoders.stream import encode_to
from brainalign.encoders.twin import shuffled_twin, untrained_twin
from brainalign.encoders.windows import OnePass, Windowing

RATE, WIDTH, INNER, N_HEADS, N_LAYERS = 16_000, 32, 48, 4, 3
GENERAL, SPEECH = "m2d_vit_base-80x608p16x16-221006-mr7", "m2d_s_vit_base-80x400p80x2-230201"
# Bands, frames of one pass, and patches by the folder's name.
SIZES = {GENERAL: (5, 38, (16, 16)), SPEECH: (1, 200, (80, 2))}
CLICKS = [4_000 + 1_777 * i for i in range(10)]


def made(name=GENERAL, *, seed=0):
    """A small model of random weights, in the authors' layout."""
    n_bands, n_frames, patch = SIZES[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = M2D(M2DConfig(WIDTH, N_LAYERS, N_HEADS, INNER, n_bands, n_frames, patch))
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval().requires_grad_(False)


def write(folder, model, *, name=GENERAL, prefix="", wrapped=True, **more):
    """Write a checkpoint as the authors do."""
    state = {f"{prefix}{key}": tensor for key, tensor in model.state_dict().items()} | more
    path = folder / name
    path.mkdir(parents=True)
    torch.save({"model": state} if wrapped else state, path / "checkpoint-300.pth")
    return path


@pytest.fixture(scope="module", params=[GENERAL, SPEECH])
def pair(request, tmp_path_factory):
    """A name, the model as it was written, and as it was read."""
    model = made(request.param)
    path = write(tmp_path_factory.mktemp("m2d"), model, name=request.param)
    return request.param, model, load_m2d(path, n_heads=N_HEADS, scale=(-7.1, 4.2))


@pytest.fixture(scope="module")
def general(tmp_path_factory):
    return write(tmp_path_factory.mktemp("m2d"), made())


def vision(model, n_frames):
    """Transformers' vision transformer with the same weights, for sounds of some frames."""
    config, state = model.config, model.state_dict()
    theirs = transformers.ViTModel(
        transformers.ViTConfig(
            hidden_size=WIDTH, num_hidden_layers=N_LAYERS, num_attention_heads=N_HEADS, intermediate_size=INNER,
            image_size=(80, n_frames * config.patch[1]), patch_size=config.patch, num_channels=1, layer_norm_eps=1e-6,
            hidden_act="gelu", qkv_bias=True,
        ), add_pooling_layer=False,
    )  # fmt: skip
    mapped = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    # The positions of the first frames of every band.
    places = state["pos_embed"][0, 1:].reshape(config.n_bands, config.n_frames, WIDTH)[:, :n_frames]
    mapped["embeddings.position_embeddings"] = torch.cat([state["pos_embed"][:, :1], places.reshape(1, -1, WIDTH)], 1)
    parts = {"norm1": "layernorm_before", "norm2": "layernorm_after", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
    parts["attn.proj"] = "attention.o_proj"
    for k in range(N_LAYERS):
        for end in ("weight", "bias"):
            for ours, other in parts.items():
                mapped[f"layers.{k}.{other}.{end}"] = state[f"blocks.{k}.{ours}.{end}"]
            thirds = state[f"blocks.{k}.attn.qkv.{end}"].chunk(3)
            for letter, third in zip("qkv", thirds, strict=True):
                mapped[f"layers.{k}.attention.{letter}_proj.{end}"] = third
    theirs.load_state_dict(mapped)
    return theirs.eval()


def averaged(tokens, n_bands):
    """Mean over the tokens of a frame, which lie band by band."""
    n = len(tokens) // n_bands
    return np.mean([tokens[b * n : (b + 1) * n].numpy() for b in range(n_bands)], axis=0)


# --- numbers


@pytest.mark.parametrize("seconds", [1.3, 4.0])
def test_states_are_those_of_another_vision_transformer(pair, sound, seconds):
    name, model, encoder = pair
    stimulus = sound(seconds)
    given = torch.from_numpy(encoder.inputs.given(stimulus.waveform, None))[None]
    n = encoder.clock.n_frames(stimulus.axis.n)
    assert given.shape == (1, 1, 80, n * SIZES[name][2][1])
    with torch.inference_mode():
        theirs = vision(model, n)(given, output_hidden_states=True)
    ours = encoder.encode_sites(stimulus, [*(("residual", k) for k in range(N_LAYERS + 1)), ("final", N_LAYERS)])
    for k in range(N_LAYERS):
        # The last of the hidden states has been through the last norm.
        np.testing.assert_allclose(
            ours["residual", k].values, averaged(theirs.hidden_states[k][0, 1:], SIZES[name][0]), atol=2e-5
        )
    final = averaged(theirs.last_hidden_state[0, 1:], SIZES[name][0])
    np.testing.assert_allclose(ours["final", N_LAYERS].values, final, atol=2e-5)
    assert ours["residual", 3].values.shape == (n, WIDTH)


def test_sites_are_those_of_another_vision_transformer(pair, sound):
    name, model, encoder = pair
    stimulus = sound(2, seed=1)
    n = encoder.clock.n_frames(stimulus.axis.n)
    theirs, heard = vision(model, n), {}
    layer = theirs.layers[1]
    places = {
        "mlp": (layer.mlp.fc2, "input"),
        "attention": (layer.attention, "output"),
        "heads": (layer.attention.o_proj, "input"),
        "front": (theirs.embeddings.patch_embeddings, "output"),
    }

    def keep(name, end):
        def hook(_, args, output):
            heard[name] = args[0] if end == "input" else output if torch.is_tensor(output) else output[0]

        return hook

    for site, (module, end) in places.items():
        module.register_forward_hook(keep(site, end))
    with torch.inference_mode():
        theirs(torch.from_numpy(encoder.inputs.given(stimulus.waveform, None))[None])
    ours = encoder.encode_sites(stimulus, [(site, 0 if site == "front" else 2) for site in places])
    for (site, _), found in ours.items():
        tokens = heard[site][0] if site == "front" else heard[site][0, 1:]
        np.testing.assert_allclose(found.values, averaged(tokens, SIZES[name][0]), atol=2e-5)
    assert ours["mlp", 2].n_features == INNER


def test_the_spectrogram_is_that_of_another_implementation(pair, sound):
    """Centred periodic Hann windows of 25 ms, Slaney's triangles from 50 Hz on, natural logarithm."""
    encoder = pair[2]
    waveform = sound(3, seed=2).waveform
    bank = transformers.audio_utils.mel_filter_bank(201, 80, 50.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    power = transformers.audio_utils.spectrogram(
        np.array(waveform, dtype=np.float64),
        transformers.audio_utils.window_function(400, "hann"),
        frame_length=400, hop_length=160, power=2.0, mel_floor=0.0,
        mel_filters=bank,
    )  # fmt: skip
    theirs = (np.log(power + np.finfo(np.float32).eps) + 7.1) / 4.2
    ours = encoder.inputs.given(waveform, None)
    assert ours.dtype == np.float32
    n = min(ours.shape[2], theirs.shape[1])
    np.testing.assert_allclose(ours[0][:, :n], theirs[:, :n], atol=1e-4)
    # What is missing of the last patch is the mean.
    assert not ours[0][:, n:].any()


def test_bands_are_averaged_or_lie_side_by_side(general, sound):
    stimulus = sound(2)
    mean, apart = (
        load_m2d(general, n_heads=N_HEADS, bands=bands).encode(stimulus, [2])[2] for bands in ("mean", "apart")
    )
    assert apart.n_features == 5 * WIDTH and apart.features[WIDTH] == "layer2-band1-0"
    np.testing.assert_allclose(apart.values.reshape(-1, 5, WIDTH).mean(axis=1), mean.values, atol=1e-6)


# --- clocks


def test_the_clock_is_the_one_that_was_worked_out(pair):
    name, _, encoder = pair
    wide = SIZES[name][2][1]
    assert encoder.clock.rate == Fraction(100, wide)
    assert encoder.clock.first_centre == Fraction(wide - 1, 200)
    assert encoder.clock.span == 399 + 160 * (wide - 1)


def _front(encoder, waveform):
    site = find_site(encoder.model, encoder.blocks, ("front", 0), encoder.family)[0]
    with torch.inference_mode(), captured({0: site}) as found:
        encoder.model(torch.from_numpy(encoder.inputs.given(waveform, None))[None])
    return encoder._frames(found[0], ("front", 0))[0].numpy()


def _moved(encoder, quiet, at, *, size):
    struck = quiet.copy()
    struck[at] += size
    return np.linalg.norm(_front(encoder, struck) - _front(encoder, quiet), axis=1)


def test_a_click_moves_the_frames_that_see_it_and_no_other(pair, sound):
    encoder, quiet = pair[2], sound(2, seed=3).waveform
    axis, half = encoder.clock.axis(quiet.size), Fraction(encoder.clock.span - 1, 2 * RATE)
    for at in CLICKS:
        moved = _moved(encoder, quiet, at, size=2.0)
        sees = [abs(axis.time(i) - Fraction(at, RATE)) <= half for i in range(axis.n)]
        np.testing.assert_array_equal(moved > 0, sees)
        assert abs(int(np.argmax(moved)) - axis.index(Fraction(at, RATE))) <= 1


def test_a_frames_ends_are_found_to_the_sample(pair, sound):
    encoder, quiet = pair[2], sound(2, seed=3).waveform
    clock = encoder.clock
    frame = clock.n_frames(quiet.size) // 2
    first = frame * clock.stride - clock.lead
    last = first + clock.span - 1
    reached = {at: _moved(encoder, quiet, at, size=100.0)[frame] > 0 for at in (first - 1, first, last, last + 1)}
    assert reached == {first - 1: False, first: True, last: True, last + 1: False}
    assert clock.axis(quiet.size).time(frame) == Fraction(first + last, 2 * RATE)


# --- sounds of any length


def test_long_sounds_run_in_windows(general, pair, sound):
    encoder = load_m2d(general, n_heads=N_HEADS)
    assert encoder.windowing == Windowing(6.08, 2.0)
    stimulus = sound(15)
    found = encoder.encode(stimulus, [2])[2]
    assert found.axis == encoder.clock.axis(stimulus.axis.n)
    windows = [window for batch in encoder._batches(stimulus) for window in batch]
    assert len(windows) > 3 and found.provenance.steps[-1].parameters["windows"] == len(windows)
    for window in windows:
        cut = stimulus.waveform[window.samples(encoder.clock, stimulus.axis.n)]
        alone = encoder.encode(Stimulus("cut", cut, TimeAxis(RATE, cut.size)), [2])[2].values[window.kept]
        np.testing.assert_allclose(found.values[window.keep_start : window.keep_stop], alone, atol=2e-5)
    # Four seconds hold no two seams.
    if pair[0] == SPEECH:
        assert pair[2].windowing == OnePass(200)
        with pytest.raises(ValueProblem, match=r"too long for this model[\s\S]*Causal"):
            pair[2].encode(sound(5), [1])


def test_causal_frames_do_not_know_what_comes_later(general, sound):
    causal = replace(load_m2d(general, n_heads=N_HEADS), windowing=Causal(2.0, stride_frames=2))
    stimulus = sound(4)
    waveform = stimulus.waveform.copy()
    waveform[40_000:] *= -50
    one, other = (causal.encode(Stimulus("x", w, stimulus.axis), [3])[3] for w in (stimulus.waveform, waveform))
    past = sum(causal.clock.reach(2 * i) <= 40_000 for i in range(one.axis.n))
    assert 3 < past < one.axis.n
    np.testing.assert_array_equal(one.values[:past], other.values[:past])
    assert np.abs(one.values[past:] - other.values[past:]).max() > 0


def test_lengths_at_the_edge(general, sound):
    encoder = load_m2d(general, n_heads=N_HEADS)
    with pytest.raises(ValueProblem, match=r"shorter than one frame[\s\S]*at least 1201"):
        encoder.encode(sound(1200 / RATE), [1])
    assert encoder.encode(sound(1201 / RATE), [1])[1].values.shape == (1, WIDTH)
    silence = Stimulus("silence", np.zeros(RATE, dtype=np.float32), TimeAxis(RATE, RATE))
    assert np.isfinite(encoder.encode(silence, [3])[3].values).all()


# --- files


def test_every_published_layout_gives_the_same_model(tmp_path, general, sound):
    """Wrapped or not, with a decoder and a target beside it, or as a fine-tuned model keeps it."""
    stimulus, model = sound(1), made()
    expected = load_m2d(general, n_heads=N_HEADS).encode(stimulus, [3])[3].values
    more = {"decoder_blocks.0.attn.qkv.weight": torch.ones(2), "mask_token": torch.ones(1)}
    paths = [
        write(tmp_path / "a", model, wrapped=False),
        write(
            tmp_path / "b", model, prefix="module.ar.runtime.backbone.", **{"module.head.mlp.0.weight": torch.ones(2)}
        ),
        write(tmp_path / "c", model, **more, **{f"target_blocks.0.{k}": v for k, v in model.state_dict().items()}),
    ]
    for path in paths:
        for source in (path, path / "checkpoint-300.pth", str(path)):
            found = load_m2d(source, n_heads=N_HEADS)
            np.testing.assert_array_equal(found.encode(stimulus, [3])[3].values, expected)
    assert isinstance(found, Encoder) and found.name.startswith("m2d-")


def test_the_scale_comes_from_the_file_the_name_or_the_caller(tmp_path, general):
    assert load_m2d(general, n_heads=N_HEADS).inputs.scale == (-7.1, 4.2)
    assert load_m2d(general, n_heads=N_HEADS, scale=(-5.0, 3.0)).inputs.scale == (-5.0, 3.0)
    held = write(tmp_path / "held", made(), norm_stats=torch.tensor([-6.5, 3.5]))
    encoder = load_m2d(held, n_heads=N_HEADS)
    assert encoder.inputs.scale == (-6.5, 3.5)
    assert load_m2d(held, n_heads=N_HEADS, scale=(-5.0, 3.0)).name != encoder.name
    later = write(tmp_path / "later", made(SPEECH), name=SPEECH)
    with pytest.raises(ValueProblem, match=r"scale[\s\S]*is not known[\s\S]*not of 2022[\s\S]*scale=\("):
        load_m2d(later, n_heads=N_HEADS)


def test_the_rate_comes_from_the_name(tmp_path, sound):
    path = write(tmp_path, made(), name="m2d_as_vit_base-80x608p16x16p32k-240413_AS-FT_enconly")
    encoder = load_m2d(path, n_heads=N_HEADS, scale=(-7.1, 4.2))
    assert encoder.sample_rate == 32_000 and encoder.clock.rate == Fraction(25, 4)
    assert encoder.clock.first_centre == Fraction(3, 40)
    assert encoder.inputs.mel.fft == 800 and encoder.inputs.mel.high == 16_000
    assert encoder.encode(sound(2, rate=32_000), [1])[1].axis.n == 13


def test_a_base_model_has_twelve_heads(tmp_path):
    config = M2DConfig(768, 1, 12, 16, 5, 38, (16, 16))
    path = write(tmp_path, M2D(config))
    assert load_m2d(path).model.config == config


def test_names_and_weights_that_do_not_fit_are_refused(tmp_path, general):
    model = made()
    with pytest.raises(ValueProblem, match=r"how many heads[\s\S]*m2d_vit_base, 32 wide[\s\S]*n_heads="):
        load_m2d(general)
    with pytest.raises(ValueProblem, match=r"how many heads[\s\S]*n_heads=5"):
        load_m2d(general, n_heads=5)
    with pytest.raises(ValueProblem, match=r"must have its published name[\s\S]*'weights'"):
        load_m2d(write(tmp_path, model, name="weights"), n_heads=4)
    with pytest.raises(ValueProblem, match=r"does not belong to these weights[\s\S]*191 positions[\s\S]*1 \+ 5 x 13"):
        load_m2d(write(tmp_path, model, name="m2d_vit_base-80x208p16x16-22"), n_heads=4)
    with pytest.raises(ValueProblem, match=r"do not fit one another[\s\S]*44 kHz"):
        load_m2d(write(tmp_path, model, name="m2d_vit_base-80x608p16x16p44k-22"), n_heads=4)
    with pytest.raises(MissingFile, match=r"one .pth file[\s\S]*0 of them"):
        load_m2d(tmp_path)
    torch.save({}, general / "another.pth")
    with pytest.raises(MissingFile, match="2 of them"):
        load_m2d(general, n_heads=4)
    (general / "another.pth").unlink()


def test_files_that_are_more_or_less_than_tensors_are_refused(tmp_path):
    path = write(tmp_path, made()) / "checkpoint-300.pth"
    state = {k: v for k, v in made().state_dict().items() if "blocks.1.mlp" not in k}
    torch.save({"model": state}, path)
    with pytest.raises(UnreadableFile, match=r"lacks some[\s\S]*4, e.g. blocks.1.mlp.fc1.bias is missing"):
        load_m2d(path, n_heads=4)
    torch.save({"model": made().state_dict() | {"norm.weight": torch.ones(3)}}, path)
    with pytest.raises(UnreadableFile, match=r"1, e.g. norm.weight is \[3\], not \[32\]"):
        load_m2d(path, n_heads=4)
    torch.save({"model": {"conv.weight": torch.ones(3)}}, path)
    with pytest.raises(UnreadableFile, match=r"no M2D encoder in these weights[\s\S]*conv.weight"):
        load_m2d(path, n_heads=4)
    # An object of the trainer's own, which only a pickle that may run could bring back.
    torch.save({"model": made().state_dict(), "args": Fraction(1, 2)}, path)
    with pytest.raises(UnreadableFile, match=r"cannot be read as tensors[\s\S]*state dict alone"):
        load_m2d(path, n_heads=4)
    path.write_bytes(b"nothing")
    with pytest.raises(UnreadableFile, match="cannot be read as tensors"):
        load_m2d(path, n_heads=4)


# --- the room's other doors


def test_the_general_door_opens_it_too(tmp_path, sound):
    config = M2DConfig(768, 1, 12, 16, 5, 38, (16, 16))
    path = write(tmp_path, M2D(config))
    encoder = load_encoder(path, bands="apart")
    assert isinstance(encoder, M2DEncoder) and encoder.encode(sound(1), [1])[1].n_features == 5 * 768
    with pytest.raises(ValueProblem, match=r"no such choice[\s\S]*revision='main'"):
        load_encoder(path, revision="main")
    with pytest.raises(ValueProblem, match=r"gives no attention maps[\s\S]*fused"):
        encoder.attention_maps(sound(1), [1])


def test_frames_go_to_the_disk_and_twins_are_others(general, sound, tmp_path):
    encoder, stimulus = load_m2d(general, n_heads=N_HEADS), sound(15)
    wanted = [("residual", 2), ("mlp", 1)]
    found = encode_to(tmp_path, encoder, stimulus=stimulus, wanted=wanted)
    for key, expected in encoder.encode_sites(stimulus, wanted).items():
        np.testing.assert_array_equal(found[key].values, expected.values)
    for twin in (untrained_twin(encoder, seed=1), shuffled_twin(encoder, seed=1)):
        other = twin.encode(sound(1), [2])[2]
        assert np.abs(other.values - encoder.encode(sound(1), [2])[2].values).max() > 0.01
        # Where patches are was never learnt.
    np.testing.assert_array_equal(twin.model.pos_embed, encoder.model.pos_embed)


def test_half_precision_agrees(general, sound):
    stimulus = sound(2)
    exact = load_m2d(general, n_heads=N_HEADS).encode(stimulus, [3])[3].values
    half = load_m2d(general, n_heads=N_HEADS, dtype="bfloat16").encode(stimulus, [3])[3].values
    assert 1e-4 < np.sqrt(np.mean(np.square(half - exact))) / exact.std() < 0.05
