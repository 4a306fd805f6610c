"""Coders cross over to SAELens and dictionary_learning and back: the libraries' own classes give the same features."""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import torch

from brainalign.sae.calibrate import calibrate
from brainalign.sae.checkpoint import load_sae, save_sae
from brainalign.sae.coder import SparseCoder
from tests.sae.worlds import as_trajectory

D_IN, D_SAE, K = 8, 24, 4
# float32 rounding of sums of eight products
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def x(rng):
    return (rng.standard_normal((400, D_IN)) + 0.3).astype(np.float32)


@pytest.fixture
def coder(rng):
    """A coder with every part at work: an input scale, biases, a threshold."""
    return SparseCoder(
        W_enc=rng.standard_normal((D_IN, D_SAE)),
        b_enc=0.1 * rng.standard_normal(D_SAE),
        W_dec=rng.standard_normal((D_SAE, D_IN)),
        b_dec=rng.standard_normal(D_IN),
        threshold=0.3,
        scale=1.7,
        k=K,
        metadata={"architecture": "batchtopk", "layer": 3, "rate": "50", "encoder": "whisper-base"},
    )


@pytest.fixture(scope="module")
def sae_lens():
    """The library, or a skip; its imports warn of others' deprecations."""
    return pytest.importorskip("sae_lens", reason="SAELens is an optional peer")


@pytest.fixture(scope="module")
def dl():
    """dictionary_learning's classes, without its package's own imports (a language-model stack)."""
    spec = find_spec("dictionary_learning")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("dictionary_learning is an optional peer")
    pytest.importorskip("einops", reason="dictionary_learning's classes need einops")
    folder = spec.submodule_search_locations[0]
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "dictionary_learning"}
    for name, path in (("dictionary_learning", folder), ("dictionary_learning.trainers", f"{folder}/trainers")):
        bare = ModuleType(name)
        bare.__path__ = [path]
        sys.modules[name] = bare
    parts = ("dictionary", "trainers.batch_top_k", "trainers.matryoshka_batch_top_k", "trainers.top_k")
    found = {}
    for part in parts:
        found |= vars(import_module(f"dictionary_learning.{part}"))
    yield found
    for name in [name for name in sys.modules if name.split(".")[0] == "dictionary_learning"]:
        del sys.modules[name]
    sys.modules.update(before)


def scrambled(module, rng):
    """Give every parameter random values, so that none hides behind its initial one."""
    with torch.no_grad():
        for parameter in module.parameters():
            values = rng.standard_normal(tuple(parameter.shape)).astype(np.float32)
            parameter.copy_(torch.from_numpy(0.5 * values))
    return module


def their_codes(module, x, **how):
    with torch.no_grad():
        features = module.encode(torch.from_numpy(x), **how)
        return features.numpy(), module.decode(features).numpy()


def agree(coder, module, x, **how):
    features, x_hat = their_codes(module, x, **how)
    ours = coder.encode(x)
    assert 0 < ours.nnz < ours.shape[0] * ours.shape[1]
    np.testing.assert_allclose(ours.toarray(), features, **CLOSE)
    np.testing.assert_allclose(coder.reconstruct(x), x_hat, rtol=1e-4, atol=1e-4)


# SAELens


