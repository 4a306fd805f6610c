"""How does dictionary_learning write a coder? ``ae.pt`` (a state dict) and ``config.json`` beside it.

AudioSAE publishes this layout, one folder per layer, with no ``threshold`` in the file; the
library itself writes -1 for one that was never set. Both are read as "not calibrated".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises for a file that is not plain tensors
from typing import Any

import numpy as np
import torch

from brainalign.core.errors import UnreadableFile, ValueProblem
from brainalign.sae.coder import Rule, SparseCoder

WEIGHTS, CONFIG = "ae.pt", "config.json"
WANTED = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec")

# AudioSAE's files state no class beyond their trainer; a file that states nothing is taken for BatchTopK.
RULES_OF_CLASS: dict[str, Rule] = {"BatchTopKSAE": "threshold", "AutoEncoderTopK": "top-k"}
CLASS_OF_TRAINER = {"BatchTopKTrainer": "BatchTopKSAE", "TopKTrainer": "AutoEncoderTopK"}


def found_in(folder: Path) -> bool:
    """Whether a folder holds dictionary_learning's state dict."""
    return (folder / WEIGHTS).is_file()


def read_dictionary_learning(folder: Path) -> SparseCoder:
    """Read a BatchTopK or TopK coder.

    TopK takes the k largest of each frame, as its class does by default. The weights are
    used as they are: a normalisation of the input that the file does not hold is not
    guessed (`brainalign.sae.calibrate.calibrate` can set the scale from frames).
    """
    state = _read_state(folder / WEIGHTS)
    config = _read_config(folder / CONFIG)
    name = _class_name(config, folder)
    if missing := [key for key in WANTED if key not in state]:
        raise UnreadableFile(
            f"{WEIGHTS} is not a BatchTopK or TopK coder",
            got=f"{folder / WEIGHTS}: no {', '.join(missing)}; it holds {', '.join(sorted(state))}",
            fix="only dictionary_learning's BatchTopKSAE and AutoEncoderTopK are read",
        )
    d_sae = state["encoder.bias"].size
    return SparseCoder(
        W_enc=state["encoder.weight"].T,
        b_enc=state["encoder.bias"],
        W_dec=state["decoder.weight"].T,
        b_dec=state["b_dec"],
        threshold=np.full(d_sae, _threshold(state)),
        scale=1.0,
        k=_k(state, config, folder),
        metadata=_metadata(config, name),
        rule=RULES_OF_CLASS[name],
    )


def _read_state(path: Path) -> dict[str, np.ndarray]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise UnreadableFile(
            "a coder's weights cannot be read safely",
            got=f"{path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            fix="get the file again; one that holds more than plain tensors is refused, since reading it runs code",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UnreadableFile("a coder's weights must be a state dict", got=path, fix="save model.state_dict()")
    return {str(name): value.detach().float().numpy() for name, value in state.items()}


def _read_config(path: Path) -> dict[str, Any]:
    """Return the ``trainer`` part of the configuration, empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFile(
            "a coder's configuration is not JSON", got=f"{path}: {error}", fix="get it again"
        ) from error
    trainer = config.get("trainer", config) if isinstance(config, dict) else None
    if not isinstance(trainer, dict):
        raise UnreadableFile("a coder's configuration has no settings", got=path, fix="get it again, or remove it")
    return trainer


def _class_name(config: Mapping[str, Any], folder: Path) -> str:
    by_trainer = CLASS_OF_TRAINER.get(str(config.get("trainer_class")))
    name = str(config.get("dict_class") or by_trainer or config.get("trainer_class") or "BatchTopKSAE")
    if name not in RULES_OF_CLASS:
        raise UnreadableFile(
            "this kind of dictionary_learning coder cannot be read",
            got=f"{folder}: {name}",
            fix=f"use one of {', '.join(RULES_OF_CLASS)}",
        )
    return name


def _threshold(state: Mapping[str, np.ndarray]) -> float:
    """Return the file's threshold, NaN where it is missing or unset (below 0)."""
    value = float(state["threshold"].item()) if "threshold" in state else np.nan
    return value if value >= 0 else np.nan


def _k(state: Mapping[str, np.ndarray], config: Mapping[str, Any], folder: Path) -> int:
    k = int(state["k"].item()) if "k" in state else config.get("k")
    if not k:
        raise ValueProblem(
            "the coder states no k",
            got=f"{folder}: no k in {WEIGHTS} or {CONFIG}",
            fix=f'write {{"k": ...}} to {CONFIG}',
        )
    return int(k)


def _metadata(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return architecture, and the layer and model where the file states them."""
    known = {"layer": config.get("layer"), "encoder": config.get("lm_name"), "site": config.get("submodule_name")}
    found = {key: value for key, value in known.items() if value is not None}
    return {"architecture": "batchtopk" if name == "BatchTopKSAE" else "topk", **found}
