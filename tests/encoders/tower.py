"""A small CLAP audio tower with random weights, and some sound for it."""

import json

import numpy as np
import torch
import transformers

from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis

RATE, HOP = 48_000, 480
DEPTHS, WIDTH, N_LAYERS = (2, 2, 2, 2), 8, 8
# The published preprocessor's settings.
SETTINGS = {
    "feature_extractor_type": "ClapFeatureExtractor",
    "sampling_rate": RATE,
    "feature_size": 64,
    "fft_window_size": 1024,
    "hop_length": HOP,
    "max_length_s": 10,
    "frequency_min": 50,
    "frequency_max": 14_000,
    "truncation": "rand_trunc",
    "padding": "repeatpad",
    "top_db": None,
}
TOWER = {
    "depths": list(DEPTHS),
    "num_attention_heads": [1, 2, 2, 4],
    "patch_embeds_hidden_size": WIDTH,
    "hidden_size": 8 * WIDTH,
    "num_hidden_layers": 4,
}
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 60}


def write_tower(folder, *, whole=False, settings=None, **changes):
    """Write a small tower, alone or in a whole CLAP, and return it as transformers made it."""
    config = transformers.ClapAudioConfig(**{**TOWER, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.ClapAudioModel(config)
        if whole:
            both = transformers.ClapConfig(text_config=TEXT, audio_config=config.to_dict(), projection_dim=8)
            model, model.audio_model = transformers.ClapModel(both), model
        for name, parameter in model.named_parameters():
            if "bias" in name or "norm" in name:
                parameter.data += 0.1 * torch.randn_like(parameter)
        tower = model.audio_model if whole else model
        tower.audio_encoder.batch_norm.running_mean += torch.linspace(-20, -50, 64)
        tower.audio_encoder.batch_norm.running_var *= 200
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**SETTINGS, **(settings or {})}))
    return tower.eval()


def noise(seconds, *, seed=0):
    n = int(seconds * RATE)
    rng = np.random.default_rng(seed)
    loudness = np.interp(np.arange(n), np.linspace(0, n, 8 + int(8 * seconds)), rng.uniform(0, 1, 8 + int(8 * seconds)))
    return Stimulus("noise", (0.1 * loudness**2 * rng.standard_normal(n)).astype(np.float32), TimeAxis(RATE, n))
