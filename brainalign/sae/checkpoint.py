"""Which files hold a sparse coder? Recognise a folder's format, read it, write SAELens' layout.

Nothing is unpickled: safetensors, plain arrays, and PyTorch files with ``weights_only=True``.
A format is one entry of `FORMATS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from brainalign.core.artefact import HEADER, read_artefact, read_header
from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem
from brainalign.sae import dictlearning, saelens
from brainalign.sae.coder import KIND, SparseCoder

LAYER_FOLDER = re.compile(r"layer[_-]?(\d+)$")


@dataclass(frozen=True)
class Format:
    """One checkpoint format.

    Parameters
    ----------
    looks_for
        What is looked for in the folder, for the error when nothing fits.
    found_in
        Whether a folder holds it.
    read
        Reads it.
    """

    looks_for: str
    found_in: Callable[[Path], bool]
    read: Callable[[Path], SparseCoder]


def _is_artefact(folder: Path) -> bool:
    return (folder / HEADER).is_file() and read_header(folder)["kind"] == KIND


def _read_artefact(folder: Path) -> SparseCoder:
    return SparseCoder.unpack(read_artefact(folder, mmap=False))


FORMATS: dict[str, Format] = {
    "brainalign": Format(f"{HEADER} of kind {KIND}", _is_artefact, _read_artefact),
    "SAELens": Format(" + ".join(saelens.FILES), saelens.found_in, saelens.read_saelens),
    "dictionary_learning": Format(
        f"{dictlearning.WEIGHTS} (+ {dictlearning.CONFIG})",
        dictlearning.found_in,
        dictlearning.read_dictionary_learning,
    ),
}


def load_sae(path: str | Path, *, layer: int | None = None) -> SparseCoder:
    """Read a sparse coder from a folder, whoever wrote it.

    Recognised: this package's artefact; SAELens (jumprelu, standard, topk);
    dictionary_learning's ``ae.pt`` (BatchTopK, TopK), alone or in AudioSAE's layout
    ``layer_{n}/ae.pt``. A file without a threshold (or with -1, "unset") gives a coder whose
    `SparseCoder.needs_calibration` is true; `brainalign.sae.calibrate.calibrate` sets it from frames.

    Parameters
    ----------
    path
        The folder, or the ``ae.pt`` file in it.
    layer
        Which ``layer_{n}`` subfolder, where the folder holds several (AudioSAE counts blocks
        from 1: block n's output is hidden state n). Where the folder holds one coder that
        states its layer, it must be this one.
    """
    given = Path(path)
    if not given.exists():
        fix = "check the path; download a hub repository first (huggingface_hub.snapshot_download)"
        raise MissingFile("there is no sparse coder here", got=given, fix=fix)
    folder = _layer_folder(given.parent if given.is_file() else given, layer)
    found = [item for item in FORMATS.values() if item.found_in(folder)]
    if not found:
        raise UnreadableFile(
            "no sparse-coder format is recognised",
            got=f"{folder} holds {_listing(folder)}",
            fix="looked for " + "; ".join(f"{name}: {item.looks_for}" for name, item in FORMATS.items()),
        )
    coder = found[0].read(folder)
    if match := LAYER_FOLDER.match(folder.name):
        # the publisher's folder name is what people cite; a number inside may count from 0
        coder = replace(coder, metadata={**coder.metadata, "layer": int(match[1])})
    _check_layer(coder, layer, folder)
    return coder


def save_sae(coder: SparseCoder, folder: str | Path) -> Path:
    """Write a coder in SAELens' layout, ``cfg.json`` + ``sae_weights.safetensors`` (version 6).

    The input scale is folded into the weights, so the features read back agree to rounding
    (about 1e-6) and not to the bit. `SparseCoder.pack` and the artefact keep the bits.
    """
    if coder.needs_calibration:
        raise ValueProblem(
            "a coder without a threshold cannot be written for others to use",
            got="threshold NaN",
            fix="calibrate(coder, trajectory) first",
        )
    target = Path(folder)
    saelens.write_saelens(coder, target)
    return target


def _layer_folder(folder: Path, layer: int | None) -> Path:
    """Return the folder itself, or its one for the layer where it holds a folder per layer."""
    layers = {int(m[1]): item for item in sorted(folder.iterdir()) if (m := LAYER_FOLDER.match(item.name))}
    if not layers or any(item.found_in(folder) for item in FORMATS.values()):
        return folder
    if layer not in layers:
        raise ValueProblem(
            "the folder holds one coder per layer, and the layer asked for is not among them",
            got=f"layer={layer}, {folder} has layers {sorted(layers)}",
            fix="give layer= one of them",
        )
    return layers[layer]


def _check_layer(coder: SparseCoder, layer: int | None, folder: Path) -> None:
    stated = coder.metadata.get("layer")
    if layer is not None and stated is not None and int(stated) != layer:
        raise ValueProblem(
            "the coder belongs to another layer", got=f"layer={layer}, {folder} says {stated}", fix="use its layer"
        )


def _listing(folder: Path) -> str:
    names = sorted(item.name for item in folder.iterdir())
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"
