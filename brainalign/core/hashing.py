"""Is this the same content? Canonical JSON and SHA-256 of values, arrays and files.

Identity is content, never a modification time: a file copied to another machine keeps
its key, and a file edited within one second does not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

_CHUNK_BYTES = 1 << 20


def plain(value: Any) -> Any:
    """Turn a value into JSON's own types, exactly (fractions become ``"a/b"``)."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    return value


def canonical_json(value: Any) -> str:
    """Write a value as the one JSON text that stands for it.

    Keys are sorted, blanks dropped, and NaN refused, so equal values give equal bytes.

    >>> canonical_json({"b": Fraction(1, 3), "a": (1, 2.5)})
    '{"a":[1,2.5],"b":"1/3"}'
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_digest(array: np.ndarray) -> str:
    """Return the SHA-256 (hexadecimal) of an array: its dtype, shape and bytes in C order."""
    state = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    state.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a file's bytes, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()
