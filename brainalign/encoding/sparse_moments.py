"""What do the non-zeros of a sparse feature say? Moments at a cost proportional to their number.

A feature that is active in 1 of 200 frames needs 1 of 200 of the multiplications: its
products with the response are sums of response windows, one per non-zero, and its Gram
matrix is made of pairs of non-zeros less than a lag window apart. The same moments as
from the dense feature, to rounding.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from brainalign.core.design import Design
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.moments import Edges
from brainalign.encoding.segments import lost_frames, toeplitz

# Measured with 64 channels: transforms cost as much as the non-zeros of a feature active this often per lag window.
_NONZEROS_PER_WINDOW = 0.55


def is_cheaper_sparse(design: Design, *, n_lags: int) -> bool:
    """Whether non-zeros cost less than segmented transforms.

    Per frame and channel the transforms cost the same whatever the lags (segments grow
    with the window, at about 7 flops); non-zeros cost ``2 * density * n_lags`` flops, at a
    lower rate. Measured, they break even at a density of ``0.55 / n_lags``: 1.4 % for 40 lags.
    """
    if not all(trial.x.is_sparse for trial in design.trials):
        return False
    stored = sum(len(trial.x.stored) for trial in design.trials)
    per_frame = stored / sum(trial.axis.n for trial in design.trials)
    return per_frame / max(1, design.n_features) * n_lags < _NONZEROS_PER_WINDOW


def sparse_block(x: Trajectory, start: int, stop: int) -> sparse.csc_array:
    """Return a block of features by columns, sorted, without explicit zeros."""
    block = sparse.csc_array(x.select(np.arange(start, stop)).values)
    block.sum_duplicates()
    block.eliminate_zeros()
    return block


def sparse_moments(
    x: sparse.csc_array, y: np.ndarray, *, mask: np.ndarray, lags: Lags, edges: Edges
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one trial's Gram matrices, sums and products with the response.

    Parameters
    ----------
    x
        ``(n_frames, n_features)``.
    y
        ``(n_frames, n_channels)``, 0 at unusable frames.
    mask
        Usable frames (looked at between silences only).
    lags, edges
        The lag window, and what lies beyond the trial's ends.

    Returns
    -------
    sxx, sx, sxy : numpy.ndarray
        ``(n_features, n_lags, n_lags)``, ``(n_features, n_lags)`` (float64) and
        ``(n_features, n_lags, n_channels)`` in the precision of ``y``.
    """
    sxy = sparse_products(x, y, lags, edges=edges)
    sxx = toeplitz(sparse_autocorrelations(x, lags.n, edges=edges))
    total = np.asarray(x.astype(np.float64).sum(axis=0)).reshape(-1, 1)
    if edges == "circular":
        return sxx, np.repeat(total, lags.n, axis=1), sxy
    lost = _rows(x, lost_frames(mask, lags), lags)
    return sxx - lost.swapaxes(1, 2) @ lost, total - lost.sum(axis=1), sxy


def _rows(x: sparse.csc_array, frames: np.ndarray, lags: Lags) -> np.ndarray:
    """Return rows of the lag matrices, ``(n_features, n_rows, n_lags)``: only the frames they touch become dense."""
    at = frames[:, None] - lags.samples[None, :]
    inside = (at >= 0) & (at < x.shape[0])
    touched, place = np.unique(np.where(inside, at, 0), return_inverse=True)
    dense = sparse.csr_array(x)[touched].toarray().astype(np.float64)
    rows = np.where(inside[..., None], dense[place.reshape(at.shape)], 0.0)
    return np.ascontiguousarray(np.moveaxis(rows, -1, 0))


def sparse_autocorrelations(x: sparse.csc_array, n_lags: int, *, edges: Edges) -> np.ndarray:
    """Return ``sum_t x(t) x(t - d)`` for d = 0 ... n_lags - 1 from pairs of non-zeros, ``(n_features, n_lags)``."""
    n, n_features = x.shape
    frames, values, column = (
        x.indices.astype(np.int64),
        x.data.astype(np.float64),
        np.repeat(np.arange(n_features), np.diff(x.indptr)),
    )
    out = np.zeros(n_features * n_lags)
    out[::n_lags] = np.bincount(column, weights=values**2, minlength=n_features)
    if edges == "circular":
        frames, values, column = _wrapped(frames, values, column, n=n, n_lags=n_lags)
    # Column after column on one line, further apart than the window: neighbours in the list are neighbours in time.
    line = column * (n + 2 * n_lags) + frames
    n_own = len(line)
    for ahead in range(1, n_own):
        distance = line[ahead:] - line[:-ahead]
        near = distance < n_lags
        if edges == "circular":
            near &= frames[:-ahead] < n
        if not (distance < n_lags).any():
            break
        where = column[:-ahead][near] * n_lags + distance[near]
        out += np.bincount(where, weights=(values[ahead:] * values[:-ahead])[near], minlength=len(out))
    return out.reshape(n_features, n_lags)


def _wrapped(
    frames: np.ndarray, values: np.ndarray, column: np.ndarray, *, n: int, n_lags: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeat the first frames of each column after its last."""
    again = frames < n_lags - 1
    frames = np.concatenate([frames, frames[again] + n])
    values, column = np.concatenate([values, values[again]]), np.concatenate([column, column[again]])
    order = np.lexsort((frames, column))
    return frames[order], values[order], column[order]


def sparse_products(x: sparse.csc_array, y: np.ndarray, lags: Lags, *, edges: Edges) -> np.ndarray:
    """Return ``sum_t x(t - l) y(t)``, ``(n_features, n_lags, n_channels)``: a window of the response per non-zero."""
    n = len(y)
    at = np.arange(lags.first, n + lags.last)
    if edges == "circular":
        reach = y[at % n]
    else:
        reach = np.where(((at >= 0) & (at < n))[:, None], y[np.clip(at, 0, n - 1)], y.dtype.type(0))
    features = sparse.csr_array(x.T.astype(y.dtype))
    return np.stack([features @ reach[i : i + n] for i in range(lags.n)], axis=1)
