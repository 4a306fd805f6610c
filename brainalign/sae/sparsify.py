"""How does sparsify write a coder? ``sae.safetensors`` and ``cfg.json`` in a folder per hook point.

Checked against the library's own files and not against SAELens' reader of them, which
transposes the decoder and does not centre the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainalign.core.errors import UnreadableFile, ValueProblem
from brainalign.sae.coder import SparseCoder
from brainalign.sae.foreign import built, read_json, read_safetensors, require_names, require_widths

CONFIG, WEIGHTS = FILES = ("cfg.json", "sae.safetensors")
NAMES = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")


def found_in(folder: Path) -> bool:
    """Whether a folder holds sparsify's two files."""
    return all((folder / name).is_file() for name in FILES)


def read_sparsify(folder: Path) -> SparseCoder:
    """Read a top-k autoencoder; the encoder sees the input less the decoder's bias.

    A transcoder (whose output is another layer than its input) and the ``groupmax`` activation are refused.
    """
    config = read_json(folder / CONFIG)
    _refuse(config, folder)
    path = folder / WEIGHTS
    state = read_safetensors(path)
    require_names(state, NAMES, path=path, kind="a sparsify coder")
    weights = {
        "W_enc": state["encoder.weight"].T,
        "b_enc": state["encoder.bias"],
        "W_dec": state["W_dec"],
        "b_dec": state["b_dec"],
    }
    require_widths(weights, _stated(config), path=path)
    k = config.get("k")
    if not isinstance(k, int) or k < 1:
        raise ValueProblem("the coder states no k", got=f"{folder / CONFIG}: k = {k!r}", fix='write {"k": ...} to it')
    # The folder is named after the module whose output was read.
    metadata = {"architecture": "topk", "site": folder.name}
    return built(weights, path=path, k=k, metadata=metadata, rule="top-k")


def _stated(config: Mapping[str, Any]) -> dict[str, Any]:
    # num_latents is 0 where expansion_factor decides the width.
    return {"d_in": config.get("d_in"), "d_sae": config.get("num_latents") or None}


def _refuse(config: Mapping[str, Any], folder: Path) -> None:
    activation = config.get("activation", "topk")
    transcoder = config.get("transcode") or config.get("skip_connection")
    if activation != "topk" or transcoder:
        raise UnreadableFile(
            "this kind of sparsify coder cannot be read",
            got=f"{folder}: activation {activation!r}" + (", a transcoder" if transcoder else ""),
            fix="use an autoencoder with the topk activation",
        )
