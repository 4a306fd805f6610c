"""Which encoder needs no download? A small HuBERT with seeded random weights, written like any other.

It is untrained, and meant for demonstrations, tests and controls: its hidden states are a rich
random function of the sound, nothing more. A training run's start (standard deviation 0.02)
would give nearly the same vector in every frame; here

- weights have standard deviation ``1 / sqrt(fan in)``, and square ones are orthogonal, so that
  the states keep their dimensions from block to block;
- attention, nearly flat in a random model, speaks softly: it adds almost one vector to all frames;
- weights that follow a rectifier are balanced (each row sums to zero), so its constant part
  does not drown what varies;
- convolutions have small biases, without which the layer norms would throw loudness away, and
  after the first one their taps are alike, so that they smooth the rectified sound over time
  as a trained front end does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import HubertConfig, HubertModel

from brainalign.core.seeds import generator

SETTINGS: dict[str, Any] = {
    "architectures": ["HubertModel"],
    "model_type": "hubert",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "conv_dim": [64] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "num_conv_pos_embeddings": 32,
    "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": False,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "layerdrop": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
}
PREPROCESSOR: dict[str, Any] = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": 16000,
    "do_normalize": True,
    "padding_value": 0.0,
    "padding_side": "right",
    "return_attention_mask": True,
}
GAINS = {"out_proj": 0.3, "intermediate_dense": 2.5}
BALANCED = ("projection", "output_dense")
FIRST_TAP_SPREAD, TAP_SPREAD = 1.0, 0.42
BIAS = 0.05


def write_untrained_hubert(folder: Path | str, *, seed: int) -> Path:
    """Write a small HuBERT with random weights, to be read by `load_encoder`.

    Parameters
    ----------
    folder
        Where to write ``config.json``, ``preprocessor_config.json`` and ``model.safetensors``;
        made if it does not exist.
    seed
        Same seed, same bytes.

    Returns
    -------
    pathlib.Path
        The folder. 4 blocks, 64 wide, 50 frames per second, takes 16 kHz.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (("config.json", SETTINGS), ("preprocessor_config.json", PREPROCESSOR)):
        (folder / name).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    weights = {name: _draw(name, shape, seed=seed) for name, shape in sorted(_shapes().items())}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _shapes() -> dict[str, tuple[int, ...]]:
    # On the meta device nothing is allocated and torch's global generator is left alone.
    with torch.device("meta"):
        model = HubertModel(HubertConfig(**SETTINGS))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _draw(name: str, shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    """Draw one tensor by what its name says it is; each has a generator of its own."""
    rng = generator(seed, "untrained hubert", name)
    module, kind = name.split(".")[-2:]
    if "layer_norm" in name:
        return np.full(shape, kind == "weight", dtype=np.float32)
    if kind == "bias":
        return (BIAS * rng.standard_normal(shape)).astype(np.float32)
    if kind == "original0":
        # The magnitudes of the positional convolution, one per tap.
        return np.ones(shape, dtype=np.float32)
    if "conv_layers" in name:
        spread = FIRST_TAP_SPREAD if shape[1] == 1 else TAP_SPREAD
        return _convolution(shape, rng, spread=spread)
    weight = _mixture(*shape, rng=rng) if len(shape) == 2 else rng.standard_normal(shape)
    weight *= GAINS.get(module, 1.0) / np.sqrt(np.prod(shape[1:]))
    return (_balanced(weight) if module in BALANCED else weight).astype(np.float32)


def _convolution(shape: tuple[int, ...], rng: np.random.Generator, *, spread: float) -> np.ndarray:
    """Draw a convolution; a small ``spread`` makes its taps alike, so that it smooths over time."""
    n_out, n_in, n_taps = shape
    weight = (1 - spread) * _mixture(n_out, n_in, rng=rng)[:, :, None] + spread * rng.standard_normal(shape)
    weight = _balanced(weight) if n_in > 1 else weight
    return (weight * np.sqrt(2 / (n_in * n_taps)) / weight.std()).astype(np.float32)


def _balanced(weight: np.ndarray) -> np.ndarray:
    return weight - weight.mean(axis=1, keepdims=True)


def _mixture(n_out: int, n_in: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw weights of variance one; square ones orthogonal, so that no direction is lost on the way up."""
    weight = rng.standard_normal((n_out, n_in))
    if n_out != n_in:
        return weight
    return np.linalg.qr(weight)[0] * np.sqrt(n_in)
