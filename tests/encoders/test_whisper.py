"""Whisper, which hears 30 s whatever it is given: shorter and longer sounds, and the real base encoder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainalign.audio.read import read_audio, resample_audio
from brainalign.core.errors import UnreadableFile
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.hooks import captured
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.many import encode_many
from brainalign.encoders.sites import find_site
from brainalign.encoders.twin import untrained_twin
from brainalign.encoders.windows import Windowing
from tests.encoders.small import WHISPER, heard, write_small


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    write_small(folder, "whisper")
    return load_encoder(folder)


@pytest.mark.parametrize(("n_samples", "n_frames"), [(1, 1), (320, 1), (321, 2), (16_000, 50), (127_999, 400)])
def test_only_frames_within_the_sound_come_out(whisper, sound, n_samples, n_frames):
    """The silence behind the sound is heard, as it was in training, but no frame of it is returned."""
    waveform = sound(8, seed=1).waveform[:n_samples]
    states = whisper.encode(Stimulus("short", waveform, TimeAxis(16_000, n_samples)), [2])[2]
    assert states.axis == TimeAxis(50, n_frames, 0)
    with torch.inference_mode():
        whole = whisper.model(**heard("whisper", waveform), output_hidden_states=True).hidden_states[2][0].numpy()
    assert len(whole) == 400
    np.testing.assert_allclose(states.values, whole[:n_frames], atol=2e-4)


def test_what_lies_behind_a_short_sound_is_digital_silence(whisper, sound):
    """A sound followed by zeros is the same sound: only more of its frames are returned."""
    waveform = sound(3, seed=2).waveform
    padded = np.concatenate([waveform, np.zeros(32_000)])
    short, long = (whisper.encode(Stimulus("s", w, TimeAxis(16_000, w.size)), [3])[3] for w in (waveform, padded))
    assert long.axis.n == short.axis.n + 100
    np.testing.assert_array_equal(long.values[: short.axis.n], short.values)


def test_long_sounds_run_in_windows_on_one_grid(whisper, sound):
    stimulus = sound(21.37, seed=3)
    states = whisper.encode_sites(stimulus, [("front", 0), ("residual", 2)])
    assert states["front", 0].axis == TimeAxis(50, 1069, 0)
    assert states["front", 0].provenance.steps[-1].parameters["windows"] == 5
    # A window in the middle, by transformers: frames 200 to 599 of the sound, of which those far from the cuts count.
    piece = stimulus.waveform[200 * 320 : 600 * 320]
    with torch.inference_mode():
        theirs = whisper.model(**heard("whisper", piece), output_hidden_states=True).hidden_states[2][0].numpy()
    np.testing.assert_allclose(states["residual", 2].values[300:500], theirs[100:300], atol=2e-4)


def test_the_windows_are_those_of_the_last_test(whisper):
    """Windows of 8 s, 2 s thrown away at each seam: 0-8, 4-12, 8-16, 12-20, 13.37-21.37."""
    assert whisper.windowing == Windowing(8.0, 2.0)
    starts = [batch[0].start for batch in whisper.windowing.batches(int(21.37 * 16_000), whisper.clock)]
    assert starts == [0, 200, 400, 600, 669]


def test_an_encoder_alone_or_inside_other_models_is_the_same(tmp_path, sound):
    """Alone, in WhisperModel, and in the model with its language head; as safetensors and as an old pickle."""
    make = transformers.WhisperForConditionalGeneration
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make(transformers.WhisperConfig(**WHISPER))
    states = model.model.encoder.state_dict()
    folders = [tmp_path / name for name in ("alone", "model", "head", "pickle", "odd")]
    model.save_pretrained(folders[2])
    model.model.save_pretrained(folders[1])
    for folder in (folders[0], folders[3], folders[4]):
        folder.mkdir()
        (folder / "config.json").write_text((folders[2] / "config.json").read_text())
    save_file(states, folders[0] / "model.safetensors")
    torch.save({f"model.encoder.{name}": tensor for name, tensor in states.items()}, folders[3] / "pytorch_model.bin")
    save_file(
        {name: tensor.half().contiguous() for name, tensor in states.items()}, folders[4] / "encoder_fp16.safetensors"
    )
    stimulus = sound(1)
    first, *others = (load_encoder(folder).encode(stimulus, [3])[3].values for folder in folders)
    for other in others[:3]:
        np.testing.assert_array_equal(first, other)
    assert 0 < np.abs(first - others[3]).max() < 0.05


def test_weights_without_an_encoder_are_refused(tmp_path):
    write_small(tmp_path, "whisper")
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    save_file({k: v for k, v in state.items() if k.startswith("decoder")}, path)
    with pytest.raises(UnreadableFile, match=r"weights cannot be read[\s\S]*no Whisper encoder in these weights"):
        load_encoder(tmp_path)
    save_file({k: v for k, v in state.items() if "layers.1.fc1" not in k}, path)
    with pytest.raises(
        UnreadableFile, match=r"lacks some of the model's weights[\s\S]*2 missing, e.g. layers.1.fc1.bias"
    ):
        load_encoder(tmp_path)


# --- the real base encoder --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(root) -> Path:
    folder = root.parent / "shared" / "data"
    if not (folder / "whisper_base_encoder" / "config.json").is_file():
        pytest.skip("the real Whisper weights are not here (shared/data/whisper_base_encoder)")
    return folder


@pytest.fixture(scope="module")
def base(data):
    return load_encoder(data / "whisper_base_encoder")


def test_the_real_encoders_blocks_give_the_published_output(base, data):
    """What a run of openai/whisper-base gave for a stored input, which it first put through the last norm."""
    reference = data / "whisper_base_encoder" / "reference"
    with torch.inference_mode():
        stored = base.model.layer_norm(torch.from_numpy(np.load(reference / "input.npy"))[None])
    # In the place of what the front end gives, as the model itself runs.
    exchange = base.blocks[0].register_forward_pre_hook(lambda _, args: (stored, *args[1:]))
    sites = {key: find_site(base.model, base.blocks, key, base.family)[0] for key in (("residual", 3), ("residual", 6))}
    with torch.inference_mode(), captured(sites) as found:
        base.model(torch.zeros(1, 80, 3000))
    exchange.remove()
    expected = np.load(reference / "output_pytorch.npy")
    np.testing.assert_allclose(found["residual", 6][0].numpy(), expected, atol=1e-4)
    assert np.abs(found["residual", 3][0].numpy() - expected).max() > 1


def test_the_real_encoder_hears_as_transformers_lets_it(base, data):
    """A sound of three seconds, to the last hidden state, on the clock of 20 ms."""
    config = json.loads((data / "whisper_base_encoder" / "config.json").read_text())
    assert (base.n_layers, base.clock.rate, base.clock.first_centre) == (config["encoder_layers"], 50, 0)
    rng = np.random.default_rng(0)
    waveform = (0.1 * rng.standard_normal(48_000) * np.sin(np.arange(48_000) / 800) ** 2).astype(np.float32)
    stimulus = Stimulus("noise", waveform, TimeAxis(16_000, waveform.size))
    ours = base.encode_sites(stimulus, [("residual", 4), ("final", 6)])
    features = transformers.WhisperFeatureExtractor()(waveform, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        theirs = base.model(features.input_features, output_hidden_states=True)
    middle, last = theirs.hidden_states[4][0, :150].numpy(), theirs.last_hidden_state[0, :150].numpy()
    np.testing.assert_allclose(ours["residual", 4].values / middle.std(), middle / middle.std(), atol=2e-3)
    np.testing.assert_allclose(ours["final", 6].values / last.std(), last / last.std(), atol=2e-3)


@pytest.mark.parametrize(("dtype", "worst"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_precision_agrees_on_real_weights_and_real_speech(base, data, dtype, worst):
    """Root mean square of the difference in every block, in standard deviations per feature: so much at most."""
    path = data / "fsdd" / "recordings" / "3_jackson_0.wav"
    if not path.is_file():
        pytest.skip("the spoken digits are not here (shared/data/fsdd)")
    stimulus = resample_audio(read_audio(path), 16_000)
    layers = range(base.n_layers + 1)
    exact = base.encode(stimulus, layers)
    half = load_encoder(data / "whisper_base_encoder", dtype=dtype).encode(stimulus, layers)
    errors = []
    for layer in layers:
        spread = exact[layer].values - exact[layer].values.mean(axis=0)
        errors.append(np.sqrt(np.square(half[layer].values - exact[layer].values).mean() / np.square(spread).mean()))
    assert 1e-4 < max(errors) < worst, errors


def digits_right(encoder, data, *, n_each=2):
    """Return the share of digits that a linear probe on mean last states finds, one speaker at a time left out."""
    folder = data / "fsdd" / "recordings"
    if not folder.is_dir():
        pytest.skip("the spoken digits are not here (shared/data/fsdd)")
    paths = [path for path in sorted(folder.glob("*.wav")) if int(path.stem.rsplit("_", 1)[1]) < n_each]
    assert len(paths) == 60 * n_each
    digits, speakers = np.array([path.stem.split("_")[:2] for path in paths]).T
    sounds = [resample_audio(read_audio(path), encoder.sample_rate) for path in paths]
    last = encoder.n_layers
    means = np.array([found[last].values.mean(axis=0) for found in encode_many(encoder, sounds, layers=[last])])
    right = []
    for speaker in np.unique(speakers):
        out = speakers == speaker
        probe = make_pipeline(StandardScaler(), RidgeClassifier(100.0)).fit(means[~out], digits[~out])
        right.append(probe.score(means[out], digits[out]))
    return float(np.mean(right))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("folder", "least"), [("whisper_tiny_en_encoder", 0.94), ("whisper_base_encoder", 0.96)])
def test_real_digits_can_be_read_from_a_real_encoder_whoever_speaks(data, folder, least):
    assert digits_right(load_encoder(data / folder), data) >= least


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_untrained_twin_tells_digits_far_worse(data):
    twin = untrained_twin(load_encoder(data / "whisper_base_encoder"), seed=0)
    assert digits_right(twin, data) <= 0.75
