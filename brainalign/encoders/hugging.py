"""How is a pretrained audio encoder loaded? A hub id or a local folder, of any type that is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from brainalign.core.errors import ValueProblem
from brainalign.encoders.budget import default_memory
from brainalign.encoders.checkpoint import (
    checked_device,
    identity_of,
    local_folder,
    read_config,
    read_model,
    read_settings,
)
from brainalign.encoders.clap import ClapEncoder
from brainalign.encoders.clap_mel import FoldedMel
from brainalign.encoders.families import Family
from brainalign.encoders.inputs import INPUTS
from brainalign.encoders.m2d import is_m2d, load_m2d
from brainalign.encoders.precision import Precision, checked_dtype
from brainalign.encoders.running import HuggingEncoder
from brainalign.encoders.windows import Context, longest_windowing

__all__ = ["HuggingEncoder", "load_encoder"]

# How types hear whose layers have clocks of their own, and what they are run by.
STAGED_KINDS: Mapping[str, tuple[type[FoldedMel], type[HuggingEncoder]]] = MappingProxyType(
    {"folded-mel": (FoldedMel, ClapEncoder)}
)


def load_encoder(
    source: Path | str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    windowing: Context | None = None,
    attention: str | None = None,
    bands: Literal["mean", "apart"] = "mean",
    family: Family | None = None,
    dtype: Precision = "float32",
) -> HuggingEncoder:
    """Load an audio encoder of any known type (`families.ENCODERS`).

    Parameters
    ----------
    source
        A hub id such as ``"facebook/hubert-base-ls960"``, or a folder holding ``config.json``,
        weights and, except for Whisper, ``preprocessor_config.json``. A single file of weights
        may have any name. An M2D checkpoint has no config: see `load_m2d`.
    revision
        Branch, tag or commit of a hub model. The commit goes into provenance.
    device
        Where it runs: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    windowing
        How sounds are cut. A `Windowing` cuts those too long for one pass (default: windows as
        long as the type allows, at most 120 s, with 4 s thrown away on each side of a seam); a
        `Causal` gives every frame its past alone.
    attention
        transformers' name of an attention implementation; ``"eager"`` for attention maps.
    bands
        For models whose tokens are patches of a spectrogram: ``"mean"`` over the patches of a
        frame, or ``"apart"``.
    family
        Where the parts of a type are that is not known yet.
    dtype
        What the model computes in: ``"float32"``, or where the device can do it ``"bfloat16"`` or
        ``"float16"``. Frames are float32 in any case, and provenance tells.

    Returns
    -------
    HuggingEncoder
        In evaluation mode, with a memory budget that suits the device (see its ``memory``). A
        local folder goes by the hash of its files, never by its path.
    """
    if is_m2d(source):
        said = {"revision": revision, "attention": attention, "family": family}
        if unused := [f"{name}={value!r}" for name, value in said.items() if value is not None]:
            raise ValueProblem(
                "an M2D checkpoint has no such choice", got=", ".join(unused), fix="leave it out (see load_m2d)"
            )
        return load_m2d(source, device=device, windowing=windowing, bands=bands, dtype=dtype)
    folder = local_folder(source)
    where = str(folder or source)
    config, family = read_config(where, revision=revision, family=family)
    # Everything after the config is read from the very commit the config came from.
    revision = getattr(config, "_commit_hash", None) or revision
    hears, made = STAGED_KINDS.get(family.inputs) or (INPUTS[family.inputs], HuggingEncoder)
    inputs = hears.build(config, read_settings(where, revision=revision, needs=hears.needs))
    place = checked_device(device)
    number = checked_dtype(dtype, place)
    model = read_model(where, config, revision=revision, blocks=family.blocks, attention=attention, dtype=number)
    identity = identity_of(source, folder, config, revision=revision, dtype=number)
    default = longest_windowing(inputs.clock, max_seconds=family.max_seconds, n_most=inputs.n_most)
    return made(
        name=identity["model"],
        model=model.to(place),
        family=family,
        inputs=inputs,
        windowing=windowing or default,
        identity=identity | ({"attention": attention} if attention else {}),
        bands=bands,
        memory=default_memory(place.type),
    )
