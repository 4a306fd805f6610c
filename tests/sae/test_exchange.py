"""Files of every known format, written by hand as their libraries write them; damaged ones; files that hide code."""

import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from brainalign.core.errors import MissingFile, StoreProblem, UnknownName, UnreadableFile, ValueProblem
from brainalign.sae.calibrate import calibrate
from brainalign.sae.checkpoint import FORMATS, load_sae, save_sae
from brainalign.sae.hub import looks_like_hub_id
from tests.sae.worlds import as_trajectory

D_IN, D_SAE = 6, 20


@pytest.fixture
def x(rng):
    return rng.standard_normal((200, D_IN)).astype(np.float32)


@pytest.fixture
def weights(rng):
    shapes = {"W_enc": (D_IN, D_SAE), "b_enc": (D_SAE,), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def by_hand(x, w, *, centred=True, threshold=0.0, k=None):
    pre = (x - centred * w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    values = np.maximum(pre, 0) * (pre > threshold)
    if k is not None:
        values[values < np.sort(pre, axis=1)[:, [-k]]] = 0
    return values


def agrees(coder, x, features, w):
    np.testing.assert_allclose(coder.encode(x).toarray(), features, atol=1e-5)
    np.testing.assert_allclose(coder.reconstruct(x), features @ w["W_dec"] + w["b_dec"], atol=1e-4)


class TestSparsify:
    def written(self, folder, w, **config):
        folder.mkdir(parents=True)
        named = {"encoder.weight": w["W_enc"].T.copy(), "encoder.bias": w["b_enc"], "W_dec": w["W_dec"]}
        save_file({**named, "b_dec": w["b_dec"]}, folder / "sae.safetensors")
        base = {"activation": "topk", "k": 3, "num_latents": D_SAE, "d_in": D_IN, "expansion_factor": 32}
        (folder / "cfg.json").write_text(json.dumps({**base, **config}))
        return folder

    def test_features(self, weights, x, tmp_path):
        folder = self.written(tmp_path / "layers.5.mlp", weights)
        for given in (folder, folder / "sae.safetensors"):
            coder = load_sae(given)
            agrees(coder, x, by_hand(x, weights, k=3), weights)
        assert (coder.rule, coder.k, coder.metadata["site"]) == ("top-k", 3, "layers.5.mlp")
        assert load_sae(self.written(tmp_path / "wide", weights, num_latents=0)).d_sae == D_SAE

    @pytest.mark.parametrize(
        ("config", "match"),
        [
            ({"activation": "groupmax"}, "activation 'groupmax'"),
            ({"transcode": True}, "a transcoder"),
            ({"skip_connection": True}, "a transcoder"),
            ({"k": 0}, "states no k"),
            ({"d_in": 7}, "d_in = 6, stated 7"),
        ],
    )
    def test_refusals(self, weights, tmp_path, config, match):
        with pytest.raises((UnreadableFile, ValueProblem), match=match):
            load_sae(self.written(tmp_path / "s", weights, **config))


class TestGemmaScope:
    @pytest.mark.parametrize("old", [False, True])
    def test_features(self, weights, x, rng, tmp_path, old):
        threshold = rng.random(D_SAE).astype(np.float32)
        named = {(name.replace("W", "w") if old else name): array for name, array in weights.items()}
        np.savez(tmp_path / "params.npz", **named, threshold=threshold)
        features = by_hand(x, weights, centred=False, threshold=threshold)
        for given in (tmp_path, tmp_path / "params.npz"):
            agrees(load_sae(given), x, features, weights)

    def test_an_array_of_objects_runs_nothing(self, weights, tmp_path):
        np.savez(tmp_path / "params.npz", **weights, threshold=np.array([Evil(tmp_path / "ran")] * 2, dtype=object))
        with pytest.raises(UnreadableFile, match=r"cannot be read safely[\s\S]*objects is refused"):
            load_sae(tmp_path)
        assert not (tmp_path / "ran").exists()
        # The very same file does run code where it is read carelessly, so there was something to refuse.
        np.load(tmp_path / "params.npz", allow_pickle=True)["threshold"]
        assert (tmp_path / "ran").exists()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x93NUMPY"])
    def test_damage_is_told(self, tmp_path, content):
        (tmp_path / "params.npz").write_bytes(content)
        with pytest.raises(UnreadableFile, match="cannot be read safely"):
            load_sae(tmp_path)

    def test_a_missing_array_is_told(self, weights, tmp_path):
        np.savez(tmp_path / "params.npz", **weights)
        with pytest.raises(UnreadableFile, match="no threshold; it holds W_dec, W_enc, b_dec, b_enc"):
            load_sae(tmp_path)


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestPickledCode:
    def test_in_a_state_dict_runs_nothing(self, weights, tmp_path):
        state = {"encoder.weight": torch.from_numpy(weights["W_enc"].T.copy()), "b_dec": Evil(tmp_path / "ran")}
        torch.save(state, tmp_path / "ae.pt")
        with pytest.raises(UnreadableFile, match=r"cannot be read safely[\s\S]*reading it runs code"):
            load_sae(tmp_path)
        assert not (tmp_path / "ran").exists()
        torch.load(tmp_path / "ae.pt", weights_only=False)
        assert (tmp_path / "ran").exists()

    def test_in_a_bare_pickle_runs_nothing(self, tmp_path):
        (tmp_path / "ae.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
        with pytest.raises(UnreadableFile, match="cannot be read safely"):
            load_sae(tmp_path)
        assert not (tmp_path / "ran").exists()

    def test_in_a_legacy_file_runs_nothing(self, tmp_path):
        torch.save({"b_dec": Evil(tmp_path / "ran")}, tmp_path / "ae.pt", _use_new_zipfile_serialization=False)
        with pytest.raises(UnreadableFile, match="cannot be read safely"):
            load_sae(tmp_path)
        assert not (tmp_path / "ran").exists()

    def test_in_an_archive_of_our_own_making_runs_nothing(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "ae.pt", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Evil(tmp_path / "ran")))
            archive.writestr("archive/version", "3")
        with pytest.raises(UnreadableFile, match="cannot be read safely"):
            load_sae(tmp_path)
        assert not (tmp_path / "ran").exists()

    def test_a_list_of_tensors_is_no_state_dict(self, tmp_path):
        torch.save([torch.zeros(3)], tmp_path / "ae.pt")
        with pytest.raises(UnreadableFile, match="must be a state dict"):
            load_sae(tmp_path)


class TestDamage:
    def dl(self, folder, weights, config=None, **state):
        folder.mkdir(parents=True, exist_ok=True)
        named = {
            "encoder.weight": torch.from_numpy(weights["W_enc"].T.copy()),
            "encoder.bias": torch.from_numpy(weights["b_enc"]),
            "decoder.weight": torch.from_numpy(weights["W_dec"].T.copy()),
            "b_dec": torch.from_numpy(weights["b_dec"]),
            "k": torch.tensor(4, dtype=torch.int32),
            "threshold": torch.tensor(0.5),
            **state,
        }
        torch.save({name: value for name, value in named.items() if value is not None}, folder / "ae.pt")
        if config is not None:
            (folder / "config.json").write_text(json.dumps({"trainer": config}))
        return folder

    def test_a_truncated_file(self, weights, tmp_path):
        path = self.dl(tmp_path, weights) / "ae.pt"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UnreadableFile, match="cannot be read safely"):
            load_sae(tmp_path)

    def test_a_wrong_width(self, weights, tmp_path):
        with pytest.raises(UnreadableFile, match=r"not of the width[\s\S]*d_sae = 20, stated 24"):
            load_sae(self.dl(tmp_path / "a", weights, {"activation_dim": D_IN, "dict_size": 24}))
        with pytest.raises(UnreadableFile, match=r"cannot be used together[\s\S]*b_dec must have shape \(6,\)"):
            load_sae(self.dl(tmp_path / "b", weights, b_dec=torch.zeros(5)))
        with pytest.raises(UnreadableFile, match=r"cannot be used together[\s\S]*not finite"):
            load_sae(self.dl(tmp_path / "c", weights, b_dec=torch.full((D_IN,), torch.nan)))

    def test_weights_that_do_not_multiply(self, weights, tmp_path):
        np.savez(tmp_path / "params.npz", **{**weights, "b_dec": np.zeros(9)}, threshold=np.zeros(D_SAE))
        with pytest.raises(UnreadableFile, match=r"do not fit together[\s\S]*params\.npz"):
            load_sae(tmp_path)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("threshold", torch.zeros(3)), ("k", torch.ones(2, dtype=torch.int32)), ("encoder.weight", torch.zeros(3))],
    )
    def test_entries_of_another_shape(self, weights, tmp_path, name, value):
        with pytest.raises(UnreadableFile, match=r"together[\s\S]*ae\.pt"):
            load_sae(self.dl(tmp_path, weights, **{name: value}))

    def test_a_wrong_layer(self, weights, tmp_path):
        self.dl(tmp_path / "layer_3", weights, {"layer": 2})
        assert load_sae(tmp_path, layer=3).metadata["layer"] == 3
        assert load_sae(tmp_path / "layer_3", layer=3).metadata["layer"] == 3
        with pytest.raises(ValueProblem, match=r"has layers \[3\]"):
            load_sae(tmp_path, layer=4)
        with pytest.raises(ValueProblem, match=r"layer=4, .* says 3"):
            load_sae(tmp_path / "layer_3", layer=4)

    def test_two_values_of_k(self, weights, tmp_path):
        with pytest.raises(ValueProblem, match="two values of k"):
            load_sae(self.dl(tmp_path, weights, {"k": 5}))

    def test_a_config_that_is_none(self, weights, tmp_path):
        self.dl(tmp_path, weights)
        for text, match in (("[1]", "not a JSON object"), ("{", "not JSON"), ('{"trainer": 3}', "no settings")):
            (tmp_path / "config.json").write_text(text)
            with pytest.raises(UnreadableFile, match=match):
                load_sae(tmp_path)

    def test_a_checkpoint_of_a_run_finds_the_runs_config(self, weights, x, tmp_path):
        self.dl(tmp_path / "run" / "checkpoints", weights, None).joinpath("ae.pt").rename(
            tmp_path / "run" / "checkpoints" / "ae_1000.pt"
        )
        (tmp_path / "run" / "config.json").write_text(json.dumps({"trainer": {"lm_name": "whisper", "layer": 5}}))
        coder = load_sae(tmp_path / "run" / "checkpoints" / "ae_1000.pt")
        assert coder.metadata == {"architecture": "batchtopk", "layer": 5, "encoder": "whisper"}
        agrees(coder, x, by_hand(x, weights, threshold=0.5), weights)

    def test_an_artefact_of_another_kind(self, make_coder, tmp_path):
        as_trajectory(np.zeros((3, 2))).save(tmp_path / "t")
        with pytest.raises(UnreadableFile, match="no sparse-coder format is recognised"):
            load_sae(tmp_path / "t")


