"""How many bytes are meant by "2GB"? Amounts of memory as people write them."""

from __future__ import annotations

import re

from brainalign.core.errors import ValueProblem

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(memory: str | int) -> int:
    """Read an amount of memory.

    >>> parse_bytes("2GB"), parse_bytes("1.5 MB"), parse_bytes(4096)
    (2000000000, 1500000, 4096)
    """
    if isinstance(memory, int) and memory > 0:
        return memory
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)\s*", str(memory), flags=re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise ValueProblem("memory must be an amount of bytes", got=repr(memory), fix="write it like '2GB' or '500MB'")
    return int(float(match[1]) * _UNITS[match[2].upper()])
