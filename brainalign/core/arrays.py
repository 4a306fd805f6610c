"""Small guards on arrays that every type uses: read-only views, finite values, equal lengths."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from brainalign.core.errors import NotFinite, ShapeMismatch

FINITE_CHUNK = 1 << 22


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written through (the caller's array is left as it was)."""
    view = array.view()
    view.flags.writeable = False
    return view


def read_only_csr(matrix: sparse.csr_array) -> sparse.csr_array:
    """Return a CSR array over read-only views of the same buffers."""
    frozen = sparse.csr_array(matrix.shape, dtype=matrix.dtype)
    frozen.data, frozen.indices, frozen.indptr = map(read_only, (matrix.data, matrix.indices, matrix.indptr))
    return frozen


def require_finite(array: np.ndarray, *, name: str, fix: str) -> None:
    """Refuse NaN and infinity, saying how many there are and where the first one is."""
    flat = array.reshape(-1)
    bad, first = 0, -1
    for start in range(0, flat.size, FINITE_CHUNK):
        finite = np.isfinite(flat[start : start + FINITE_CHUNK])
        missing = finite.size - np.count_nonzero(finite)
        if missing and not bad:
            first = start + int(np.argmin(finite))
        bad += missing
    if bad:
        where = tuple(int(i) for i in np.unravel_index(first, array.shape))
        raise NotFinite(
            f"{name} holds values that are not finite", got=f"{bad} of {flat.size}, the first at {where}", fix=fix
        )


def require_shape(array_shape: tuple[int, ...], expected: tuple[int, ...], *, name: str, axes: str) -> None:
    """Refuse an array whose shape is not the one its axes call for."""
    if tuple(array_shape) != tuple(expected):
        raise ShapeMismatch(
            f"{name} must have shape {expected} ({axes})",
            got=tuple(array_shape),
            fix="check the order of the axes, or transpose the array",
        )
