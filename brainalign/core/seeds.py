"""One seed from the config, one independent generator for every named piece of work.

Spawning by *name* instead of by order keeps bytes the same when work is added, skipped
or run in another order.
"""

from __future__ import annotations

import hashlib
import operator

import numpy as np


def child_seed(seed: int, *names: object) -> int:
    """Derive a 63-bit seed from a parent seed and the names of a piece of work.

    >>> child_seed(0, "shifts", "sub-01") == child_seed(0, "shifts", "sub-01")
    True
    >>> child_seed(0, "shifts", "sub-01") == child_seed(0, "shifts", "sub-02")
    False
    """
    text = "\x1f".join([str(operator.index(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a NumPy generator of its own for a named piece of work."""
    return np.random.default_rng(child_seed(seed, *names))
