"""How does dictionary_learning write a coder? ``ae.pt`` (a state dict) and ``config.json`` beside it.

AudioSAE publishes this layout, one folder per layer, with no ``threshold`` in the file; the
library itself writes -1 for one that was never set. Both are read as "not calibrated": the
library would then let every positive pre-activation through, which is not what the
coder was trained for. `brainalign.sae.calibrate.calibrate` sets a threshold from frames.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainalign.core.errors import StoreProblem, UnreadableFile, ValueProblem
from brainalign.sae.coder import Rule, SparseCoder
from brainalign.sae.foreign import (
    Weights,
    built,
    fitting,
    folded,
    read_json,
    read_state,
    require_names,
    require_widths,
    require_writable,
    uncentred,
    ungated,
)

WEIGHTS, CONFIG = "ae.pt", "config.json"

State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class DictClass:
    """One of the library's classes.

    Parameters
    ----------
    names
        The entries of its state dict.
    weights
        Turns them into a coder's.
    architecture
        What the coder's metadata say.
    rule
        How its features are chosen.
    has_k
        Whether it was trained for a number of active features.
    centred
        Whether it takes the decoder's bias off its input.
    """

    names: tuple[str, ...]
    weights: Callable[[State, Path], Weights]
    architecture: str
    rule: Rule = "threshold"
    has_k: bool = False
    centred: bool = True


def _transposed(b_enc: str, b_dec: str) -> Callable[[State, Path], Weights]:
    """Return a reader of `torch.nn.Linear` layers, whose weights are outputs by inputs."""

    def _read(state: State, path: Path) -> Weights:
        return {
            "W_enc": state["encoder.weight"].T,
            "b_enc": state[b_enc],
            "W_dec": state["decoder.weight"].T,
            "b_dec": state[b_dec],
        }

    return _read


def _one_threshold(state: State, path: Path) -> Weights:
    return {**_transposed("encoder.bias", "b_dec")(state, path), "threshold": _threshold(state)}


def _plain(state: State, path: Path) -> Weights:
    return {name: state[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}


def _matryoshka(state: State, path: Path) -> Weights:
    return {**_plain(state, path), "threshold": _threshold(state)}


def _jumprelu(state: State, path: Path) -> Weights:
    return {**_plain(state, path), "threshold": state["threshold"]}


def _gated(state: State, path: Path) -> Weights:
    gates = {"b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"}
    common = {"W_enc": state["encoder.weight"].T, "W_dec": state["decoder.weight"].T, "b_dec": state["decoder_bias"]}
    return ungated({**common, **{ours: state[theirs] for ours, theirs in gates.items()}}, path=path)


_LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight")
_PLAIN = ("W_enc", "b_enc", "W_dec", "b_dec")

CLASSES: dict[str, DictClass] = {
    "BatchTopKSAE": DictClass((*_LINEAR, "b_dec"), _one_threshold, "batchtopk", has_k=True),
    "AutoEncoderTopK": DictClass(
        (*_LINEAR, "b_dec"), _transposed("encoder.bias", "b_dec"), "topk", rule="top-k", has_k=True
    ),
    "MatryoshkaBatchTopKSAE": DictClass((*_PLAIN, "group_sizes"), _matryoshka, "matryoshka_batchtopk", has_k=True),
    "JumpReluAutoEncoder": DictClass((*_PLAIN, "threshold"), _jumprelu, "jumprelu", centred=False),
    "AutoEncoder": DictClass((*_LINEAR, "bias"), _transposed("encoder.bias", "bias"), "standard"),
    "AutoEncoderNew": DictClass(
        (*_LINEAR, "decoder.bias"), _transposed("encoder.bias", "decoder.bias"), "standard", centred=False
    ),
    "GatedAutoEncoder": DictClass(
        ("encoder.weight", "decoder.weight", "decoder_bias", "r_mag", "gate_bias", "mag_bias"), _gated, "gated"
    ),
}

# What a file states that names no class: the trainer's usual one, and without a trainer (AudioSAE's
# files may have none) the class whose entries these are, BatchTopK where TopK has the same.
CLASS_OF_TRAINER = {
    "BatchTopKTrainer": "BatchTopKSAE",
    "TopKTrainer": "AutoEncoderTopK",
    "MatryoshkaBatchTopKTrainer": "MatryoshkaBatchTopKSAE",
    "JumpReluTrainer": "JumpReluAutoEncoder",
    "StandardTrainer": "AutoEncoder",
    "StandardTrainerAprilUpdate": "AutoEncoderNew",
    "PAnnealTrainer": "AutoEncoder",
    "GatedSAETrainer": "GatedAutoEncoder",
    "GatedAnnealTrainer": "GatedAutoEncoder",
}


def found_in(folder: Path) -> bool:
    """Whether a folder holds dictionary_learning's state dict."""
    return (folder / WEIGHTS).is_file()


