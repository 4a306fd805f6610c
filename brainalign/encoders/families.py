"""Which model types can be read, and where in each of them is everything?

A new type is one entry here (and, if it hears sound in a new way, one in `inputs.INPUTS`).
Paths are attribute paths; where transformers has moved a part between its versions, the
alternatives stand with a bar between them and the first that exists is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

Layout = Literal["frames", "channels", "gelu-channels", "patches"]
CONVOLUTIONAL = ("conv_kernel", "conv_stride", "num_hidden_layers", "num_attention_heads")
# These come in two kinds, and the weights of the one fit the other.
TWO_KINDS = (*CONVOLUTIONAL, "do_stable_layer_norm")


@dataclass(frozen=True)
class Place:
    """Where one kind of signal passes.

    Parameters
    ----------
    path
        Attribute path to the module; from the block for sites in a block, from the model otherwise.
    end
        Whether the signal goes into the module or comes out of it.
    part
        Which of several outputs it is.
    layout
        How it lies in the tensor: ``"frames"`` (batch, frame, feature), ``"channels"`` (batch,
        feature, frame), ``"gelu-channels"`` (the same, before a GELU that is no module of its
        own), ``"patches"`` (batch, special tokens and then bands by frames, feature).
    """

    path: str
    end: Literal["input", "output"] = "output"
    part: int = 0
    layout: Layout = "frames"


@dataclass(frozen=True)
class Family:
    """Where the parts of one model type are found.

    Parameters
    ----------
    inputs
        How it hears: a key of `inputs.INPUTS`.
    blocks
        Path from the model to its list of transformer blocks.
    sites
        Places inside a block, by the site's name (``"residual"`` needs no entry).
    front, final
        Places in the model: what the front end gives, and what comes out after the last norm.
    maps
        Place inside a block that gives one attention map per head, when the model runs with
        eager attention.
    without
        Sites that this type cannot give, with the reason.
    layout
        How the residual stream lies in its tensors (see `Place`).
    max_seconds
        Longest sound to run in one pass; longer ones run in windows.
    single
        Whether transformers computes some of it in float32 whatever the weights are in.
    open_maps
        Whether its attention is never fused, so that maps from all frames to all are in memory.
    config
        What ``config.json`` must say itself. transformers fills in what is missing with one
        model's values, and a wrong number of heads or a wrong stride fits any weights.
    part
        Entry of ``config.json`` that is the config of the part that hears, where there are others.
    """

    inputs: str = "waveform"
    blocks: str = "encoder.layers"
    sites: Mapping[str, Place] = field(default_factory=lambda: WAV2VEC_SITES)
    front: Place | None = Place("feature_extractor", layout="channels")
    final: Place | None = Place("encoder")
    maps: Place | None = Place("attention", part=1)
    without: Mapping[str, str] = field(default_factory=dict)
    layout: Layout = "frames"
    max_seconds: float = 120.0
    single: bool = False
    open_maps: bool = False
    config: tuple[str, ...] = CONVOLUTIONAL
    part: str = ""


# "mlp": what the non-linearity gives, that is, what goes into the second linear map.
# "attention": what a block's attention adds to the residual stream (dropout is off).
# "heads": the heads' own outputs side by side, before the output map mixes them.
WAV2VEC_SITES: Mapping[str, Place] = MappingProxyType(
    {
        "mlp": Place("feed_forward.output_dense", "input"),
        "attention": Place("attention"),
        "heads": Place("attention.out_proj", "input"),
    }
)
CONFORMER_SITES: Mapping[str, Place] = MappingProxyType(
    {
        "mlp": Place("ffn2.output_dense", "input"),
        # A conformer block has a half-step feed-forward layer on each side of its attention.
        "mlp-first": Place("ffn1.output_dense", "input"),
        "attention": Place("self_attn"),
        "heads": Place("self_attn.linear_out", "input"),
        "convolution": Place("conv_module"),
    }
)
WAVLM_FUSED = (
    "its attention runs as one fused call that keeps the heads apart from nobody (maps are averaged over them)"
)
SEW_RATES = "it lies on another clock than the blocks (the encoder squeezes time and stretches it again)"

ENCODERS: Mapping[str, Family] = MappingProxyType(
    {
        "wav2vec2": Family(config=TWO_KINDS),
        "hubert": Family(config=TWO_KINDS),
        "data2vec-audio": Family(),
        "unispeech": Family(config=TWO_KINDS),
        "unispeech-sat": Family(config=TWO_KINDS),
        "wavlm": Family(
            sites={name: WAV2VEC_SITES[name] for name in ("mlp", "attention")},
            maps=None,
            without={"heads": WAVLM_FUSED, "maps": WAVLM_FUSED},
            # The position bias is a frames-by-frames matrix per head: 120 s would take gigabytes.
            max_seconds=40.0,
            open_maps=True,
            config=TWO_KINDS,
        ),
        "sew": Family(
            inputs="squeezed-waveform", front=None, final=None, without={"front": SEW_RATES, "final": SEW_RATES}
        ),
        "wav2vec2-conformer": Family(
            sites=CONFORMER_SITES,
            maps=Place("self_attn", part=1),
            max_seconds=60.0,
            # Its rotary and relative positions.
            single=True,
            open_maps=True,
        ),
        "wav2vec2-bert": Family(
            inputs="stacked-filterbank",
            sites=CONFORMER_SITES,
            front=Place("feature_projection"),
            maps=Place("self_attn", part=1),
            max_seconds=60.0,
            open_maps=True,
            config=("feature_projection_input_dim", "num_hidden_layers", "num_attention_heads"),
        ),
        "whisper": Family(
            inputs="whisper-mel",
            blocks="layers",
            sites={
                "mlp": Place("fc2", "input"),
                "attention": Place("self_attn"),
                "heads": Place("self_attn.out_proj", "input"),
            },
            front=Place("conv2", layout="gelu-channels"),
            final=Place("layer_norm"),
            maps=Place("self_attn", part=1),
            config=("num_mel_bins", "max_source_positions", "encoder_layers", "encoder_attention_heads"),
        ),
        "audio-spectrogram-transformer": Family(
            inputs="padded-filterbank",
            blocks="layers|encoder.layer",
            sites={
                "mlp": Place("mlp.fc2|output.dense", "input", layout="patches"),
                "attention": Place("attention", layout="patches"),
                "heads": Place("attention.o_proj|attention.output.dense", "input", layout="patches"),
            },
            front=Place("embeddings.patch_embeddings", layout="patches"),
            final=Place("layernorm", layout="patches"),
            maps=Place("attention.attention|attention", part=1, layout="patches"),
            layout="patches",
            config=(
                *("patch_size", "time_stride", "frequency_stride", "num_mel_bins", "max_length"),
                *("num_hidden_layers", "num_attention_heads"),
            ),
        ),
    }
)

# Types whose layers do not share one clock (see `clap`); their parts differ in how they lie, not in where.
_FOLDED = "its attention runs in windows of patches, shifted from block to block, that hold pieces of several moments"
_CLAP = Family(
    inputs="folded-mel",
    blocks="audio_encoder.layers",
    sites={"mlp": Place("output.dense", "input"), "attention": Place("drop_path")},
    front=Place("audio_encoder.patch_embed.proj"),
    final=Place("audio_encoder.norm"),
    maps=None,
    without={"heads": _FOLDED, "maps": _FOLDED},
    config=("spec_size", "patch_stride", "depths"),
)
STAGED: Mapping[str, Family] = MappingProxyType(
    {"clap": replace(_CLAP, part="audio_config"), "clap_audio_model": _CLAP},
)

REFUSED: Mapping[str, str] = MappingProxyType(
    {"sew-d": "its attention is another one than the other types' and has not been checked"}
)
