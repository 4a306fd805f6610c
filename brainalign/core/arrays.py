"""Small guards on arrays that every type uses: read-only views, finite values, equal lengths."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from brainalign.core.errors import NotFinite, ShapeMismatch

_FINITE_CHUNK = 1 << 22


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written through (the caller's array is left as it was)."""
    view = array.view()
    view.flags.writeable = False
    return view


def read_only_csr(matrix: sparse.csr_array) -> sparse.csr_array:
    """Return a CSR array over read-only views of the same buffers (memory-mapped ones stay so).

    Column numbers come out sorted and unique in every row, so that equal content has equal
    bytes; a matrix that is not so already is copied first.
    """
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    frozen = sparse.csr_array(matrix.shape, dtype=matrix.dtype)
    frozen.data, frozen.indices, frozen.indptr = map(read_only, (matrix.data, matrix.indices, matrix.indptr))
    return frozen


def require_finite(array: np.ndarray, *, name: str, fix: str) -> None:
    """Refuse NaN and infinity, saying how many there are and where the first one is.

    Read in blocks of rows, whatever the memory layout: a transposed or memory-mapped array is never copied whole.
    """
    rows = max(1, _FINITE_CHUNK * max(1, len(array)) // max(1, array.size))
    bad, first = 0, (0,) * array.ndim
    for start in range(0, len(array), rows):
        finite = np.isfinite(array[start : start + rows])
        missing = finite.size - int(np.count_nonzero(finite))
        if missing and not bad:
            row, *rest = np.unravel_index(int(np.argmin(finite)), finite.shape)
            first = (start + int(row), *map(int, rest))
        bad += missing
    if bad:
        raise NotFinite(
            f"{name} holds values that are not finite", got=f"{bad} of {array.size}, the first at {first}", fix=fix
        )


def require_shape(array_shape: tuple[int, ...], expected: tuple[int, ...], *, name: str, axes: str) -> None:
    """Refuse an array whose shape is not the one its axes call for."""
    if tuple(array_shape) != tuple(expected):
        raise ShapeMismatch(
            f"{name} must have shape {expected} ({axes})",
            got=tuple(array_shape),
            fix="check the order of the axes, or transpose the array",
        )
