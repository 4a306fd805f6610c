"""Which features of a frame are active, when not by a threshold? The farthest from zero, or a fit without minus.

A rule sees a block of pre-activations (and may overwrite it with the values that it finds) and returns the sorted flat
indices of the active entries. What it does to a row depends on that row alone, to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from brainalign.sae.coder import SparseCoder

N_SWEEPS, N_SWEEPS_AGAIN = 100, 50
ROWS = 512


def signed_top_k(pre: np.ndarray, coder: SparseCoder) -> np.ndarray:
    """Keep the k entries of each row that are farthest from zero, the lower number first among equals.

    For bases whose coordinates have a sign (PCA, ICA). With decoder rows of norm 1 an entry's size is what it
    contributes; for an orthonormal basis these k are the k that explain most.
    """
    return _flat(_farthest(np.abs(pre), coder.k), pre)


def non_negative(pre: np.ndarray, coder: SparseCoder) -> np.ndarray:
    """Fit each frame by non-negative weights of the decoder's rows, keep the k largest, and fit these again.

    ``pre`` must be the frame's products with the rows (``W_enc = W_dec.T``, no bias).
    """
    gram, (n, k) = coder.W_dec @ coder.W_dec.T, (pre.shape[1], coder.k)
    # one shape for every product, so that a row's rounding does not change with the rows beside it
    products = np.zeros((n, ROWS), dtype=np.float32)
    for start in range(0, len(pre), ROWS):
        rows = pre[start : start + ROWS]
        products[:, : len(rows)] = rows.T
        products[:, len(rows) :] = 0
        weights = fit_non_negative(products, gram, n_sweeps=N_SWEEPS)
        if k < n:
            kept = np.zeros((ROWS, n), dtype=bool)
            np.put_along_axis(kept, _farthest(weights.T, k), True, axis=1)
            weights = fit_non_negative(products, gram, n_sweeps=N_SWEEPS_AGAIN, among=kept.T)
        rows[:] = weights[:, : len(rows)].T
    return np.flatnonzero(pre)


def fit_non_negative(
    products: np.ndarray, gram: np.ndarray, *, n_sweeps: int, among: np.ndarray | None = None
) -> np.ndarray:
    """Minimise ``|x - w @ rows|^2`` over ``w >= 0`` by coordinate descent.

    Parameters
    ----------
    products
        ``rows @ x.T``, shape ``(n_rows, n_frames)``.
    gram
        ``rows @ rows.T``.
    n_sweeps
        How often each weight is set to its best value given the others.
    among
        Which weights of which frames may differ from 0, shape ``(n_rows, n_frames)``; all by default.

    Returns
    -------
    numpy.ndarray
        Weights, shape ``(n_rows, n_frames)``; a row of the decoder that is zero gets weight 0.
    """
    weights, sizes = np.zeros_like(products), np.diag(gram)
    for _ in range(n_sweeps):
        for i in np.flatnonzero(sizes > 0):
            best = weights[i] + (products[i] - gram[i] @ weights) / sizes[i]
            np.maximum(best, 0, out=weights[i])
            if among is not None:
                weights[i] *= among[i]
    return weights


def _farthest(sizes: np.ndarray, k: int) -> np.ndarray:
    return np.sort(np.argsort(-sizes, axis=1, kind="stable")[:, :k], axis=1)


def _flat(columns: np.ndarray, pre: np.ndarray) -> np.ndarray:
    """Return flat indices of the chosen columns of each row that are not zero."""
    chosen = (columns + np.arange(len(pre))[:, None] * pre.shape[1]).reshape(-1)
    return chosen[pre.reshape(-1)[chosen] != 0]