class TestSaelensCases:
    def written(self, folder, weights, **config):
        folder.mkdir(parents=True)
        save_file(weights, folder / "sae_weights.safetensors")
        base = {"d_in": D_IN, "d_sae": D_SAE, "architecture": "standard", "apply_b_dec_to_input": True}
        (folder / "cfg.json").write_text(json.dumps({**base, **config}))
        return folder

    @pytest.mark.parametrize("centred", [True, False])
    def test_a_gate_is_a_threshold(self, weights, x, rng, tmp_path, centred):
        gates = {name: rng.standard_normal(D_SAE).astype(np.float32) for name in ("b_gate", "b_mag", "r_mag")}
        named = {name: weights[name] for name in ("W_enc", "W_dec", "b_dec")} | gates
        folder = self.written(tmp_path / "g", named, architecture="gated", apply_b_dec_to_input=centred)
        linear = (x - centred * weights["b_dec"]) @ weights["W_enc"]
        magnitude = np.maximum(linear * np.exp(gates["r_mag"]) + gates["b_mag"], 0)
        features = magnitude * (linear + gates["b_gate"] > 0)
        coder = load_sae(folder)
        agrees(coder, x, features, weights)
        assert (coder.threshold < 0).any()

    def test_version_5_with_a_finetuned_scale(self, weights, x, rng, tmp_path):
        factor = (1 + rng.random(D_SAE)).astype(np.float32)
        config = {"activation_fn_str": "relu", "finetuning_scaling_factor": True, "normalize_activations": False}
        config |= {"model_name": "whisper", "hook_layer": 3}
        coder = load_sae(self.written(tmp_path / "a", {**weights, "scaling_factor": factor}, **config))
        features = by_hand(x, weights)
        np.testing.assert_allclose(coder.encode(x).toarray(), features, atol=1e-5)
        expected = (features * factor) @ weights["W_dec"] + weights["b_dec"]
        np.testing.assert_allclose(coder.reconstruct(x), expected, atol=1e-4)
        assert coder.metadata == {"architecture": "standard", "model_name": "whisper", "hook_layer": 3}
        config["finetuning_scaling_factor"] = False
        unscaled = load_sae(self.written(tmp_path / "b", {**weights, "scaling_factor": factor}, **config))
        agrees(unscaled, x, features, weights)

    def test_a_log_threshold(self, weights, x, tmp_path):
        log = np.linspace(-1, 0.5, D_SAE).astype(np.float32)
        folder = self.written(tmp_path / "j", {**weights, "log_threshold": log}, architecture="jumprelu")
        agrees(load_sae(folder), x, by_hand(x, weights, threshold=np.exp(log)), weights)

    def test_a_batch_top_k_checkpoint_without_a_threshold_yet(self, weights, x, tmp_path):
        topk = {"topk_threshold": np.array(0.0)}
        folder = self.written(tmp_path / "b", {**weights, **topk}, architecture="batchtopk", k=4.0)
        coder = load_sae(folder)
        assert coder.needs_calibration
        assert calibrate(coder, as_trajectory(x)).encode(x).nnz == 4 * len(x)

    def test_parts_of_another_width(self, weights, tmp_path):
        config = {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}
        with pytest.raises(UnreadableFile, match=r"do not fit together[\s\S]*sae_weights"):
            load_sae(self.written(tmp_path / "t", {**weights, "W_dec": weights["W_dec"][:7].copy()}, **config))

    def test_widths_and_scales_are_checked(self, weights, tmp_path):
        with pytest.raises(UnreadableFile, match="d_in = 6, stated 512"):
            load_sae(self.written(tmp_path / "w", weights, d_in=512))
        folder = self.written(tmp_path / "s", weights, normalize_activations="expected_average_only_in")
        (folder / "activation_scaler.json").write_text('{"scaling_factor": -1}')
        with pytest.raises(UnreadableFile, match="input scale must be positive"):
            load_sae(folder)


