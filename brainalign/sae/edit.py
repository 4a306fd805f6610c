"""What happens to a frame when features are changed? Zero, scale, set or add, and write the change back.

For causal work a change must be the only change. With the coder's error kept, a frame becomes
``x + (edited - features) @ W_dec / scale``: what the coder never explained stays as it was, and the edit that
changes nothing returns the very same values. Without it the frame is the coder's own reconstruction of
the edited features. Everything is in the input's units; nothing given is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.sae.coder import SparseCoder

Change = Callable[[sparse.csr_array], sparse.csr_array]
"""Features of n frames in, features of the same n frames out."""

Columns = Sequence[int] | np.ndarray
_BLOCK = 4096


def edit(coder: SparseCoder, x: np.ndarray, change: Change, *, keep_error: bool = True) -> np.ndarray:
    """Return frames whose features were changed.

    Parameters
    ----------
    coder
        The coder.
    x
        Frames in the encoder's units, shape ``(n, d_in)``.
    change
        What to do to their features: `zeroed`, `scaled`, `fixed`, `added`, several of them by `in_turn`, or your own.
        It is given blocks of frames.
    keep_error
        Leave in the frame what the coder does not explain of it.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n, d_in)``.
    """
    frames = np.asarray(x, dtype=np.float32)
    parts = [_edited(coder, frames[i : i + _BLOCK], change, keep_error) for i in range(0, len(frames), _BLOCK)]
    return np.concatenate(parts) if parts else np.zeros((0, coder.d_in), dtype=np.float32)


def _edited(coder: SparseCoder, x: np.ndarray, change: Change, keep_error: bool) -> np.ndarray:
    features = coder.encode(x)
    wanted = sparse.csr_array(change(features))
    if wanted.shape != features.shape:
        raise ShapeMismatch(
            "an edit must return as many frames and features as it was given",
            got=f"{wanted.shape} for {features.shape}",
            fix="change values only",
        )
    if not keep_error:
        return coder.decode(wanted) * coder.lengths(x)
    difference = sparse.csr_array(wanted - features)
    difference.eliminate_zeros()
    return x + np.asarray(difference @ coder.W_dec, dtype=np.float32) / np.float32(coder.scale) * coder.lengths(x)


def ablate(coder: SparseCoder, x: np.ndarray, columns: Columns, *, keep_error: bool = True) -> np.ndarray:
    """Return frames without the given features.

    Parameters
    ----------
    coder, x, keep_error
        As for `edit`.
    columns
        Numbers of the features.
    """
    return edit(coder, x, zeroed(columns), keep_error=keep_error)


def steer(coder: SparseCoder, x: np.ndarray, amounts: Mapping[int, float], *, keep_error: bool = True) -> np.ndarray:
    """Return frames with a constant added to features, whether they are active or not.

    ``x_hat(f(x) + alpha * s)`` of AudioSAE is ``keep_error=False`` with ``{j: alpha * s_j}``; no feature is
    kept from falling below 0.

    Parameters
    ----------
    coder, x, keep_error
        As for `edit`.
    amounts
        What to add to which feature, in the features' units.
    """
    return edit(coder, x, added(amounts), keep_error=keep_error)


def reconstruct(coder: SparseCoder, x: np.ndarray, *, only: Columns | None = None) -> np.ndarray:
    """Return the reconstruction of frames, by all features or by some of them only.

    Parameters
    ----------
    coder, x
        As for `edit`.
    only
        Numbers of the features that are kept; all by default.
    """
    return edit(coder, x, unchanged if only is None else kept(only), keep_error=False)


def error_of(coder: SparseCoder, x: np.ndarray) -> np.ndarray:
    """Return what a coder does not explain, ``x - x_hat``, float32, in the input's units."""
    return np.asarray(x, dtype=np.float32) - reconstruct(coder, x)


def unchanged(features: sparse.csr_array) -> sparse.csr_array:
    """Return the features as they are: the edit that must change nothing."""
    return features


