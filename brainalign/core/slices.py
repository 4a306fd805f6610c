"""How is part of a stored trajectory read without the rest? Rows by their place, columns by the way.

Frames lie one after another on the disk, so a stretch of time is one stretch of each file. A
feature is spread over the whole file: choosing some reads the chosen time in blocks and keeps
what is wanted, so that memory holds the result and one block, however long the sound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from brainalign.core.arrays import require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import DamagedArtefact, ValueProblem, unknown_name
from brainalign.core.time import Number, TimeAxis, exact

CSR_PARTS = ("data", "indices", "indptr")
_BLOCK_BYTES = 1 << 22
_FLOAT16_TOP = float(np.finfo(np.float16).max)


def frames_between(axis: TimeAxis, start: Number, stop: Number) -> tuple[int, int]:
    """Return the first frame at or after ``start`` and the first at or after ``stop``, in seconds, within the signal.

    >>> frames_between(TimeAxis(50, 100, t0="0.0125"), 0.5, 1)
    (25, 50)
    """
    first, last = (math.ceil((exact(time) - axis.t0) * axis.rate) for time in (start, stop))
    low, high = max(first, 0), min(last, axis.n)
    if low >= high:
        raise ValueProblem(
            "no frame lies in this stretch of time",
            got=f"{float(exact(start)):g} to {float(exact(stop)):g} s of {axis}",
            fix="give seconds=(start, stop) inside the trajectory, start before stop",
        )
    return low, high


def chosen_rows(
    axis: TimeAxis, *, seconds: tuple[Number, Number] | None, frames: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the first frame and the one after the last of a stretch of time, or of all of it."""
    if seconds is not None and frames is not None:
        raise ValueProblem(
            "a stretch of time is given in seconds or in frames", got=f"{seconds=}, {frames=}", fix="give one of them"
        )
    if seconds is not None:
        return frames_between(axis, *seconds)
    start, stop = (0, axis.n) if frames is None else frames
    axis.part(start, stop)
    return int(start), int(stop)


def column_numbers(wanted: Sequence[str] | Sequence[int] | np.ndarray, *, features: Sequence[str]) -> np.ndarray:
    """Turn names, column numbers or a mask into column numbers, in the order given."""
    chosen = np.asarray(wanted)
    if chosen.dtype == bool:
        require_shape(chosen.shape, (len(features),), name="a mask of features", axes="features")
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iuUO"):
        raise ValueProblem(
            "features are chosen by a list of names, of column numbers, or by a mask",
            got=f"{chosen.dtype} of shape {chosen.shape}",
            fix="give for example [0, 5] or ['layer9-0']",
        )
    if chosen.dtype.kind in "UO":
        return _named(chosen.tolist(), features)
    outside = chosen[(chosen < -len(features)) | (chosen >= len(features))]
    if outside.size:
        raise ValueProblem(
            "a column is not in the trajectory",
            got=f"column {outside[0]} of {len(features)} features",
            fix=f"use 0 to {len(features) - 1}",
        )
    return chosen.astype(np.intp) % max(1, len(features))


def _named(names: list[str], features: Sequence[str]) -> np.ndarray:
    place = {name: i for i, name in enumerate(features)}
    for name in names:
        if name not in place:
            raise unknown_name(str(name), among=features, kind="feature")
    return np.array([place[name] for name in names], dtype=np.intp)


