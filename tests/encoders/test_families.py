"""Every known type gives, at every site, what transformers' own model gives for transformers' own input."""

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.encoders.families import ENCODERS, REFUSED, Family, Place
from brainalign.encoders.hooks import Site
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.sites import part_of, site_names
from tests.encoders.small import (
    CONFIGS,
    INNER,
    N_HEADS,
    N_LAYERS,
    WIDTH,
    bands_of,
    encoder_part,
    heard,
    run,
    write_small,
)

STABLE = ("wav2vec2", "hubert", "unispeech", "unispeech-sat", "wavlm")
VARIANTS = [(kind, {}) for kind in CONFIGS] + [(kind, {"do_stable_layer_norm": True}) for kind in STABLE]
IDS = [kind + "-stable" * bool(changes) for kind, changes in VARIANTS]
SECONDS = 2.03


@pytest.fixture(scope="module", params=VARIANTS, ids=IDS)
def pair(request, tmp_path_factory):
    """One type: its name, transformers' model, and ours."""
    kind, changes = request.param
    folder = tmp_path_factory.mktemp(kind)
    model = write_small(folder, kind, **changes)
    return kind, model, load_encoder(folder)


def _same(ours, theirs):
    n = ours.axis.n
    assert len(theirs) >= n
    np.testing.assert_allclose(ours.values, theirs[:n], atol=2e-4, rtol=1e-4)


def test_every_type_is_tried_here():
    assert set(CONFIGS) == set(ENCODERS)


def test_hidden_states_are_those_of_transformers(pair, sound):
    """All but the last, whose meaning in transformers has changed, and differs between types."""
    kind, model, encoder = pair
    stimulus = sound(SECONDS)
    with torch.inference_mode():
        theirs = encoder_part(model)(**heard(kind, stimulus.waveform), output_hidden_states=True).hidden_states
    ours = encoder.encode(stimulus, range(N_LAYERS))
    for k in range(N_LAYERS):
        _same(ours[k], bands_of(theirs[k][0], kind))
        assert ours[k].values.shape == (encoder.clock.n_frames(stimulus.axis.n), WIDTH)
        assert ours[k].axis == encoder.clock.axis(stimulus.axis.n)


def _theirs(kind, model):
    """Where the sites are in transformers' models, written out."""
    inner = encoder_part(model)
    block = inner.layers[1] if kind in ("whisper", "audio-spectrogram-transformer") else inner.encoder.layers[1]
    last = inner.layers[-1] if kind in ("whisper", "audio-spectrogram-transformer") else inner.encoder.layers[-1]
    if kind == "whisper":
        places = {"mlp": block.fc2, "attention": block.self_attn, "heads": block.self_attn.out_proj}
        places |= {"front": inner.conv2, "final": inner.layer_norm}
    elif kind == "audio-spectrogram-transformer":
        places = {"mlp": block.mlp.fc2, "attention": block.attention, "heads": block.attention.o_proj}
        places |= {"front": inner.embeddings.patch_embeddings, "final": inner.layernorm}
    elif kind in ("wav2vec2-bert", "wav2vec2-conformer"):
        places = {"mlp": block.ffn2.output_dense, "mlp-first": block.ffn1.output_dense}
        places |= {"attention": block.self_attn, "heads": block.self_attn.linear_out, "convolution": block.conv_module}
        places |= {"front": inner.feature_projection if kind == "wav2vec2-bert" else inner.feature_extractor}
        places |= {"final": inner.encoder}
    else:
        places = {"mlp": block.feed_forward.output_dense, "attention": block.attention}
        places |= {} if kind == "wavlm" else {"heads": block.attention.out_proj}
        places |= {} if kind == "sew" else {"front": inner.feature_extractor, "final": inner.encoder}
    inputs = ("mlp", "mlp-first", "heads")
    sites = {name: Site(module, "input" if name in inputs else "output") for name, module in places.items()}
    return sites | {"residual": Site(last)}