@pytest.mark.filterwarnings("ignore")
class TestSaelens:
    @pytest.mark.parametrize("rule", ["threshold", "top-k"])
    def test_what_we_write_is_read(self, sae_lens, coder, x, rule, tmp_path):
        from dataclasses import replace

        ours = replace(coder, rule=rule)
        theirs = sae_lens.SAE.load_from_disk(save_sae(ours, tmp_path / "s", format="saelens"))
        assert theirs.cfg.architecture() == ("jumprelu" if rule == "threshold" else "topk")
        agree(ours, theirs, x)
        # SAELens keeps what it does not know only where the file says that it is a new one.
        assert theirs.cfg.metadata.layer == 3
        assert theirs.cfg.metadata.rate == "50"
        theirs.save_model(tmp_path / "back")
        agree(load_sae(tmp_path / "back", layer=3), theirs, x)

    @pytest.mark.parametrize("centred", [True, False])
    @pytest.mark.parametrize("architecture", ["standard", "gated", "jumprelu", "topk"])
    def test_what_it_writes_is_read(self, sae_lens, rng, x, architecture, centred, tmp_path):
        extra = {"k": 3, "rescale_acts_by_decoder_norm": True} if architecture == "topk" else {}
        config = {"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE, "apply_b_dec_to_input": centred}
        theirs = scrambled(sae_lens.SAE.from_dict({**config, **extra}), rng)
        theirs.save_model(tmp_path)
        # With rescaling SAELens' features are of the rescaled encoder, as ours are.
        agree(load_sae(tmp_path), theirs, x)

    @pytest.mark.parametrize("rescaled", [True, False])
    @pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
    def test_a_training_checkpoint_is_read_as_its_own_export(self, sae_lens, rng, x, architecture, rescaled, tmp_path):
        config = {"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE, "k": 3.0}
        config |= {"rescale_acts_by_decoder_norm": rescaled}
        config |= {"matryoshka_widths": [8, D_SAE]} if architecture.startswith("matryoshka") else {}
        theirs = scrambled(sae_lens.TrainingSAE.from_dict(config), rng)
        theirs.save_model(tmp_path / "unset")
        assert load_sae(tmp_path / "unset").needs_calibration
        theirs.topk_threshold = torch.tensor(0.7, dtype=torch.float64)
        theirs.save_model(tmp_path / "training")
        theirs.save_inference_model(tmp_path / "inference")
        inference = sae_lens.SAE.load_from_disk(tmp_path / "inference")
        coder = load_sae(tmp_path / "training")
        agree(coder, inference, x)
        agree(load_sae(tmp_path / "inference"), inference, x)
        assert coder.k == 3
        assert coder.metadata.get("groups") == ([8, D_SAE] if architecture.startswith("matryoshka") else None)

    @pytest.mark.parametrize("architecture", ["jumprelu", "gated", "standard", "topk"])
    def test_training_checkpoints_of_the_other_kinds(self, sae_lens, rng, x, architecture, tmp_path):
        config = {"architecture": architecture, "d_in": D_IN, "d_sae": D_SAE}
        config |= {"k": 3} if architecture == "topk" else {}
        theirs = scrambled(sae_lens.TrainingSAE.from_dict(config), rng)
        theirs.save_model(tmp_path / "training")
        theirs.save_inference_model(tmp_path / "inference")
        agree(load_sae(tmp_path / "training"), sae_lens.SAE.load_from_disk(tmp_path / "inference"), x)

    def test_a_file_of_version_5_is_read_as_it_reads_it(self, sae_lens, rng, x, tmp_path):
        import json

        config = {"architecture": "standard", "d_in": D_IN, "d_sae": D_SAE}
        theirs = scrambled(sae_lens.SAE.from_dict(config), rng)
        theirs.save_model(tmp_path)
        old = {**config, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}, "dtype": "float32"}
        old |= {"apply_b_dec_to_input": True, "finetuning_scaling_factor": False, "normalize_activations": "none"}
        old |= {"hook_name": "blocks.5.hook_resid_post", "hook_layer": 5, "model_name": "whisper", "device": "cpu"}
        (tmp_path / "cfg.json").write_text(json.dumps(old))
        coder = load_sae(tmp_path)
        agree(coder, sae_lens.SAE.load_from_disk(tmp_path), x)
        assert coder.rule == "top-k"
        assert coder.metadata["hook_layer"] == 5
        assert "layer" not in coder.metadata

    def test_a_checkpoint_of_a_running_training_keeps_its_input_scale(self, sae_lens, rng, x, tmp_path):
        from sae_lens.training.activation_scaler import ActivationScaler

        config = {"architecture": "standard", "d_in": D_IN, "d_sae": D_SAE}
        config |= {"normalize_activations": "expected_average_only_in"}
        theirs = scrambled(sae_lens.TrainingSAE.from_dict(config), rng)
        theirs.save_model(tmp_path)
        scaler = ActivationScaler(scaling_factor=2.5)
        scaler.save(str(tmp_path / "activation_scaler.json"))
        with torch.no_grad():
            features = theirs.encode(scaler.scale(torch.from_numpy(x)))
            x_hat = scaler.unscale(theirs.decode(features))
        coder = load_sae(tmp_path)
        np.testing.assert_allclose(coder.encode(x).toarray(), features.numpy(), **CLOSE)
        np.testing.assert_allclose(coder.reconstruct(x), x_hat.numpy(), rtol=1e-4, atol=1e-4)


# dictionary_learning


def made(dl, name, rng):
    sizes = {"group_sizes": [8, D_SAE - 8]} if name == "MatryoshkaBatchTopKSAE" else {}
    k = {"k": K} if "TopK" in name else {}
    return scrambled(dl[name](D_IN, D_SAE, **k, **sizes), rng)


def kept(module, folder, **config):
    import json

    folder.mkdir(exist_ok=True)
    torch.save(module.state_dict(), folder / "ae.pt")
    if config:
        (folder / "config.json").write_text(json.dumps({"trainer": config, "buffer": {}}))
    return folder


CLASSES = (
    "BatchTopKSAE",
    "AutoEncoderTopK",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
)


class TestDictionaryLearning:
    @pytest.mark.parametrize("name", CLASSES)
    def test_what_it_writes_is_read(self, dl, rng, x, name, tmp_path):
        theirs = made(dl, name, rng)
        if "BatchTopK" in name:
            theirs.threshold.fill_(0.6)
        coder = load_sae(kept(theirs, tmp_path / "a", dict_class=name, activation_dim=D_IN, dict_size=D_SAE))
        agree(coder, theirs, x)
        if name not in ("AutoEncoderTopK",):  # whose entries are those of BatchTopK: a file must say which
            bare = load_sae(kept(theirs, tmp_path / "b"))
            assert bare.content == coder.content

    @pytest.mark.parametrize("name", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
    def test_an_unset_threshold_is_calibrated_where_it_lets_all_through(self, dl, rng, x, name, tmp_path):
        theirs = made(dl, name, rng)
        coder = load_sae(kept(theirs, tmp_path / "a", dict_class=name))
        assert coder.needs_calibration
        ready = calibrate(coder, as_trajectory(x))
        assert ready.encode(x).nnz == K * len(x)
        # The whole set as one batch is what batch-top-k itself would choose.
        features, _ = their_codes(theirs, x, use_threshold=False)
        np.testing.assert_allclose(ready.encode(x).toarray(), features, **CLOSE)
        unset, _ = their_codes(theirs, x)
        assert (unset > 0).sum() > 1.5 * K * len(x)

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({}, "BatchTopKSAE"),
            ({"rule": "top-k"}, "AutoEncoderTopK"),
            ({"threshold": np.linspace(0, 1, D_SAE)}, "JumpReluAutoEncoder"),
            ({"k": 0}, "JumpReluAutoEncoder"),
            ({"metadata": {"groups": [4, 10, D_SAE]}}, "MatryoshkaBatchTopKSAE"),
        ],
    )
    def test_what_we_write_is_read(self, dl, coder, x, changes, name, tmp_path):
        import json
        from dataclasses import replace

        ours = replace(coder, **changes)
        folder = save_sae(ours, tmp_path / "a", format="dictionary_learning")
        assert json.loads((folder / "config.json").read_text())["trainer"]["dict_class"] == name
        theirs = dl[name].from_pretrained(str(folder / "ae.pt"))
        agree(ours, theirs, x)
        back = load_sae(folder)
        agree(back, theirs, x)
        assert back.metadata.get("groups") == ours.metadata.get("groups")

    def test_audiosae_layout_is_read_by_the_class_it_was_trained_with(self, dl, coder, x, tmp_path):
        from dataclasses import replace

        for layer in (1, 12):
            save_sae(replace(coder, metadata={"layer": layer}), tmp_path / "all", format="audiosae")
        theirs = dl["BatchTopKSAE"].from_pretrained(str(tmp_path / "all" / "layer_12" / "ae.pt"))
        agree(load_sae(tmp_path / "all", layer=12), theirs, x)


@pytest.mark.filterwarnings("ignore")
def test_from_one_library_through_us_to_the_other(sae_lens, dl, rng, x, tmp_path):
    start = made(dl, "BatchTopKSAE", rng)
    start.threshold.fill_(0.6)
    coder = load_sae(kept(start, tmp_path / "a", dict_class="BatchTopKSAE"))
    there = sae_lens.SAE.load_from_disk(save_sae(coder, tmp_path / "b"))
    agree(coder, there, x)
    there.save_model(tmp_path / "c")
    back = save_sae(load_sae(tmp_path / "c"), tmp_path / "d", format="dictionary_learning")
    end = dl["BatchTopKSAE"].from_pretrained(str(back / "ae.pt"))
    first, second = their_codes(start, x), their_codes(end, x)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