def read_part(
    arrays: Mapping[str, np.ndarray], *, shape: tuple[int, int], rows: tuple[int, int], columns: np.ndarray | None
) -> np.ndarray | sparse.csr_array:
    """Read rows and columns of a trajectory's arrays, dense or CSR.

    Parameters
    ----------
    arrays
        ``values``, or ``data``, ``indices`` and ``indptr``, each the whole of a file.
    shape
        Frames and features that there are.
    rows
        First frame, and the one after the last.
    columns
        Column numbers in the wanted order; all of them if None.
    """
    if "values" in arrays:
        values = arrays["values"]
        if values.shape != shape:
            raise ValueError(f"values of shape {values.shape} for {shape[0]} frames of {shape[1]} features")
        return dense_part(values, rows=rows, columns=columns)
    data, indices, indptr = parts = tuple(arrays[part] for part in CSR_PARTS)
    if indptr.shape != (shape[0] + 1,) or indices.shape != data.shape or indices.ndim != 1:
        raise ValueError(f"{data.shape} values, {indices.shape} column numbers, {indptr.shape} rows for {shape}")
    if columns is None:
        return csr_rows(parts, n_features=shape[1], rows=rows)
    # Read once and in rising order; then in the order asked for, some perhaps more than once.
    rising, order = np.unique(columns, return_inverse=True)
    found = csr_part(parts, n_features=shape[1], rows=rows, columns=rising)
    return found if np.array_equal(rising, columns) else sparse.csr_array(found[:, order])


