"""Small models of every known type with random weights, and what transformers itself gives them to hear."""

import json
from pathlib import Path

import numpy as np
import torch
import transformers

from brainalign.encoders.builtin import PREPROCESSOR, SETTINGS
from brainalign.encoders.hooks import Site, captured

WIDTH, INNER, N_HEADS, N_LAYERS = 32, 48, 4, 3
SMALL = {key: value for key, value in SETTINGS.items() if key not in ("architectures", "model_type")}
SMALL |= {"hidden_size": WIDTH, "intermediate_size": INNER, "conv_dim": [16] * 7, "num_hidden_layers": N_LAYERS}
MEL = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_attention_heads": N_HEADS,
    "num_hidden_layers": N_LAYERS,
}
# 8 s in one pass
WHISPER = {
    "d_model": WIDTH,
    "encoder_layers": N_LAYERS,
    "encoder_attention_heads": N_HEADS,
    "encoder_ffn_dim": INNER,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 16,
    "vocab_size": 60,
    "max_source_positions": 400,
    "max_target_positions": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
# 6.4 s in one pass, 4 bands by 63 frames of patches
AST = {**MEL, "num_mel_bins": 48, "max_length": 640}
CONFORMER = {"conv_depthwise_kernel_size": 7, "position_embeddings_type": "rotary", "conformer_conv_dropout": 0.0}

CONFIGS = {
    "hubert": (transformers.HubertConfig, SMALL),
    "wav2vec2": (transformers.Wav2Vec2Config, SMALL | {"feat_extract_norm": "group", "conv_bias": False}),
    "data2vec-audio": (transformers.Data2VecAudioConfig, SMALL | {"num_conv_pos_embeddings": 2}),
    "wavlm": (transformers.WavLMConfig, SMALL),
    "unispeech": (transformers.UniSpeechConfig, SMALL),
    "unispeech-sat": (transformers.UniSpeechSatConfig, SMALL),
    "sew": (transformers.SEWConfig, SMALL | {"feat_extract_norm": "layer"}),
    "wav2vec2-conformer": (transformers.Wav2Vec2ConformerConfig, SMALL | CONFORMER),
    "wav2vec2-bert": (transformers.Wav2Vec2BertConfig, MEL | {"conv_depthwise_kernel_size": 7, "layerdrop": 0.0}),
    "whisper": (transformers.WhisperConfig, WHISPER),
    "audio-spectrogram-transformer": (transformers.ASTConfig, AST),
}
SEAMLESS = {"sampling_rate": 16_000, "num_mel_bins": 80, "feature_size": 80, "stride": 2, "padding_value": 0.0}
PADDED = {
    "sampling_rate": 16_000,
    "num_mel_bins": AST["num_mel_bins"],
    "max_length": AST["max_length"],
    "mean": -4.2677393,
    "std": 4.5689974,
    "do_normalize": True,
}
SETTINGS_OF = {"wav2vec2-bert": SEAMLESS, "audio-spectrogram-transformer": PADDED}


def write_small(folder: Path, kind: str, *, seed: int = 0, settings: dict | None = None, **changes) -> torch.nn.Module:
    """Write a small model as a folder, and return it as transformers made it."""
    make, values = CONFIGS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModel.from_config(make(**{**values, **changes}))
        # Fresh biases and norms are so regular that some parts could be mistaken for others.
        for name, parameter in model.named_parameters():
            if "bias" in name or "norm" in name or "_token" in name or "position_embeddings" in name:
                parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    settings = {**SETTINGS_OF.get(kind, PREPROCESSOR), **(settings or {})}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return model.eval()


def encoder_part(model: torch.nn.Module) -> torch.nn.Module:
    """Return Whisper's encoder, or another type's whole model."""
    return model.encoder if model.config.model_type == "whisper" else model


def heard(kind: str, waveform: np.ndarray) -> dict[str, torch.Tensor]:
    """Return what transformers' own feature extractor makes of a sound."""
    options = {"sampling_rate": 16_000, "return_tensors": "pt"}
    waveform = np.array(waveform)
    if kind == "whisper":
        extractor = transformers.WhisperFeatureExtractor(chunk_length=WHISPER["max_source_positions"] // 50)
        return {"input_features": extractor(waveform, **options).input_features}
    if kind == "wav2vec2-bert":
        return dict(transformers.SeamlessM4TFeatureExtractor(**SEAMLESS)(waveform, **options))
    if kind == "audio-spectrogram-transformer":
        return {"input_values": transformers.ASTFeatureExtractor(**PADDED)(waveform, **options)["input_values"]}
    return {"input_values": transformers.Wav2Vec2FeatureExtractor(**PREPROCESSOR)(waveform, **options).input_values}


def run(model: torch.nn.Module, kind: str, waveform: np.ndarray, sites: dict[str, Site]) -> dict[str, torch.Tensor]:
    """Run transformers' model on transformers' input, and hear some modules of it."""
    with torch.inference_mode(), captured(sites, stop=False) as found:
        encoder_part(model)(**heard(kind, waveform))
    return {name: tensor[0] for name, tensor in found.items()}


def bands_of(tensor: torch.Tensor, kind: str) -> np.ndarray:
    """Average what lies above one another in AST's grid, written out."""
    if kind != "audio-spectrogram-transformer":
        return tensor.numpy()
    n_bands, n_frames = 4, 63
    patches = tensor[2:] if len(tensor) == 2 + n_bands * n_frames else tensor
    return np.mean([patches[b * n_frames : (b + 1) * n_frames].numpy() for b in range(n_bands)], axis=0)
