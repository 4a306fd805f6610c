"""Which files hold a sparse coder? Recognise what is given, read it, and write it for others.

Nothing is unpickled: safetensors, plain arrays, and PyTorch files with ``weights_only=True``.
A format is one entry of `FORMATS`, a way of writing one of `WRITERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from brainalign.core.artefact import HEADER, read_artefact, read_header, unpacking, write_artefact
from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem, unknown_name
from brainalign.sae import dictlearning, gemmascope, saelens, sparsify
from brainalign.sae.coder import ARRAYS, KIND, SparseCoder

LAYER_FOLDER = re.compile(r"layer[_-]?(\d+)$")

FormatName = Literal["brainalign", "saelens", "dictionary_learning", "audiosae"]


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
    files, may_have
        What is fetched from a hub: what must be there, and what may be.
    """

    looks_for: str
    found_in: Callable[[Path], bool]
    read: Callable[[Path], SparseCoder]
    files: tuple[str, ...]
    may_have: tuple[str, ...] = ()


def _is_artefact(folder: Path) -> bool:
    return (folder / HEADER).is_file() and read_header(folder)["kind"] == KIND


def _read_artefact(folder: Path) -> SparseCoder:
    artefact = read_artefact(folder, mmap=False)
    with unpacking("sparse coder", folder):
        return SparseCoder.unpack(artefact)


FORMATS: dict[str, Format] = {
    "brainalign": Format(
        f"{HEADER} of kind {KIND}", _is_artefact, _read_artefact, (HEADER, *(f"{name}.npy" for name in ARRAYS))
    ),
    "SAELens": Format(
        " + ".join(saelens.FILES), saelens.found_in, saelens.read_saelens, saelens.FILES, (saelens.SCALER,)
    ),
    "sparsify": Format(" + ".join(sparsify.FILES), sparsify.found_in, sparsify.read_sparsify, sparsify.FILES),
    "Gemma Scope": Format(gemmascope.WEIGHTS, gemmascope.found_in, gemmascope.read_gemma_scope, (gemmascope.WEIGHTS,)),
    "dictionary_learning": Format(
        f"{dictlearning.WEIGHTS} (+ {dictlearning.CONFIG})",
        dictlearning.found_in,
        dictlearning.read_dictionary_learning,
        (dictlearning.WEIGHTS,),
        (dictlearning.CONFIG,),
    ),
}


def load_sae(path: str | Path, *, layer: int | None = None, revision: str | None = None) -> SparseCoder:
    """Read a sparse coder from a folder, a file or the hub, whoever wrote it.

    Recognised: this package's artefact; SAELens (versions 5 and 6: standard, gated, topk, jumprelu,
    and training checkpoints of batchtopk and matryoshka_batchtopk); dictionary_learning's seven
    classes in ``ae.pt`` or a checkpoint ``ae_{step}.pt``; AudioSAE's ``layer_{n}/ae.pt``; sparsify's
    ``sae.safetensors``; Gemma Scope's ``params.npz``. A file without a threshold (or with -1,
    "unset") gives a coder whose `SparseCoder.needs_calibration` is true, and
    `brainalign.sae.calibrate.calibrate` sets it from frames: there is no default that could be guessed.

    Parameters
    ----------
    path
        The folder, the file of weights in it, or a hub id (``owner/name``, or ``owner/name/folder/in/it``).
    layer
        Which ``layer_{n}`` subfolder, where the folder holds several (AudioSAE counts blocks
        from 1: block n's output is hidden state n). Where the folder holds one coder that
        states its layer, it must be this one.
    revision
        Branch, tag or commit of a hub id; its default branch if None. The metadata keep the commit.
    """
    given = Path(path)
    if given.exists():
        coder, folder = _read(given, layer), given if given.is_dir() else given.parent
        _check_layer(coder, layer, folder)
        return coder
    from brainalign.sae.hub import fetch_coder, looks_like_hub_id  # which brings transformers along

    if not looks_like_hub_id(path):
        fix = "check the path; a hub id is 'owner/name' or 'owner/name/folder/in/it'"
        raise MissingFile("there is no sparse coder here", got=given, fix=fix)
    files = {name: (item.files, item.may_have) for name, item in FORMATS.items()}
    fetched = fetch_coder(str(path), revision=revision, layer=layer, formats=files)
    coder = _read(fetched.folder, layer)
    coder = replace(coder, metadata={**coder.metadata, "hub": {"id": fetched.hub_id, "revision": fetched.commit}})
    _check_layer(coder, layer, fetched.folder)
    return coder