class TestWriting:
    @pytest.mark.parametrize("format", ["brainalign", "saelens", "dictionary_learning", "audiosae"])
    def test_comes_back(self, make_coder, x, tmp_path, format):
        coder = make_coder(metadata={"architecture": "batchtopk", "layer": 2, "encoder": "whisper"})
        folder = save_sae(coder, tmp_path / "s", format=format)
        assert folder == tmp_path / "s"
        back = load_sae(folder, layer=2)
        np.testing.assert_allclose(back.encode(x).toarray(), coder.encode(x).toarray(), atol=2e-5)
        np.testing.assert_allclose(back.reconstruct(x), coder.reconstruct(x), atol=2e-5)
        assert back.k == coder.k
        assert (back.content == coder.content) == (format == "brainalign")

    @pytest.mark.parametrize("format", ["brainalign", "audiosae"])
    def test_a_coder_without_a_threshold_stays_one(self, make_coder, tmp_path, format):
        coder = make_coder(threshold=np.nan, metadata={"layer": 2})
        assert load_sae(save_sae(coder, tmp_path / "s", format=format), layer=2).needs_calibration

    @pytest.mark.parametrize("format", ["saelens", "dictionary_learning"])
    def test_or_is_refused(self, make_coder, tmp_path, format):
        with pytest.raises(ValueProblem, match="fix: calibrate"):
            save_sae(make_coder(threshold=np.nan), tmp_path / "s", format=format)

    def test_a_threshold_per_feature_survives(self, make_coder, x, tmp_path):
        coder = make_coder(threshold=np.linspace(0, 2, D_SAE))
        back = load_sae(save_sae(coder, tmp_path / "s", format="dictionary_learning"))
        np.testing.assert_allclose(back.encode(x).toarray(), coder.encode(x).toarray(), atol=2e-5)
        assert back.metadata["architecture"] == "jumprelu"

    def test_nested_groups_survive(self, make_coder, tmp_path):
        coder = make_coder(metadata={"groups": [5, 12, D_SAE]})
        state = torch.load(save_sae(coder, tmp_path / "s", format="dictionary_learning") / "ae.pt", weights_only=True)
        assert state["group_sizes"].tolist() == [5, 7, 8]
        assert load_sae(tmp_path / "s").metadata["groups"] == [5, 12, D_SAE]

    def test_refusals(self, make_coder, tmp_path):
        with pytest.raises(UnknownName, match="format of sparse coders"):
            save_sae(make_coder(), tmp_path / "s", format="sae-lens")
        with pytest.raises(ValueProblem, match="a folder per layer, and the coder states none"):
            save_sae(make_coder(), tmp_path / "s", format="audiosae")
        signed = replace(make_coder(), rule="signed-top-k")
        for format in ("saelens", "dictionary_learning"):
            with pytest.raises(ValueProblem, match=r"no form for this coder[\s\S]*format='brainalign'"):
                save_sae(signed, tmp_path / "s", format=format)
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreProblem, match="writable"):
            save_sae(make_coder(), tmp_path / "file" / "s", format="dictionary_learning")


