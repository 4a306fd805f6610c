"""How does SAELens write a coder? ``cfg.json`` and ``sae_weights.safetensors``, versions 5 and 6.

Without ``metadata.sae_lens_version >= 6.0.0`` its loader takes the file for an old one and
drops all metadata it does not know: frame rate, layer, encoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from brainalign.core.errors import StoreProblem, UnreadableFile
from brainalign.core.hashing import plain
from brainalign.sae.coder import Rule, SparseCoder
from brainalign.sae.foreign import (
    Weights,
    built,
    fitting,
    folded,
    read_json,
    read_safetensors,
    require_names,
    require_widths,
    require_writable,
    uncentred,
    ungated,
)

CONFIG, WEIGHTS = FILES = ("cfg.json", "sae_weights.safetensors")
SCALER = "activation_scaler.json"
VERSION = "6.0.0"

# Done by the trainer and already in the weights, or nothing: the input is used as it comes.
PLAIN_INPUT = (None, False, True, "none", "expected_average_only_in")
# What version 5 kept beside the settings, and version 6 keeps in its metadata.
ABOUT = ("model_name", "hook_name", "hook_layer", "hook_head_index", "context_size", "dataset_path", "neuronpedia_id")


def found_in(folder: Path) -> bool:
    """Whether a folder holds SAELens' two files."""
    return all((folder / name).is_file() for name in FILES)


def read_saelens(folder: Path) -> SparseCoder:
    """Read a coder of one of `READERS`' architectures, made for inference or a checkpoint of its training.

    Its features are those of SAELens: an encoder that does not take the decoder's bias off
    the input gets it into its own bias, a gate becomes a threshold on the magnitudes, and
    a selection on activations times decoder norm is made here with an encoder multiplied by it.
    Batch-top-k checkpoints infer by their running ``topk_threshold``, as SAELens' own export
    does; one that was never updated (0) asks for calibration. The hook point stays in the metadata
    under SAELens' names, whose blocks count from 0.
    """
    config = _modern(read_json(folder / CONFIG))
    architecture = str(config["architecture"])
    if architecture not in READERS:
        raise UnreadableFile(
            f"SAELens' architecture {architecture!r} cannot be read",
            got=f"{folder}, which is not one of {', '.join(READERS)}",
            fix="use a coder whose features are a threshold or a top-k of one linear map",
        )
    _refuse_transforms(config, folder)
    path = folder / WEIGHTS
    weights = read_safetensors(path)
    require_names(weights, ("W_enc", "W_dec", "b_dec"), path=path, kind=f"a {architecture} coder")
    require_widths(weights, {name: config.get(name) for name in ("d_in", "d_sae")}, path=path)
    with fitting(path):
        weights, rule = READERS[architecture](_finetuned(weights, config), config, path)
    if not config.get("apply_b_dec_to_input", True):
        weights = uncentred(weights, path=path)
    metadata = {**config["metadata"], "architecture": architecture, **_groups(config)}
    scale = _unfolded_scale(folder / SCALER, config)
    return built(weights, path=path, k=_k(config), metadata=metadata, rule=rule, scale=scale)