def _arranged(name, tensor, kind):
    if name == "front" and kind == "whisper":
        return gelu(tensor).numpy().T
    if name == "front" and kind not in ("wav2vec2-bert", "audio-spectrogram-transformer"):
        return tensor.numpy().T
    return bands_of(tensor, kind)


def test_every_site_is_what_a_plain_hook_hears(pair, sound):
    kind, model, encoder = pair
    stimulus = sound(SECONDS, seed=1)
    theirs = run(model, kind, stimulus.waveform, _theirs(kind, model))
    assert set(theirs) == set(site_names(encoder.family))
    layers = {"front": 0, "final": N_LAYERS, "residual": N_LAYERS}
    ours = encoder.encode_sites(stimulus, [(name, layers.get(name, 2)) for name in theirs])
    for name, tensor in theirs.items():
        found = ours[name, layers.get(name, 2)]
        _same(found, _arranged(name, tensor, kind))
        assert found.provenance.steps[-1].parameters["site"] == name
    assert ours["mlp", 2].n_features == INNER
    assert ours["mlp", 2].features[0] == "layer2-mlp-0"


def test_many_sites_at_once_are_those_of_one_at_a_time(pair, sound):
    _, _, encoder = pair
    stimulus = sound(SECONDS)
    wanted = [("residual", 2), ("mlp", 1), ("attention", 3), ("residual", 0), ("mlp", 2)]
    together = encoder.encode_sites(stimulus, wanted)
    assert list(together) == wanted
    for site, layer in wanted:
        alone = encoder.encode(stimulus, [layer], site=site)[layer]
        np.testing.assert_array_equal(alone.values, together[site, layer].values)
        assert alone.provenance == together[site, layer].provenance


def test_attention_maps_are_those_of_transformers(tmp_path, sound):
    stimulus = sound(SECONDS)
    for kind in CONFIGS:
        if ENCODERS[kind].maps is None:
            continue
        folder = tmp_path / kind
        write_small(folder, kind)
        encoder = load_encoder(folder, attention="eager")
        with torch.inference_mode():
            theirs = encoder.model(**heard(kind, stimulus.waveform), output_attentions=True).attentions[1][0].numpy()
        ours = encoder.attention_maps(stimulus, [2, 1])
        assert list(ours) == [2, 1]
        n = ours[2].axis.n
        assert ours[2].values.shape == (N_HEADS, n, n)
        assert np.all(ours[2].values.sum(axis=-1) < 1 + 1e-5)
        if kind == "audio-spectrogram-transformer":
            tokens = theirs[:, 2:, 2:].reshape(N_HEADS, 4, 63, 4, 63)
            theirs = tokens.sum(axis=3).mean(axis=1)
        elif kind != "whisper":
            np.testing.assert_allclose(ours[2].values.sum(axis=-1), 1, atol=1e-5)
        np.testing.assert_allclose(ours[2].values, theirs[:, :n, :n], atol=1e-5)


def test_maps_are_refused_where_they_are_not_formed(tmp_path, sound):
    write_small(tmp_path / "hubert", "hubert")
    with pytest.raises(ValueProblem, match=r"gives no attention maps[\s\S]*fused attention[\s\S]*attention='eager'"):
        load_encoder(tmp_path / "hubert").attention_maps(sound(1), [1])
    write_small(tmp_path / "wavlm", "wavlm")
    wavlm = load_encoder(tmp_path / "wavlm", attention="eager")
    with pytest.raises(ValueProblem, match=r"gives no attention maps[\s\S]*averaged over them[\s\S]*another type"):
        wavlm.attention_maps(sound(1), [1])
    with pytest.raises(ValueProblem, match=r"cannot give 'heads'[\s\S]*one fused call"):
        wavlm.encode(sound(1), [1], site="heads")
    eager = load_encoder(tmp_path / "hubert", attention="eager")
    with pytest.raises(ValueProblem, match=r"made in one pass[\s\S]*2 windows for 150 s"):
        eager.attention_maps(sound(150), [1])


