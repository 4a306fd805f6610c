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

from brainalign.core.errors import ValueProblem

_CHUNK_BYTES = 1 << 20


def plain(value: Any) -> Any:
    """Turn a value into JSON's own types, exactly (fractions become ``"a/b"``)."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Mapping):
        return _plain_mapping(value)
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


def _plain_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    items = {str(key): plain(item) for key, item in value.items()}
    if len(items) < len(value):
        raise ValueProblem("two keys have one name in JSON", got=list(value), fix="use keys that differ as text")
    return items


def canonical_json(value: Any) -> str:
    """Write a value as the one JSON text that stands for it.

    Keys are sorted, blanks dropped, everything beyond ASCII escaped and NaN refused, so equal
    values give equal bytes.

    >>> canonical_json({"b": Fraction(1, 3), "a": (1, 2.5)})
    '{"a":[1,2.5],"b":"1/3"}'
    """
    try:
        return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueProblem(
            "a value has no place in canonical JSON", got=error, fix="use finite numbers, text, lists and mappings"
        ) from error


def digest(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_digest(array: np.ndarray) -> str:
    """Return the SHA-256 (hexadecimal) of an array: its dtype, shape and bytes in C order."""
    state = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a file's bytes, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()