def zeroed(columns: Columns) -> Change:
    """Return the edit that silences features."""
    return scaled(columns, 0.0)


def kept(columns: Columns) -> Change:
    """Return the edit that silences all features but these."""

    def _change(features: sparse.csr_array) -> sparse.csr_array:
        factors = np.zeros(features.shape[1], dtype=np.float32)
        factors[_numbers(columns, features.shape[1])] = 1
        return _times(features, factors)

    return _change


def scaled(columns: Columns, factor: float) -> Change:
    """Return the edit that multiplies features where they are active."""
    _require_number(factor)

    def _change(features: sparse.csr_array) -> sparse.csr_array:
        factors = np.ones(features.shape[1], dtype=np.float32)
        factors[_numbers(columns, features.shape[1])] = factor
        return _times(features, factors)

    return _change


def fixed(values: Mapping[int, float], *, where_active: bool = False) -> Change:
    """Return the edit that gives features a value of our own.

    Parameters
    ----------
    values
        Feature number to value, in the features' units.
    where_active
        Only in frames in which the feature is active; in all of them by default.
    """
    for value in values.values():
        _require_number(value)

    def _change(features: sparse.csr_array) -> sparse.csr_array:
        columns = _numbers(list(values), features.shape[1])
        target = np.array(list(values.values()), dtype=np.float32)
        own = features[:, columns]
        rest = zeroed(columns)(features)
        rows = _where(own) if where_active else np.ones(own.shape, dtype=np.float32)
        return sparse.csr_array(rest + _placed(rows * target, columns, features.shape))

    return _change


def added(amounts: Mapping[int, float]) -> Change:
    """Return the edit that adds a constant to features in every frame."""
    for amount in amounts.values():
        _require_number(amount)

    def _change(features: sparse.csr_array) -> sparse.csr_array:
        columns = _numbers(list(amounts), features.shape[1])
        block = np.tile(np.array(list(amounts.values()), dtype=np.float32), (features.shape[0], 1))
        return sparse.csr_array(features + _placed(block, columns, features.shape))

    return _change


def in_turn(*changes: Change) -> Change:
    """Return the edit that makes several, one after another."""

    def _change(features: sparse.csr_array) -> sparse.csr_array:
        for one in changes:
            features = one(features)
        return features

    return _change


def _where(own: sparse.csr_array) -> np.ndarray:
    return (own.toarray() != 0).astype(np.float32)


def _placed(block: np.ndarray, columns: np.ndarray, shape: tuple[int, ...]) -> sparse.csr_array:
    """Return a few dense columns as columns of a sparse matrix of the whole width."""
    rows, numbers = np.nonzero(block)
    where = (rows.astype(np.int32), columns[numbers].astype(np.int32))
    return sparse.csr_array(sparse.coo_array((block[rows, numbers], where), shape=shape, dtype=np.float32))


def _times(features: sparse.csr_array, factors: np.ndarray) -> sparse.csr_array:
    """Return features times a factor each; what becomes 0 is no longer stored."""
    result = features.copy()
    result.data = result.data * factors[result.indices]
    result.eliminate_zeros()
    return result


def _numbers(columns: Columns, d_sae: int) -> np.ndarray:
    given = np.asarray(columns)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ValueProblem(
            "features are told by their numbers", got=f"{given.dtype} of shape {given.shape}", fix="give [3, 17]"
        )
    outside = given[(given < 0) | (given >= d_sae)]
    if outside.size or np.unique(given).size != given.size:
        got = f"feature {outside[0]} of {d_sae}" if outside.size else f"{given.size} numbers, some of them twice"
        raise ValueProblem("the coder does not have these features once each", got=got, fix=f"use 0 to {d_sae - 1}")
    return given.astype(np.intp)


def _require_number(value: float) -> None:
    if not np.isfinite(value):
        raise ValueProblem("a feature is set to a finite value", got=value, fix="give a number")
