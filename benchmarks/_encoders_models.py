"""On what are encoders measured? Random weights of every type, small or as large as base checkpoints, and a sound."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.lib.format import open_memmap

from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

RATE = 16_000
KINDS = (
    *("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "sew"),
    *("wav2vec2-conformer", "wav2vec2-bert", "whisper", "audio-spectrogram-transformer"),
)
_NARROW = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 3}
_CONVOLUTIONS = {"conv_dim": [16] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
_STILL = {"layerdrop": 0.0, "apply_spec_augment": False}
_DECODER = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 60} | {
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "max_target_positions": 8,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "whisper": {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 48},
    "audio-spectrogram-transformer": _NARROW,
    "wav2vec2-bert": _NARROW,
    "data2vec-audio": _NARROW | _CONVOLUTIONS | {"num_conv_pos_embeddings": 2},
}
# A quarter of a base model's width, for an hour of sound.
MEDIUM = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 6} | {
    **_CONVOLUTIONS,
    "conv_dim": [128] * 7,
}
# What transformers' configs do not make base-sized by themselves.
BASE: dict[str, dict[str, Any]] = {
    "whisper": {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048},
    "wav2vec2-bert": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
    },
}
WAVEFORM = {"sampling_rate": RATE, "feature_size": 1, "do_normalize": True, "return_attention_mask": False}
STACKED = {"sampling_rate": RATE, "num_mel_bins": 80, "feature_size": 80, "stride": 2, "padding_value": 0.0}
FIXED = {"mean": -4.27, "std": 4.57, "do_normalize": True}
PATCHES = {"sampling_rate": RATE, "num_mel_bins": 128, "max_length": 1024, **FIXED}
PREPROCESSORS = {"wav2vec2-bert": STACKED, "audio-spectrogram-transformer": PATCHES}
# Hidden units after the non-linearity: what goes into this module of a block.
UNITS = {
    "whisper": ("fc2",),
    "wav2vec2-conformer": ("ffn2.output_dense",),
    "wav2vec2-bert": ("ffn2.output_dense",),
    "audio-spectrogram-transformer": ("mlp.fc2", "output.dense"),
}


@dataclass(frozen=True)
class Model:
    """A model as transformers has it, and where it was written.

    Attributes
    ----------
    kind
        Its type.
    folder
        What `load_encoder` is given.
    model
        What transformers runs (of Whisper, the encoder).
    """

    kind: str
    folder: Path
    model: Any

    @property
    def blocks(self) -> Any:
        """Its transformer blocks."""
        home = self.model if hasattr(self.model, "layers") else self.model.encoder
        return home.layers if hasattr(home, "layers") else home.layer

    def units(self, layer: int) -> torch.nn.Module:
        """Return the module that a block's hidden units go into."""
        parts = dict(self.blocks[layer - 1].named_modules())
        return next(parts[name] for name in UNITS.get(self.kind, ("feed_forward.output_dense",)) if name in parts)

    def heard(self, waveforms: np.ndarray) -> dict[str, torch.Tensor]:
        """Return what transformers' own feature extractor makes of some sounds of equal length."""
        rows, options = [np.array(row) for row in waveforms], {"sampling_rate": RATE, "return_tensors": "pt"}
        if self.kind == "whisper":
            return {"input_features": transformers.WhisperFeatureExtractor()(rows, **options).input_features}
        if self.kind == "wav2vec2-bert":
            found = transformers.SeamlessM4TFeatureExtractor(**STACKED)(rows, **options)
            return {"input_features": found.input_features}
        if self.kind == "audio-spectrogram-transformer":
            return {"input_values": transformers.ASTFeatureExtractor(**PATCHES)(rows, **options)["input_values"]}
        return {"input_values": transformers.Wav2Vec2FeatureExtractor(**WAVEFORM)(rows, **options).input_values}


def write_model(folder: Path, kind: str, *, size: str, blocks: int | None = None) -> Model:
    """Write a model with random weights, and return it as transformers runs it.

    Parameters
    ----------
    folder
        Where to.
    kind
        Its type.
    size
        ``"base"`` for as large as base checkpoints, ``"medium"``, or ``"small"``.
    blocks
        Number of blocks, if it is to be another than the size's own.
    """
    sizes = {"base": BASE.get(kind, {}), "medium": MEDIUM, "small": SMALL.get(kind, _NARROW | _CONVOLUTIONS)}
    values = dict(sizes[size])
    values |= _DECODER if kind == "whisper" else {} if kind == "audio-spectrogram-transformer" else _STILL
    if blocks:
        values["encoder_layers" if kind == "whisper" else "num_hidden_layers"] = blocks
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **values))
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    if shown:
        transformers.utils.logging.enable_progress_bar()
    settings = json.dumps(PREPROCESSORS.get(kind, WAVEFORM))
    (folder / "preprocessor_config.json").write_text(settings, encoding="utf-8")
    return Model(kind, folder, (model.encoder if kind == "whisper" else model).eval())


def babble(seconds: float, *, seed: int = 0) -> Stimulus:
    """Return noise whose loudness and colour change at random, eight times per second."""
    waveform = _babble(int(seconds * RATE), np.random.default_rng(seed))
    return Stimulus("babble", waveform, TimeAxis(RATE, waveform.size))


def _babble(n: int, rng: np.random.Generator) -> np.ndarray:
    knots = np.linspace(0, n, max(4, 8 * n // RATE))
    white = rng.standard_normal(n + 8)
    bright, dark = np.diff(white)[:n], np.convolve(white, np.ones(8) / 3, "valid")[:n]
    gains = [np.interp(np.arange(n), knots, rng.uniform(0, 1, knots.size) ** 3) for _ in range(2)]
    return (0.05 * (gains[0] * bright + gains[1] * dark)).astype(np.float32)


def write_babble(path: Path, minutes: float) -> Path:
    """Write a long sound as an array, ten seconds at a time."""
    n, step = int(minutes * 60 * RATE), 10 * RATE
    rows = open_memmap(path, mode="w+", dtype=np.float32, shape=(n,))
    rng = np.random.default_rng(1)
    for start in range(0, n, step):
        rows[start : start + step] = _babble(min(step, n - start), rng)
    rows.flush()
    return path