def _modern(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a version 5 file under version 6's names; a version 6 file as it is."""
    about = {name: config[name] for name in ABOUT if config.get(name) is not None}
    activation = config.get("activation_fn_str", config.get("activation_fn"))
    stated = {"architecture": "topk" if activation == "topk" else "standard"}
    if activation == "topk":
        config = {**config, "architecture": "topk"}
    return {**stated, **config, "metadata": {**about, **(config.get("metadata") or {})}}


def _groups(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested widths of a Matryoshka coder, which its export keeps among the details of its training."""
    places = (config, config["metadata"].get("training_architecture_details") or {})
    widths = next((place["matryoshka_widths"] for place in places if place.get("matryoshka_widths")), None)
    return {} if widths is None else {"groups": widths}


def _finetuned(weights: Weights, config: Mapping[str, Any]) -> Weights:
    """Return weights with version 5's factor per feature (1 where it was not finetuned) in the decoder."""
    factor = weights.get("scaling_factor")
    if factor is None or not config.get("finetuning_scaling_factor"):
        return weights
    return {**weights, "W_dec": weights["W_dec"] * factor[:, None]}


def _linear(weights: Weights, config: Mapping[str, Any], path: Path) -> tuple[Weights, Rule]:
    require_names(weights, ("b_enc",), path=path, kind=f"a {config['architecture']} coder")
    return {name: weights[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}, "threshold"


def _jumprelu(weights: Weights, config: Mapping[str, Any], path: Path) -> tuple[Weights, Rule]:
    if "log_threshold" in weights:  # how older training checkpoints keep it
        weights = {**weights, "threshold": np.exp(weights["log_threshold"])}
    require_names(weights, ("threshold",), path=path, kind="a jumprelu coder")
    return {**_linear(weights, config, path)[0], "threshold": weights["threshold"]}, "threshold"


def _gated(weights: Weights, config: Mapping[str, Any], path: Path) -> tuple[Weights, Rule]:
    return ungated(weights, path=path), "threshold"


def _topk(weights: Weights, config: Mapping[str, Any], path: Path) -> tuple[Weights, Rule]:
    return _by_decoder_norm(_linear(weights, config, path)[0], config), "top-k"


def _batchtopk(weights: Weights, config: Mapping[str, Any], path: Path) -> tuple[Weights, Rule]:
    require_names(weights, ("topk_threshold",), path=path, kind=f"a {config['architecture']} checkpoint")
    threshold = float(weights["topk_threshold"].item())
    common = _by_decoder_norm(_linear(weights, config, path)[0], config)
    return {**common, "threshold": np.array(threshold if threshold > 0 else np.nan)}, "threshold"


READERS: dict[str, Callable[[Weights, Mapping[str, Any], Path], tuple[Weights, Rule]]] = {
    "jumprelu": _jumprelu,
    "standard": _linear,
    "gated": _gated,
    "topk": _topk,
    "batchtopk": _batchtopk,
    "matryoshka_batchtopk": _batchtopk,
}


def _by_decoder_norm(weights: Weights, config: Mapping[str, Any]) -> Weights:
    """Return weights with decoder rows of unit norm, where the selection is made as if they were."""
    if not config.get("rescale_acts_by_decoder_norm"):
        return weights
    norm = np.linalg.norm(weights["W_dec"].astype(np.float64), axis=1)
    return {
        **weights,
        "W_enc": weights["W_enc"] * norm,
        "b_enc": weights["b_enc"] * norm,
        "W_dec": weights["W_dec"] / np.where(norm > 0, norm, 1.0)[:, None],
    }


def _k(config: Mapping[str, Any]) -> int:
    """Return the sparsity the file states (older files: in ``activation_fn_kwargs``), or 0 where it states none."""
    places = (config, config["metadata"], config.get("activation_fn_kwargs") or {})
    return round(float(next((place["k"] for place in places if place.get("k")), 0)))


def _refuse_transforms(config: Mapping[str, Any], folder: Path) -> None:
    for name, accepted in (("normalize_activations", PLAIN_INPUT), ("reshape_activations", (None, "none"))):
        if config.get(name) not in accepted:
            raise UnreadableFile(
                "the coder changes its input in a way that is not known here",
                got=f"{folder}: {name} = {config[name]!r}",
                fix="use a coder whose normalisation is folded into its weights",
            )


def _unfolded_scale(path: Path, config: Mapping[str, Any]) -> float:
    """Return the input factor that a checkpoint of a running training keeps beside its weights, else 1."""
    if not path.is_file() or config.get("normalize_activations") in (None, False, "none"):
        return 1.0
    scale = read_json(path).get("scaling_factor")
    if scale is not None and not (isinstance(scale, (int, float)) and np.isfinite(scale) and scale > 0):
        raise UnreadableFile("an input scale must be positive", got=f"{path}: {scale!r}", fix="get the file again")
    return 1.0 if scale is None else float(scale)


def write_saelens(coder: SparseCoder, folder: Path) -> None:
    """Write a coder as SAELens writes one for inference; the weights first, each file whole."""
    require_writable(coder, format="SAELens")
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