def read_dictionary_learning(source: Path) -> SparseCoder:
    """Read a coder of one of `CLASSES`, from its folder or from one of its checkpoints (``ae_1000.pt``).

    TopK takes the k largest of each frame, as its class does by default. The weights are
    used as they are: a normalisation of the input that the file does not hold is not
    guessed (`brainalign.sae.calibrate.calibrate` can set the scale from frames).
    """
    path = source if source.is_file() else source / WEIGHTS
    state, config = read_state(path), _read_config(path)
    name = _class_name(config, state, path)
    kind = CLASSES[name]
    require_names(state, kind.names, path=path, kind=f"{path.name}, taken for a {name},")
    with fitting(path):
        weights, k = kind.weights(state, path), _k(state, config, path) if kind.has_k else 0
    require_widths(weights, {"d_in": config.get("activation_dim"), "d_sae": config.get("dict_size")}, path=path)
    if not kind.centred:
        weights = uncentred(weights, path=path)
    metadata = _metadata(config, kind.architecture)
    if "group_sizes" in state:
        metadata["groups"] = [int(end) for end in np.cumsum(state["group_sizes"])]
    return built(weights, path=path, k=k, metadata=metadata, rule=kind.rule)


def _read_config(path: Path) -> dict[str, Any]:
    """Return the ``trainer`` part of the configuration, empty where there is no file.

    It lies beside the weights; beside their folder where they are one of the ``checkpoints``.
    """
    places = [path.with_name(CONFIG), *([path.parent.parent / CONFIG] if path.parent.name == "checkpoints" else [])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return {}
    config = read_json(found)
    trainer = config.get("trainer", config)
    if not isinstance(trainer, dict):
        raise UnreadableFile("a coder's configuration has no settings", got=found, fix="get it again, or remove it")
    return trainer


def _class_name(config: Mapping[str, Any], state: State, path: Path) -> str:
    by_trainer = CLASS_OF_TRAINER.get(str(config.get("trainer_class")))
    name = config.get("dict_class") or by_trainer or config.get("trainer_class")
    if name is None:
        fitting = [name for name, kind in CLASSES.items() if set(kind.names) <= state.keys()]
        # Matryoshka's entries hold JumpReLU's and more: the most particular class wins, the first among equals.
        name = max(fitting, key=lambda name: len(CLASSES[name].names), default="BatchTopKSAE")
    if str(name) not in CLASSES:
        raise UnreadableFile(
            "this kind of dictionary_learning coder cannot be read",
            got=f"{path}: {name}",
            fix=f"use one of {', '.join(CLASSES)}",
        )
    return str(name)


def _threshold(state: State) -> np.ndarray:
    """Return the file's threshold, NaN where it is missing or unset (below 0)."""
    value = float(state["threshold"].item()) if "threshold" in state else np.nan
    return np.array(value if value >= 0 else np.nan, dtype=np.float32)


def _k(state: State, config: Mapping[str, Any], path: Path) -> int:
    k = int(state["k"].item()) if "k" in state else config.get("k")
    if not k:
        raise ValueProblem(
            "the coder states no k",
            got=f"{path.parent}: no k in {path.name} or {CONFIG}",
            fix=f'write {{"k": ...}} to {CONFIG}',
        )
    if "k" in state and config.get("k") not in (None, k):
        raise ValueProblem(
            "the coder states two values of k", got=f"{path}: {k}, {CONFIG}: {config['k']}", fix="correct one of them"
        )
    return int(k)


def _metadata(config: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Return architecture, and the layer and model where the file states them."""
    known = {"layer": config.get("layer"), "encoder": config.get("lm_name"), "site": config.get("submodule_name")}
    found = {key: value for key, value in known.items() if value is not None}
    return {"architecture": architecture, **found}


def write_dictionary_learning(coder: SparseCoder, folder: Path, *, uncalibrated: bool = False) -> None:
    """Write a coder as the library's class that computes the same features.

    A coder with one threshold becomes a BatchTopKSAE (with ``groups`` in its metadata, a
    MatryoshkaBatchTopKSAE), one with a threshold per feature or no k a JumpReluAutoEncoder,
    a top-k one an AutoEncoderTopK. The input scale is folded into the weights.

    Parameters
    ----------
    coder
        The coder.
    folder
        Where ``ae.pt`` and ``config.json`` go.
    uncalibrated
        Write a coder without a threshold as AudioSAE's files are: with no such entry.
    """
    require_writable(coder, format="dictionary_learning", uncalibrated=uncalibrated)
    name, state = _state(coder)
    if coder.needs_calibration:
        state.pop("threshold")
    config = {"trainer": _trainer(coder, name), "buffer": {"d_submodule": coder.d_in, "ctx_len": 128}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights, header = folder / f".{WEIGHTS}.tmp", folder / f".{CONFIG}.tmp"
        torch.save(state, weights)
        header.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
        weights.replace(folder / WEIGHTS)
        header.replace(folder / CONFIG)
    except (OSError, RuntimeError) as error:
        raise StoreProblem(
            "a coder cannot be written", got=f"{folder}: {error}", fix="free space or pick a writable folder"
        ) from error


def _state(coder: SparseCoder) -> tuple[str, dict[str, torch.Tensor]]:
    weights = folded(coder)
    groups = coder.metadata.get("groups")
    one = coder.needs_calibration or np.ptp(coder.threshold) == 0
    if coder.rule == "threshold" and not (one and coder.k > 0):
        # The library's class does not take the bias off its input.
        weights["b_enc"] = weights["b_enc"] - weights["b_dec"].astype(np.float64) @ weights["W_enc"]
        return "JumpReluAutoEncoder", _tensors(weights)
    threshold = float(weights["threshold"][0]) if coder.rule == "threshold" else -1.0
    extra = {"k": torch.tensor(coder.k, dtype=torch.int32), "threshold": torch.tensor(threshold, dtype=torch.float32)}
    if coder.rule == "threshold" and groups and groups[-1] == coder.d_sae:
        sizes = torch.tensor(np.diff([0, *groups]), dtype=torch.int64)
        return "MatryoshkaBatchTopKSAE", _tensors(weights, only=_PLAIN) | extra | {"group_sizes": sizes}
    linear = {
        "encoder.weight": weights["W_enc"].T,
        "encoder.bias": weights["b_enc"],
        "decoder.weight": weights["W_dec"].T,
        "b_dec": weights["b_dec"],
    }
    return ("BatchTopKSAE" if coder.rule == "threshold" else "AutoEncoderTopK"), _tensors(linear) | extra


def _tensors(weights: Weights, *, only: tuple[str, ...] | None = None) -> dict[str, torch.Tensor]:
    chosen = weights if only is None else {name: weights[name] for name in only}
    return {name: torch.from_numpy(np.array(array, dtype=np.float32, order="C")) for name, array in chosen.items()}


def _trainer(coder: SparseCoder, name: str) -> dict[str, Any]:
    trainer = next(trainer for trainer, dict_class in CLASS_OF_TRAINER.items() if dict_class == name)
    known = coder.metadata
    return {
        "dict_class": name,
        "trainer_class": trainer,
        "activation_dim": coder.d_in,
        "dict_size": coder.d_sae,
        "k": coder.k,
        "layer": known.get("layer"),
        "lm_name": known.get("encoder"),
        "submodule_name": known.get("site"),
    }