def _read(given: Path, layer: int | None) -> SparseCoder:
    if given.is_file() and given.suffix == ".pt":
        return _with_layer_of(given.parent, dictlearning.read_dictionary_learning(given))
    folder = _layer_folder(given.parent if given.is_file() else given, layer)
    found = [item for item in FORMATS.values() if item.found_in(folder)]
    if not found:
        raise UnreadableFile(
            "no sparse-coder format is recognised",
            got=f"{folder} holds {_listing(folder)}",
            fix="looked for " + "; ".join(f"{name}: {item.looks_for}" for name, item in FORMATS.items()),
        )
    return _with_layer_of(folder, found[0].read(folder))


def _with_layer_of(folder: Path, coder: SparseCoder) -> SparseCoder:
    if match := LAYER_FOLDER.match(folder.name):
        # the publisher's folder name is what people cite; a number inside may count from 0
        return replace(coder, metadata={**coder.metadata, "layer": int(match[1])})
    return coder


def _write_artefact(coder: SparseCoder, folder: Path) -> Path:
    write_artefact(coder.pack(), folder)
    return folder


def _write_saelens(coder: SparseCoder, folder: Path) -> Path:
    saelens.write_saelens(coder, folder)
    return folder


def _write_dictionary_learning(coder: SparseCoder, folder: Path) -> Path:
    dictlearning.write_dictionary_learning(coder, folder)
    return folder


def _write_audiosae(coder: SparseCoder, folder: Path) -> Path:
    layer = coder.metadata.get("layer")
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise ValueProblem(
            "AudioSAE's layout has a folder per layer, and the coder states none",
            got=f"layer {layer!r} in its metadata",
            fix="dataclasses.replace(coder, metadata={**coder.metadata, 'layer': n}), n = 1 for the first block",
        )
    dictlearning.write_dictionary_learning(coder, folder / f"layer_{layer}", uncalibrated=True)
    return folder


WRITERS: dict[str, Callable[[SparseCoder, Path], Path]] = {
    "brainalign": _write_artefact,
    "saelens": _write_saelens,
    "dictionary_learning": _write_dictionary_learning,
    "audiosae": _write_audiosae,
}


def save_sae(coder: SparseCoder, folder: str | Path, *, format: FormatName = "saelens") -> Path:
    """Write a coder for others to read, or exactly.

    Parameters
    ----------
    coder
        The coder.
    folder
        Where to.
    format
        ``"brainalign"``: the artefact, to the bit, with everything the metadata hold.
        ``"saelens"``: ``cfg.json`` + ``sae_weights.safetensors`` (version 6).
        ``"dictionary_learning"``: ``ae.pt`` + ``config.json``. ``"audiosae"``: the same in ``layer_{n}``, n from the
        coder's metadata, one folder for many layers; the only one of the three that takes a coder without a threshold.
        These fold the input scale into the weights, so that features read back agree to rounding (about 1e-6).
    """
    if format not in WRITERS:
        raise unknown_name(format, among=WRITERS, kind="format of sparse coders")
    return WRITERS[format](coder, Path(folder))


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
    if layer is None or stated is None or _number(stated) == layer:
        return
    raise ValueProblem(
        "the coder belongs to another layer", got=f"layer={layer}, {folder} says {stated}", fix="use its layer"
    )


def _number(stated: Any) -> int | None:
    """Return a layer that a file states, None where what it states is no number."""
    try:
        return int(stated)
    except (TypeError, ValueError):
        return None


def _listing(folder: Path) -> str:
    names = sorted(item.name for item in folder.iterdir())
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"