class TestHub:
    """The hub's cache is stood in for by a folder: which files are asked for, and at which commit."""

    @pytest.fixture
    def hub(self, tmp_path, monkeypatch):
        snapshot, asked = tmp_path / "models--o--n" / "snapshots" / ("c" * 40), []
        snapshot.mkdir(parents=True)

        def cached(where, name, *, revision=None, **_):
            asked.append((where, name, revision))
            path = snapshot / name
            return str(path) if path.is_file() else None

        monkeypatch.setattr("brainalign.sae.hub.cached_file", cached)
        return snapshot, asked

    def test_a_layer_of_audiosae(self, hub, make_coder, x):
        snapshot, asked = hub
        coder = make_coder(metadata={"layer": 9})
        save_sae(coder, snapshot, format="audiosae")
        (snapshot / "layer_9" / "README.md").write_text("not asked for")
        found = load_sae("o/n", layer=9, revision="main")
        np.testing.assert_allclose(found.encode(x).toarray(), coder.encode(x).toarray(), atol=2e-5)
        assert found.metadata["hub"] == {"id": "o/n", "revision": "c" * 40}
        assert found.metadata["layer"] == 9
        assert ("o/n", "layer_9/ae.pt", "main") in asked
        # What is asked for after the first file is asked for at that file's commit.
        assert asked[-1] == ("o/n", "layer_9/config.json", "c" * 40)

    @pytest.mark.parametrize("format", ["brainalign", "saelens"])
    def test_a_folder_inside(self, hub, make_coder, x, format):
        snapshot, asked = hub
        save_sae(make_coder(), snapshot / "deep" / "in", format=format)
        assert load_sae("o/n/deep/in").d_sae == D_SAE
        assert {where for where, _, _ in asked} == {"o/n"}
        assert all(name.startswith("deep/in/") for _, name, _ in asked)

    def test_files_of_every_format_are_asked_for(self, hub):
        _, asked = hub
        with pytest.raises(MissingFile, match=r"the hub gave no sparse coder either\n  got: 'o/n' at v1: none of"):
            load_sae("o/n", revision="v1")
        assert {name for _, name, _ in asked} == {item.files[0] for item in FORMATS.values()}

    def test_a_hub_that_cannot_be_reached_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        with pytest.raises(MissingFile, match=r"nobody/nothing[\s\S]*check the name, the layer and the network"):
            load_sae("nobody/nothing")

    def test_what_is_a_path_is_not_looked_for_on_the_hub(self, hub, tmp_path):
        for path in (tmp_path / "a", str(tmp_path / "a"), "./a/b", "../a", "~/a", "single", Path("o/n")):
            with pytest.raises(MissingFile, match="no sparse coder here"):
                load_sae(path)
        with pytest.raises(ValueProblem, match="does not climb"):
            load_sae("o/n/../secret")
        assert hub[1] == []
        assert looks_like_hub_id("o/n")
