"""How much of the planted truth does a coder hold? Directions matched one to one, and what its features explain."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks._recovery_world import World
from brainalign.sae.coder import SparseCoder
from brainalign.sae.metrics import measure_sae

FOUND = 0.7


def score(coder: SparseCoder, world: World) -> dict[str, Any]:
    """Return MMCS and F1 of the decoder, and the coder's quality on held-out sounds.

    ``mmcs`` is the mean over planted directions of the largest cosine with a feature alive on held-out sounds. For
    F1, directions and live features are matched one to one by cosine; a pair counts from 0.7, precision is the share
    of live features in such a pair, recall that of directions.
    """
    quality = measure_sae(coder, world.held_out)
    alive = coder.W_dec[quality.density > 0].astype(np.float64)
    unit = alive / np.maximum(np.linalg.norm(alive, axis=1, keepdims=True), 1e-12)
    cosine = world.directions @ unit.T
    best = cosine.max(axis=1, initial=0)
    rows, columns = linear_sum_assignment(-cosine)
    pairs = cosine[rows, columns] >= FOUND
    precision, recall = pairs.sum() / max(1, len(unit)), pairs.sum() / len(world.directions)
    f1 = 2 * precision * recall / max(1e-12, precision + recall)
    held = np.zeros(len(world.directions), dtype=bool)
    held[rows[pairs]] = True
    return {
        "mmcs": float(best.mean()),
        "f1": float(f1),
        "explained": quality.explained_variance,
        "l0": quality.l0,
        "alive": quality.alive_share,
        **{f"found, {kind}": float(held[atoms].mean()) for kind, atoms in world.kinds.items()},
    }
