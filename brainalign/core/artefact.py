"""How does anything reach the disk? A folder of ``header.json`` and plain ``.npy`` arrays.

No pickle: what is read back is numbers and JSON, whoever wrote it. A folder is written
aside, flushed and renamed, so it is whole or absent; each array's SHA-256 stands in the
header, the header's own stands there too, and both are checked before a value is believed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from brainalign.core.errors import BrainalignError, DamagedArtefact, MissingFile, StoreProblem, ValueProblem
from brainalign.core.hashing import canonical_json, digest, file_digest, plain

FORMAT = "brainalign-artefact/1"
HEADER = "header.json"
_SEAL = "sha256"
_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ENTRY_KEYS = {"sha256", "dtype", "shape"}


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

    A folder that already holds the very same content is left alone; one that holds
    anything else is refused, never overwritten.

    Returns
    -------
    str
        The artefact's content hash (SHA-256 of its header, which holds every array's hash).
    """
    # The process id alone would not do: in containers every run may have the same one.
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.{os.getpid()}.tmp")
    try:
        aside.mkdir(parents=True)
        header = _write_parts(artefact, aside)
        _swap_in(aside, folder, header=header)
    except BrainalignError:
        raise
    except OSError as error:
        raise StoreProblem(
            "an artefact cannot be written",
            got=f"{folder}: {error.strerror or error}",
            fix="free space or pick a writable folder",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return digest(header)


def _write_parts(artefact: Artefact, aside: Path) -> dict[str, Any]:
    for name in artefact.arrays:
        if not _ARRAY_NAME.fullmatch(name):
            raise ValueProblem("an array's name becomes a file name", got=repr(name), fix="use letters and digits")
    arrays = {name: _write_array(array, aside / f"{name}.npy") for name, array in sorted(artefact.arrays.items())}
    header = {"format": FORMAT, "kind": artefact.kind, "meta": plain(artefact.meta), "arrays": arrays}
    with (aside / HEADER).open("w", encoding="utf-8") as stream:
        stream.write(canonical_json({**header, _SEAL: digest(header)}))
        _flush(stream)
    _flush_folder(aside)
    return header


def _write_array(array: np.ndarray, path: Path) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise ValueProblem("an artefact holds plain numbers only", got=f"{path.stem}: {array.dtype}", fix="convert it")
    with path.open("wb") as stream:
        np.save(stream, np.asarray(array, order="C"), allow_pickle=False)
        _flush(stream)
    return {"sha256": file_digest(path), "dtype": array.dtype.str, "shape": list(array.shape)}


def _flush(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _swap_in(aside: Path, folder: Path, *, header: dict[str, Any]) -> None:
    """Rename onto the final name; the same content that another run finished first is as good as ours."""
    try:
        aside.rename(folder)
    except OSError:
        if not (folder / HEADER).is_file():
            raise
        if read_header(folder) != json.loads(canonical_json(header)):
            raise StoreProblem(
                "the folder already holds another artefact",
                got=folder,
                fix="save to a new folder, or delete this one first",
            ) from None
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """Make the folder's own entries durable, so that a power cut cannot undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY)
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
        header = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_nan)
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"{HEADER} is not JSON ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _damaged(folder, f"{HEADER} is not of format {FORMAT}")
    seal = header.pop(_SEAL, None)
    if seal != digest(header):
        raise _damaged(folder, f"{HEADER} does not match its SHA-256")
    if not _is_well_formed(header):
        raise _damaged(folder, f"{HEADER} does not list its kind, meta and arrays")
    return header


def _no_nan(name: str) -> float:
    raise ValueError(name)


def _is_well_formed(header: dict[str, Any]) -> bool:
    """Look before trusting: the seal proves that nothing changed, not that the writer was one of us."""
    arrays = header.get("arrays")
    return (
        isinstance(header.get("kind"), str)
        and isinstance(header.get("meta"), dict)
        and isinstance(arrays, dict)
        and all(_ARRAY_NAME.fullmatch(name) for name in arrays)
        and all(isinstance(entry, dict) and entry.keys() >= _ENTRY_KEYS for entry in arrays.values())
    )


def read_artefact(folder: Path, *, mmap: bool = True, verify: bool = True) -> Artefact:
    """Read an artefact.

    Parameters
    ----------
    folder
        The artefact's folder.
    mmap
        Leave the arrays on disk and map them, read-only.
    verify
        Check every array against its hash first, which reads all of it. Without, the header's own
        hash and every file's type, shape and size are checked.
    """
    header = read_header(folder)
    if verify:
        verify_artefact(folder)
    arrays = {name: _read_array(folder / f"{name}.npy", entry, mmap=mmap) for name, entry in header["arrays"].items()}
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


def _read_array(path: Path, entry: Mapping[str, Any], *, mmap: bool) -> np.ndarray:
    # Not np.load: it looks at the first bytes and would open an archive as well.
    try:
        if mmap and 0 not in entry["shape"]:
            mapped = np.lib.format.open_memmap(path, mode="r")
            array: np.ndarray = mapped
            end = mapped.offset + mapped.nbytes
        else:
            with path.open("rb") as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
                end = stream.tell()
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path.parent, f"{path.name}: {error}") from error
    if (array.dtype.str, list(array.shape)) != (entry["dtype"], entry["shape"]):
        raise _damaged(path.parent, f"{path.name} holds {array.dtype.str} {array.shape}, its header says otherwise")
    if path.stat().st_size != end:
        raise _damaged(path.parent, f"{path.name} is of {path.stat().st_size} bytes, its header calls for {end}")
    array.flags.writeable = False
    return array


def _damaged(folder: Path, how: str) -> DamagedArtefact:
    return DamagedArtefact("an artefact is damaged", got=f"{folder}: {how}", fix="delete the folder and make it again")


@contextmanager
def unpacking(kind: str, folder: Path) -> Iterator[None]:
    """Tell as damage what goes wrong where an object is made from a header that lacks something."""
    try:
        yield
    except BrainalignError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedArtefact(
            f"the folder does not hold what makes it a {kind}",
            got=f"{folder}: {error!r}",
            fix="delete the folder and make it again",
        ) from error