def dense_part(values: np.ndarray, *, rows: tuple[int, int], columns: np.ndarray | None) -> np.ndarray:
    """Return rows, and columns, of a memory-mapped array: mapped where they lie together as float32, else read.

    Parameters
    ----------
    values
        Shape ``(n_frames, n_features)``, the whole of a file.
    rows
        First row, and the one after the last.
    columns
        Column numbers; all of them if None.
    """
    start, stop = rows
    beside = _side_by_side(columns, values.shape[1])
    if beside is not None and values.dtype == np.float32:
        return values[start:stop, beside]
    width = values.shape[1] if columns is None else columns.size
    part = np.empty((stop - start, width), dtype=np.float32)
    step = max(1, _BLOCK_BYTES // max(1, values.shape[1] * values.itemsize))
    for low in range(start, stop, step):
        block = read_rows(values, low, min(low + step, stop))
        part[low - start : low - start + len(block)] = block if columns is None else block[:, columns]
    return part


def _side_by_side(columns: np.ndarray | None, width: int) -> slice | None:
    """Return columns that follow one another as a slice, which needs no copy."""
    if columns is None:
        return slice(0, width)
    if columns.size and np.all(np.diff(columns) == 1):
        return slice(int(columns[0]), int(columns[-1]) + 1)
    return None


def read_rows(array: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Read rows of a mapped file by themselves: what was mapped would stay in memory until the whole is let go."""
    mapped = _mapped_below(array)
    if mapped is None or mapped.filename is None or not array.flags.c_contiguous:
        return array[start:stop]
    row = math.prod(array.shape[1:])
    offset = mapped.offset + array.ctypes.data - mapped.ctypes.data + start * row * array.itemsize
    return np.fromfile(mapped.filename, array.dtype, (stop - start) * row, offset=offset).reshape(-1, *array.shape[1:])


def _mapped_below(array: np.ndarray) -> np.memmap | None:
    """Return the map of a file that an array is a view of: the outermost one, whose offset is its own."""
    found = None
    below: object = array
    while isinstance(below, np.ndarray):
        found = below if isinstance(below, np.memmap) else found
        below = below.base
    return found


def csr_rows(arrays: Sequence[np.ndarray], *, n_features: int, rows: tuple[int, int]) -> sparse.csr_array:
    """Return rows of CSR arrays, still mapped.

    Parameters
    ----------
    arrays
        ``data``, ``indices`` and ``indptr``, each the whole of a file.
    n_features
        Number of columns that there are.
    rows
        First row, and the one after the last.
    """
    data, indices, indptr = arrays
    pointers = checked_pointers(indptr, rows=rows, n_stored=len(indices))
    first, last = int(pointers[0]), int(pointers[-1])
    require_columns(indices[first:last], n_features=n_features)
    return sparse.csr_array(
        (data[first:last].astype(np.float32, copy=False), indices[first:last], pointers - first),
        shape=(rows[1] - rows[0], n_features),
    )


def csr_part(
    arrays: Sequence[np.ndarray], *, n_features: int, rows: tuple[int, int], columns: np.ndarray
) -> sparse.csr_array:
    """Return rows and columns of CSR arrays on the disk, reading the rows in blocks.

    Parameters
    ----------
    arrays
        ``data``, ``indices`` and ``indptr``, each the whole of a file.
    n_features
        Number of columns that there are.
    rows
        First row, and the one after the last.
    columns
        Column numbers, rising, each once.
    """
    data, indices, indptr = arrays
    pointers = checked_pointers(indptr, rows=rows, n_stored=len(indices))
    place = np.full(n_features, -1, dtype=np.int32)
    place[columns] = np.arange(columns.size, dtype=np.int32)
    kept_data, kept_columns, lengths = [], [], []
    for low, high in _row_blocks(pointers, indices.itemsize + data.itemsize):
        first, last = int(pointers[low]), int(pointers[high])
        numbers = read_rows(indices, first, last)
        require_columns(numbers, n_features=n_features)
        where = place[numbers]
        kept = where >= 0
        kept_columns.append(where[kept])
        kept_data.append(read_rows(data, first, last)[kept].astype(np.float32, copy=False))
        so_far = np.concatenate([[0], np.cumsum(kept)])
        lengths.append(np.diff(so_far[pointers[low : high + 1] - first]))
    ends = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))])
    parts = (np.concatenate([np.zeros(0, np.float32), *kept_data]), _joined(kept_columns), ends)
    return sparse.csr_array(parts, shape=(rows[1] - rows[0], columns.size))


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *pieces])


def _row_blocks(pointers: np.ndarray, bytes_each: int) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of about `_BLOCK_BYTES`, at least one row each."""
    n_rows, low = len(pointers) - 1, 0
    while low < n_rows:
        limit = pointers[low] + _BLOCK_BYTES // bytes_each
        high = max(low + 1, min(n_rows, int(np.searchsorted(pointers, limit, side="right")) - 1))
        yield low, high
        low = high


def checked_pointers(indptr: np.ndarray, *, rows: tuple[int, int], n_stored: int) -> np.ndarray:
    """Return where rows begin and end, read and looked at: they must rise and lie within what is stored."""
    pointers = read_rows(indptr, rows[0], rows[1] + 1).astype(np.int64)
    ends = (int(indptr[0]), int(indptr[-1])) if len(indptr) else (0, -1)
    if ends != (0, n_stored) or np.any(np.diff(pointers) < 0) or pointers[0] < 0 or pointers[-1] > n_stored:
        raise _unfit(f"rows from {ends[0]} to {ends[1]} of {n_stored} stored values, or not in order")
    return pointers


def require_columns(numbers: np.ndarray, *, n_features: int) -> None:
    """Refuse column numbers that are not there: compiled code would read wild memory on them."""
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < n_features:
        raise _unfit(f"column numbers {numbers.min()} to {numbers.max()} of {n_features} features")


def _unfit(got: str) -> DamagedArtefact:
    return DamagedArtefact(
        "a sparse trajectory's arrays do not fit together", got=got, fix="delete the folder and make it again"
    )


def halved(artefact: Artefact) -> Artefact:
    """Return a packed trajectory with its numbers as float16, refusing those too large for it."""
    name = "data" if artefact.meta["sparse"] else "values"
    numbers = artefact.arrays[name]
    small = np.empty(numbers.shape, dtype=np.float16)
    step = max(1, _BLOCK_BYTES // max(1, 4 * math.prod(numbers.shape[1:])))
    for low in range(0, len(numbers), step):
        block = numbers[low : low + step]
        if np.any(np.abs(block) > _FLOAT16_TOP):
            raise ValueProblem(
                "a value is too large for float16",
                got=f"up to {np.abs(block).max():g}, the largest float16 is {_FLOAT16_TOP:g}",
                fix="scale the features first (brainalign.features.scale), or save as float32",
            )
        small[low : low + step] = block
    return replace(artefact, arrays={**artefact.arrays, name: small})
