"""Files written by us and by others give the features that their own definitions give."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from brainalign.core.artefact import write_artefact
from brainalign.core.errors import MissingFile, StoreProblem, UnreadableFile, ValueProblem
from brainalign.sae.calibrate import calibrate
from brainalign.sae.checkpoint import load_sae, save_sae
from tests.sae.worlds import as_trajectory

D_IN, D_SAE = 6, 20


@pytest.fixture
def weights(rng):
    """Random weights under SAELens' names."""
    shapes = {"W_enc": (D_IN, D_SAE), "b_enc": (D_SAE,), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def x(rng):
    return rng.standard_normal((300, D_IN)).astype(np.float32)


def write_saelens(folder: Path, weights: dict, **config: object) -> Path:
    """Write a folder by hand, as SAELens 6 lays it out."""
    base = {"d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True}
    base |= {"normalize_activations": "none", "reshape_activations": "none", "metadata": {"sae_lens_version": "6.5.1"}}
    folder.mkdir(parents=True)
    save_file(weights, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps({**base, **config}))
    return folder


def write_dictionary_learning(folder: Path, weights: dict, *, config: dict | None = None, **state: object) -> Path:
    """Write ``ae.pt`` by hand, as dictionary_learning does: transposed weights under torch.nn.Linear's names."""
    folder.mkdir(parents=True)
    named = {
        "encoder.weight": torch.from_numpy(weights["W_enc"].T.copy()),
        "encoder.bias": torch.from_numpy(weights["b_enc"]),
        "decoder.weight": torch.from_numpy(weights["W_dec"].T.copy()),
        "b_dec": torch.from_numpy(weights["b_dec"]),
        **state,
    }
    torch.save(named, folder / "ae.pt")
    if config is not None:
        (folder / "config.json").write_text(json.dumps({"trainer": config, "buffer": {"ctx_len": 128}}))
    return folder


def jumprelu(x: np.ndarray, weights: dict, threshold: np.ndarray | float) -> np.ndarray:
    pre = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    return np.maximum(pre, 0) * (pre > threshold)


def row_top_k(pre: np.ndarray, k: int) -> np.ndarray:
    values, index = torch.from_numpy(pre).topk(k, dim=1)
    return torch.zeros(pre.shape).scatter_(1, index, values.relu()).numpy()


class TestOurOwnFolder:
    def test_features_and_reconstruction_survive_folding(self, trained, truth, tmp_path):
        assert abs(trained.scale - 1) > 0.1
        back = load_sae(save_sae(trained, tmp_path / "sae"))
        frames = truth.frames[:2000]
        before, after = trained.encode(frames), back.encode(frames)
        assert abs(before - after).max() < 2e-6 or (before != after).nnz == 0
        np.testing.assert_allclose(back.decode(before), trained.decode(before), atol=1e-5)
        np.testing.assert_allclose(back.reconstruct(frames), trained.reconstruct(frames), atol=1e-5)

    def test_layout_is_saelens_version_6(self, make_coder, tmp_path):
        coder = make_coder(metadata={"architecture": "batchtopk", "layer": 9, "rate": "50", "encoder": "hubert"})
        folder = save_sae(coder, tmp_path / "a" / "sae")
        assert sorted(item.name for item in folder.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
        config = json.loads((folder / "cfg.json").read_text())
        assert config["architecture"] == "jumprelu"
        assert (config["d_in"], config["d_sae"], config["dtype"]) == (D_IN, D_SAE, "float32")
        assert config["apply_b_dec_to_input"] is True
        assert config["normalize_activations"] == config["reshape_activations"] == "none"
        assert config["metadata"]["sae_lens_version"] == "6.0.0"
        assert config["metadata"]["training_architecture"] == "batchtopk"
        assert config["metadata"]["layer"] == 9
        shapes = {name: array.shape for name, array in load_file(folder / "sae_weights.safetensors").items()}
        assert shapes == {
            "W_enc": (D_IN, D_SAE),
            "b_enc": (D_SAE,),
            "W_dec": (D_SAE, D_IN),
            "b_dec": (D_IN,),
            "threshold": (D_SAE,),
        }

    def test_what_saelens_would_compute_is_what_we_compute(self, make_coder, x, tmp_path):
        coder = make_coder(scale=3.7)
        folder = save_sae(coder, tmp_path / "sae")
        stored = load_file(folder / "sae_weights.safetensors")
        features = jumprelu(x, stored, stored["threshold"])
        np.testing.assert_allclose(features, coder.encode(x).toarray(), atol=2e-5)
        np.testing.assert_allclose(features @ stored["W_dec"] + stored["b_dec"], coder.reconstruct(x), atol=2e-5)

    @pytest.mark.parametrize("rule", ["threshold", "top-k"])
    def test_saving_what_was_loaded_gives_the_same_bytes(self, make_coder, tmp_path, rule):
        first = save_sae(load_sae(save_sae(make_coder(rule=rule), tmp_path / "0")), tmp_path / "1")
        second = save_sae(load_sae(first), tmp_path / "2")
        name = "sae_weights.safetensors"
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert load_sae(second).k == 4
        assert load_sae(second).rule == rule

    def test_the_artefact_is_read_too_and_exactly(self, make_coder, tmp_path):
        coder = make_coder()
        write_artefact(coder.pack(), tmp_path / "kept")
        assert load_sae(tmp_path / "kept").content == coder.content

    def test_refuses_to_write_what_has_no_threshold(self, make_coder, tmp_path):
        with pytest.raises(ValueProblem, match="fix: calibrate"):
            save_sae(make_coder(threshold=np.nan), tmp_path / "sae")
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreProblem, match="pick a writable folder"):
            save_sae(make_coder(), tmp_path / "file" / "sae")


class TestSaelens:
    def test_jumprelu(self, weights, x, rng, tmp_path):
        weights["threshold"] = rng.random(D_SAE).astype(np.float32)
        coder = load_sae(write_saelens(tmp_path / "s", weights, architecture="jumprelu", metadata={"k": 5, "a": 1}))
        np.testing.assert_allclose(coder.encode(x).toarray(), jumprelu(x, weights, weights["threshold"]), atol=1e-5)
        assert coder.k == 5
        assert coder.metadata["a"] == 1

    def test_standard_without_a_stated_k(self, weights, x, tmp_path):
        coder = load_sae(write_saelens(tmp_path / "s", weights, architecture="standard"))
        np.testing.assert_allclose(coder.encode(x).toarray(), jumprelu(x, weights, 0), atol=1e-5)
        assert coder.k == 0

    def test_bias_that_is_not_taken_off_the_input(self, weights, x, tmp_path):
        coder = load_sae(write_saelens(tmp_path / "s", weights, architecture="standard", apply_b_dec_to_input=False))
        expected = np.maximum(x @ weights["W_enc"] + weights["b_enc"], 0)
        np.testing.assert_allclose(coder.encode(x).toarray(), expected, atol=1e-5)
        np.testing.assert_allclose(coder.reconstruct(x), expected @ weights["W_dec"] + weights["b_dec"], atol=1e-4)

    @pytest.mark.parametrize("rescale", [False, True])
    def test_topk(self, weights, x, tmp_path, rescale):
        config = {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": rescale}
        coder = load_sae(write_saelens(tmp_path / "s", weights, **config))
        norm = np.linalg.norm(weights["W_dec"], axis=1) if rescale else np.ones(D_SAE)
        pre = ((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]) * norm
        features = row_top_k(pre.astype(np.float32), 3)
        np.testing.assert_allclose(coder.encode(x).toarray(), features, atol=1e-5)
        np.testing.assert_allclose(
            coder.reconstruct(x), (features / norm) @ weights["W_dec"] + weights["b_dec"], atol=1e-4
        )

    def test_refusals(self, weights, tmp_path):
        with pytest.raises(UnreadableFile, match="architecture 'temporal' cannot be read"):
            load_sae(write_saelens(tmp_path / "temporal", weights, architecture="temporal"))
        with pytest.raises(UnreadableFile, match=r"gated coder lacks weights\n  got: .*no b_gate, b_mag, r_mag"):
            load_sae(write_saelens(tmp_path / "gated", weights, architecture="gated"))
        with pytest.raises(UnreadableFile, match="normalize_activations = 'layer_norm'"):
            load_sae(
                write_saelens(tmp_path / "n", weights, architecture="standard", normalize_activations="layer_norm")
            )
        with pytest.raises(UnreadableFile, match="no threshold"):
            load_sae(write_saelens(tmp_path / "t", weights, architecture="jumprelu"))
        broken = write_saelens(tmp_path / "b", weights, architecture="standard")
        (broken / "sae_weights.safetensors").write_bytes(b"not safetensors")
        with pytest.raises(UnreadableFile, match="weights cannot be read"):
            load_sae(broken)
        (broken / "cfg.json").write_text("{")
        with pytest.raises(UnreadableFile, match="not JSON"):
            load_sae(broken)


class TestDictionaryLearning:
    def test_batch_top_k_with_its_threshold(self, weights, x, tmp_path):
        config = {"dict_class": "BatchTopKSAE", "trainer_class": "BatchTopKTrainer", "layer": 4, "lm_name": "hubert"}
        state = {"k": torch.tensor(5, dtype=torch.int32), "threshold": torch.tensor(0.8)}
        folder = write_dictionary_learning(tmp_path / "dl", weights, config=config, **state)
        for coder in (load_sae(folder), load_sae(folder / "ae.pt")):
            np.testing.assert_allclose(coder.encode(x).toarray(), jumprelu(x, weights, 0.8), atol=1e-5)
            assert coder.k == 5
            assert coder.metadata == {"architecture": "batchtopk", "layer": 4, "encoder": "hubert"}
        assert load_sae(folder, layer=4).k == 5
        with pytest.raises(ValueProblem, match=r"layer=5, .* says 4"):
            load_sae(folder, layer=5)

    def test_to_saelens_and_back_is_exact(self, weights, x, tmp_path):
        state = {"k": torch.tensor(5, dtype=torch.int32), "threshold": torch.tensor(0.8)}
        coder = load_sae(write_dictionary_learning(tmp_path / "dl", weights, **state))
        back = load_sae(save_sae(coder, tmp_path / "sl"))
        np.testing.assert_array_equal(back.encode(x).toarray(), coder.encode(x).toarray())

    def test_top_k(self, weights, x, tmp_path):
        config = {"dict_class": "AutoEncoderTopK", "k": 4}
        coder = load_sae(write_dictionary_learning(tmp_path / "dl", weights, config=config))
        pre = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
        np.testing.assert_allclose(coder.encode(x).toarray(), row_top_k(pre, 4), atol=1e-5)
        assert not coder.needs_calibration

    @pytest.mark.parametrize("unset", [{}, {"threshold": torch.tensor(-1.0)}], ids=["missing", "minus one"])
    def test_audiosae_layout_needs_calibration(self, weights, x, tmp_path, unset):
        for layer in (1, 2):
            state = {"k": torch.tensor(4, dtype=torch.int32), **unset}
            write_dictionary_learning(tmp_path / f"layer_{layer}", weights, config={"layer": layer - 1}, **state)
        coder = load_sae(tmp_path, layer=2)
        assert coder.needs_calibration
        assert coder.metadata["layer"] == 2
        with pytest.raises(ValueProblem, match="calibrate"):
            coder.encode(x)
        ready = calibrate(coder, as_trajectory(x))
        assert ready.encode(x).nnz == 4 * len(x)
        assert replace(ready, threshold=np.nan).content == coder.content

    @pytest.mark.parametrize("layer", [None, 3])
    def test_a_layer_must_be_one_of_those_there(self, weights, tmp_path, layer):
        for number in (1, 12):
            write_dictionary_learning(tmp_path / f"layer_{number}", weights, k=torch.tensor(4))
        with pytest.raises(ValueProblem, match=rf"layer={layer}, .* has layers \[1, 12\]"):
            load_sae(tmp_path, layer=layer)

    def test_refusals(self, weights, tmp_path):
        with pytest.raises(UnreadableFile, match="IdentityDict"):
            load_sae(write_dictionary_learning(tmp_path / "none", weights, config={"dict_class": "IdentityDict"}))
        with pytest.raises(
            UnreadableFile, match=r"taken for a GatedAutoEncoder, lacks.*\n.*no decoder_bias, gate_bias"
        ):
            config = {"dict_class": "GatedAutoEncoder"}
            load_sae(write_dictionary_learning(tmp_path / "gated", weights, config=config))
        with pytest.raises(ValueProblem, match="states no k"):
            load_sae(write_dictionary_learning(tmp_path / "no-k", weights))
        (tmp_path / "other").mkdir()
        torch.save({"bias": torch.zeros(3)}, tmp_path / "other" / "ae.pt")
        with pytest.raises(UnreadableFile, match=r"encoder\.weight; it holds bias"):
            load_sae(tmp_path / "other")

    def test_a_file_that_would_run_code_is_not_read(self, tmp_path):
        (tmp_path / "evil").mkdir()
        torch.save({"encoder.weight": Path("anything")}, tmp_path / "evil" / "ae.pt")
        with pytest.raises(UnreadableFile, match="cannot be read safely"):
            load_sae(tmp_path / "evil")
        (tmp_path / "evil" / "ae.pt").write_bytes(b"")
        with pytest.raises(UnreadableFile, match="cannot be read safely"):
            load_sae(tmp_path / "evil")


def test_what_is_not_recognised_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(MissingFile, match="check the path"):
        load_sae(tmp_path / "nowhere")
    (tmp_path / "readme.md").write_text("")
    with pytest.raises(UnreadableFile, match=r"holds readme\.md") as caught:
        load_sae(tmp_path)
    for name in ("header.json", "cfg.json", "sae_weights.safetensors", "ae.pt"):
        assert name in caught.value.fix
