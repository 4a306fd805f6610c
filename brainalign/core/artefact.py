"""How does anything reach the disk? A folder of ``header.json`` and plain ``.npy`` arrays.

No pickle: what is read back is numbers and JSON, whoever wrote it. A folder is written
aside, flushed and renamed, so it is whole or absent; each array's SHA-256 stands in the
header and is checked before a value is believed.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from brainalign.core.errors import DamagedArtefact, MissingFile, StoreProblem, ValueProblem
from brainalign.core.hashing import canonical_json, digest, file_digest, plain

FORMAT = "brainalign-artefact/1"
HEADER = "header.json"


@dataclass(frozen=True)
class Artefact:
    """Anything worth keeping: a kind, JSON values and named arrays.

    Parameters
    ----------
    kind
        What it is, e.g. ``"trajectory"``.
    meta
        JSON values.
    arrays
        Named NumPy arrays (no object dtype).
    """

    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@runtime_checkable
class Packable(Protocol):
    """A type that can be written as an artefact and read back."""

    def pack(self) -> Artefact:
        """Return the object as an artefact."""
        ...

    @classmethod
    def unpack(cls, artefact: Artefact) -> Self:
        """Read the object back."""
        ...


def write_artefact(artefact: Artefact, folder: Path) -> str:
    """Write an artefact to a new folder, whole or not at all.

    Returns
    -------
    str
        The artefact's content hash (SHA-256 of its header, which holds every array's hash).
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        aside.mkdir(parents=True)
        header = _write_parts(artefact, aside)
        _swap_in(aside, folder)
    except OSError as error:
        raise StoreProblem(
            "an artefact cannot be written", got=f"{folder}: {error.strerror or error}", fix="free space or pick a writable folder"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return digest(header)


def _write_parts(artefact: Artefact, aside: Path) -> dict[str, Any]:
    arrays = {name: _write_array(array, aside / f"{name}.npy") for name, array in sorted(artefact.arrays.items())}
    header = {"format": FORMAT, "kind": artefact.kind, "meta": plain(artefact.meta), "arrays": arrays}
    with (aside / HEADER).open("w", encoding="utf-8") as stream:
        stream.write(canonical_json(header))
        _flush(stream)
    return header


def _write_array(array: np.ndarray, path: Path) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise ValueProblem("an artefact holds plain numbers only", got=f"{path.stem}: {array.dtype}", fix="convert it")
    with path.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        _flush(stream)
    return {"sha256": file_digest(path), "dtype": array.dtype.str, "shape": list(array.shape)}


def _flush(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _swap_in(aside: Path, folder: Path) -> None:
    """Rename onto the final name; a folder that another run finished first is as good as ours."""
    try:
        aside.rename(folder)
    except OSError:
        if not (folder / HEADER).is_file():
            raise
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_header(folder: Path) -> dict[str, Any]:
    """Read an artefact's header, refusing what is not one."""
    path = folder / HEADER
    if not path.is_file():
        raise MissingFile("there is no artefact here", got=path, fix="check the path, or run the stage that makes it")
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(folder, f"{HEADER} is not JSON ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _damaged(folder, f"{HEADER} is not of format {FORMAT}")
    return header


def read_artefact(folder: Path, *, mmap: bool = True, verify: bool = True) -> Artefact:
    """Read an artefact.

    Parameters
    ----------
    folder
        The artefact's folder.
    mmap
        Leave the arrays on disk and map them, read-only.
    verify
        Check every array against its hash first.
    """
    header = read_header(folder)
    if verify:
        verify_artefact(folder)
    sizes = {name: math.prod(entry["shape"]) for name, entry in header["arrays"].items()}
    arrays = {name: _read_array(folder, name, mmap=mmap, size=size) for name, size in sizes.items()}
    return Artefact(header["kind"], header["meta"], arrays)


def verify_artefact(folder: Path) -> str:
    """Check every array's hash and return the artefact's content hash."""
    header = read_header(folder)
    for name, entry in header["arrays"].items():
        path = folder / f"{name}.npy"
        if not path.is_file():
            raise _damaged(folder, f"{path.name} is missing")
        if file_digest(path) != entry["sha256"]:
            raise _damaged(folder, f"{path.name} does not match its SHA-256")
    return digest(header)


def _read_array(folder: Path, name: str, *, mmap: bool, size: int) -> np.ndarray:
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r" if mmap and size else None, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{path.name}: {error}") from error
    array.flags.writeable = False
    return array


def _damaged(folder: Path, how: str) -> DamagedArtefact:
    return DamagedArtefact("an artefact is damaged", got=f"{folder}: {how}", fix="delete the folder and make it again")
