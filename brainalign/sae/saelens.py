"""How does SAELens write a coder? ``cfg.json`` and ``sae_weights.safetensors``, layout of version 6.

Without ``metadata.sae_lens_version >= 6.0.0`` its loader takes the file for an old one and
drops all metadata it does not know: frame rate, layer, encoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file
from safetensors.torch import load_file

from brainalign.core.errors import StoreProblem, UnreadableFile
from brainalign.core.hashing import plain
from brainalign.sae.coder import SparseCoder

CONFIG, WEIGHTS = FILES = ("cfg.json", "sae_weights.safetensors")
VERSION = "6.0.0"

# Done by the trainer and already in the weights, or nothing: the input is used as it comes.
PLAIN_INPUT = (None, "none", "expected_average_only_in")

Weights = dict[str, np.ndarray]


def found_in(folder: Path) -> bool:
    """Whether a folder holds SAELens' two files."""
    return all((folder / name).is_file() for name in FILES)


def read_saelens(folder: Path) -> SparseCoder:
    """Read a coder of architecture jumprelu, standard or topk.

    Its features are those of SAELens: an encoder that does not take the decoder's bias off
    the input gets it into its own bias, and a top-k taken on activations times decoder norm
    is taken here on an encoder multiplied by that norm.
    """
    config = _read_config(folder / CONFIG)
    architecture = str(config.get("architecture", "standard"))
    if architecture not in READERS:
        raise UnreadableFile(
            f"SAELens' architecture {architecture!r} cannot be read",
            got=f"{folder}, which is not one of {', '.join(READERS)}",
            fix="save it for inference (SAELens then writes batch-top-k coders as jumprelu)",
        )
    _refuse_transforms(config, folder)
    weights = _read_weights(folder / WEIGHTS, architecture)
    if not config.get("apply_b_dec_to_input", True):
        weights["b_enc"] = weights["b_enc"] + weights["b_dec"].astype(np.float64) @ weights["W_enc"]
    metadata = {**(config.get("metadata") or {}), "architecture": architecture}
    return READERS[architecture](weights, config, metadata)


def _jumprelu(weights: Weights, config: Mapping[str, Any], metadata: dict[str, Any]) -> SparseCoder:
    return SparseCoder(**_common(weights), threshold=weights["threshold"], scale=1.0, k=_k(config), metadata=metadata)


def _standard(weights: Weights, config: Mapping[str, Any], metadata: dict[str, Any]) -> SparseCoder:
    zeros = np.zeros_like(weights["b_enc"])
    return SparseCoder(**_common(weights), threshold=zeros, scale=1.0, k=_k(config), metadata=metadata)


def _topk(weights: Weights, config: Mapping[str, Any], metadata: dict[str, Any]) -> SparseCoder:
    if config.get("rescale_acts_by_decoder_norm"):
        norm = np.linalg.norm(weights["W_dec"].astype(np.float64), axis=1)
        weights |= {"W_enc": weights["W_enc"] * norm, "b_enc": weights["b_enc"] * norm}
        weights["W_dec"] = weights["W_dec"] / np.where(norm > 0, norm, 1.0)[:, None]
    zeros = np.zeros_like(weights["b_enc"])
    common = _common(weights)
    return SparseCoder(**common, threshold=zeros, scale=1.0, k=_k(config), metadata=metadata, rule="top-k")


READERS: dict[str, Callable[[Weights, Mapping[str, Any], dict[str, Any]], SparseCoder]] = {
    "jumprelu": _jumprelu,
    "standard": _standard,
    "topk": _topk,
}


def _common(weights: Weights) -> dict[str, Any]:
    return {name: weights[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}


def _k(config: Mapping[str, Any]) -> int:
    """Return the sparsity the file states (older files: in ``activation_fn_kwargs``), or 0 where it states none."""
    places = (config, config.get("metadata") or {}, config.get("activation_fn_kwargs") or {})
    return int(next((place["k"] for place in places if place.get("k")), 0))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFile(
            "a coder's configuration is not JSON", got=f"{path}: {error}", fix="get it again"
        ) from error
    if not isinstance(config, dict):
        raise UnreadableFile("a coder's configuration is not a JSON object", got=path, fix="get it again")
    return config


def _refuse_transforms(config: Mapping[str, Any], folder: Path) -> None:
    for name, accepted in (("normalize_activations", PLAIN_INPUT), ("reshape_activations", (None, "none"))):
        if config.get(name) not in accepted:
            raise UnreadableFile(
                "the coder changes its input in a way that is not known here",
                got=f"{folder}: {name} = {config[name]!r}",
                fix="use a coder whose normalisation is folded into its weights",
            )


def _read_weights(path: Path, architecture: str) -> Weights:
    try:
        weights = {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise UnreadableFile(
            "a coder's weights cannot be read", got=f"{path}: {error}", fix="get them again"
        ) from error
    wanted = {"W_enc", "b_enc", "W_dec", "b_dec"} | ({"threshold"} if architecture == "jumprelu" else set())
    if missing := wanted - weights.keys():
        raise UnreadableFile(
            f"a {architecture} coder lacks weights", got=f"{path}: no {', '.join(sorted(missing))}", fix="get it again"
        )
    return weights


def folded(coder: SparseCoder) -> Weights:
    """Return the weights of the same coder for unscaled input: same features, same reconstruction.

    ``(scale * x - b) @ W = (x - b / scale) @ (scale * W)``, and the output divided by scale.
    """
    scale = np.float64(coder.scale)
    weights = {
        "W_enc": coder.W_enc * scale,
        "b_enc": coder.b_enc,
        "W_dec": coder.W_dec / scale,
        "b_dec": coder.b_dec / scale,
    }
    if coder.rule == "threshold":
        weights["threshold"] = np.maximum(coder.threshold, 0)
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}


def write_saelens(coder: SparseCoder, folder: Path) -> None:
    """Write a coder as SAELens writes one for inference; the weights first, each file whole."""
    config: dict[str, Any] = {
        "architecture": "jumprelu" if coder.rule == "threshold" else "topk",
        "d_in": coder.d_in,
        "d_sae": coder.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": _metadata(coder),
    }
    if coder.rule == "top-k":
        config |= {"k": coder.k, "rescale_acts_by_decoder_norm": False}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights, header = folder / f".{WEIGHTS}.tmp", folder / f".{CONFIG}.tmp"
        save_file(folded(coder), weights)
        header.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
        weights.replace(folder / WEIGHTS)
        header.replace(folder / CONFIG)
    except OSError as error:
        got = f"{folder}: {error.strerror or error}"
        raise StoreProblem("a coder cannot be written", got=got, fix="free space or pick a writable folder") from error


def _metadata(coder: SparseCoder) -> dict[str, Any]:
    """Return the coder's own metadata, with its architecture under a name that SAELens leaves alone."""
    own = {name: value for name, value in coder.metadata.items() if name != "architecture"}
    trained = coder.metadata.get("training_architecture", coder.metadata.get("architecture"))
    extra = {"training_architecture": trained, "k": coder.k, "input_scale_folded": coder.scale}
    return plain({**own, **extra, "sae_lens_version": VERSION})
