"""Which non-negative parts are frames made of? Learnt online, from shuffled batches, at bounded memory.

Each batch is coded with the parts as they are, and its sums ``W'W`` and ``W'X`` join those of the batches before, which
fade; the parts then minimise the summed error by block coordinate descent (as Mairal et al. 2010 learn dictionaries).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from brainalign.core.trajectory import Trajectory
from brainalign.sae.batches import epochs
from brainalign.sae.rules import fit_non_negative

N_SWEEPS, N_ROUNDS = 30, 1
_TINY = 1e-12


def learn_parts(
    frames: Sequence[Trajectory],
    origin: np.ndarray,
    n_parts: int,
    *,
    signed: bool,
    n_steps: int,
    n_batch: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return parts of norm 1, shape ``(n_parts, d_in)``, sorted by how much weight they had.

    Parameters
    ----------
    frames
        Dense trajectories of one width.
    origin
        What is taken off every frame, shape ``(d_in,)``.
    n_parts
        How many.
    signed
        Whether parts may have negative entries (semi-NMF: only their weights are non-negative). If not, what of a
        frame lies below the origin counts as 0.
    n_steps, n_batch
        Updates, and frames in each.
    rng
        Of the first parts (frames with their inputs weighed at random) and of the order.
    """
    parts, codes, products = np.zeros(0), np.zeros((n_parts, n_parts)), np.zeros((n_parts, len(origin)))
    for number, batch in enumerate(islice(epochs(frames, n_batch=n_batch, rng=rng), n_steps)):
        x = batch - origin if signed else np.maximum(batch - origin, 0)
        if number == 0:
            parts = _first(x, n_parts, rng=rng)
        weights = fit_non_negative(parts @ x.T, parts @ parts.T, n_sweeps=N_SWEEPS).T
        # the past fades such that what is remembered is a fixed share of the run: early codes were of other parts
        keep = max(0.0, 1 - 4 / (number + 4))
        codes = keep * codes + (1 - keep) * (weights.T @ weights) / len(x)
        products = keep * products + (1 - keep) * (weights.T @ x) / len(x)
        parts = _improved(parts, (codes, products), (x, signed), rng=rng)
    order = np.argsort(-np.diag(codes), kind="stable")
    return parts[order]


def _first(x: np.ndarray, n: int, *, rng: np.random.Generator) -> np.ndarray:
    return _unit(x[rng.integers(len(x), size=n)] * rng.random((n, x.shape[1])) + _TINY)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _improved(
    parts: np.ndarray,
    sums: tuple[np.ndarray, np.ndarray],
    batch: tuple[np.ndarray, bool],
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Minimise the summed error over one part after the other; a part without weight starts again from a frame."""
    (codes, products), (x, signed), parts = sums, batch, parts.copy()
    used = np.diag(codes) > _TINY * max(float(np.diag(codes).max()), _TINY)
    for _ in range(N_ROUNDS):
        for i in np.flatnonzero(used):
            best = parts[i] + (products[i] - codes[i] @ parts) / codes[i, i]
            parts[i] = best if signed else np.maximum(best, 0)
            used[i] = bool(parts[i].any())
    for i in np.flatnonzero(~used):
        parts[i] = x[rng.integers(len(x))] + _TINY
    return _unit(parts)