def test_heads_and_bands_have_names_of_their_own(tmp_path, sound):
    write_small(tmp_path / "a", "audio-spectrogram-transformer")
    mean = load_encoder(tmp_path / "a").encode(sound(2), [1])[1]
    apart = load_encoder(tmp_path / "a", bands="apart").encode(sound(2), [1])[1]
    assert mean.features[1] == "layer1-1"
    assert apart.features[WIDTH : WIDTH + 2] == ("layer1-band1-0", "layer1-band1-1")
    np.testing.assert_allclose(apart.values.reshape(-1, 4, WIDTH).mean(axis=1), mean.values, atol=1e-6)
    write_small(tmp_path / "h", "hubert")
    heads = load_encoder(tmp_path / "h").encode(sound(1), [2], site="heads")[2]
    assert heads.features[:: WIDTH // N_HEADS] == tuple(f"layer2-heads{h}-0" for h in range(N_HEADS))


def test_sites_that_are_not_there_are_refused(encoder, sound):
    with pytest.raises(UnknownName, match="there is no site in") as caught:
        encoder.encode(sound(1), [1], site="mpl")
    assert "did you mean 'mlp'" in caught.value.fix
    with pytest.raises(ValueProblem, match=r"has 'mlp' in layers 1 to 4[\s\S]*\[0\]"):
        encoder.encode(sound(1), [0], site="mlp")
    with pytest.raises(ValueProblem, match=r"has 'front' in layers 0 to 0"):
        encoder.encode_sites(sound(1), [("front", 1)])


def test_nothing_runs_above_the_highest_site(encoder, sound):
    runs = []
    handles = [b.register_forward_hook(lambda *_, i=i: runs.append(i)) for i, b in enumerate(encoder.blocks, start=1)]
    encoder.encode_sites(sound(1), [("mlp", 2), ("residual", 1)])
    encoder.encode_sites(sound(1), [("front", 0)])
    for handle in handles:
        handle.remove()
    # Block 2 was left in its middle.
    assert runs == [1]


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_types_that_cannot_be_read_say_why(tmp_path, kind):
    (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    with pytest.raises(ValueProblem, match=f"encoders of type '{kind}' cannot be read") as caught:
        load_encoder(tmp_path)
    assert caught.value.got == REFUSED[kind]
    assert "hubert" in caught.value.fix


def test_a_type_may_be_declared_by_whoever_knows_it(tmp_path, sound):
    """What a registry entry says, said in the call: here a HuBERT, listened to after its first linear map."""
    model = write_small(tmp_path, "hubert")
    declared = Family(sites={"before": Place("feed_forward.intermediate_dense")})
    stimulus = sound(1)
    ours = load_encoder(tmp_path, family=declared).encode(stimulus, [1], site="before")[1]
    theirs = run(
        model, "hubert", stimulus.waveform, {"x": Site(model.encoder.layers[0].feed_forward.intermediate_dense)}
    )
    _same(ours, theirs["x"].numpy())


def test_paths_that_lead_nowhere_are_told(tmp_path, sound):
    write_small(tmp_path, "hubert")
    lost = load_encoder(tmp_path, family=Family(sites={"mlp": Place("feed_forward.nowhere")}))
    with pytest.raises(ValueProblem, match=r"lacks a part[\s\S]*no feed_forward.nowhere in a HubertEncoderLayer"):
        lost.encode(sound(1), [1], site="mlp")
    unused = load_encoder(tmp_path, family=Family(front=Place("pooler|encoder.layers.0.nothing|masked_spec_embed")))
    with pytest.raises(ValueProblem, match="lacks a part"):
        unused.encode_sites(sound(1), [("front", 0)])


def test_the_first_alternative_that_exists_is_taken():
    stack = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.ReLU())
    assert part_of(stack, "layers|1|0") is stack[1]
