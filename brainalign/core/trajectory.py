"""What a model made of the sound: features over time, dense or sparse, on an exact clock.

An SAE's features are almost all zero (about 50 of 6,144 per frame), so they travel as
CSR: an hour of twelve layers is under 1 GB sparse and 53 GB dense. Nothing on the main
path makes a whole sparse trajectory dense; `Trajectory.block` gives one block of features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from brainalign.core.arrays import read_only, read_only_csr, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import DamagedArtefact, ShapeMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis, require_same_axis

Values: TypeAlias = np.ndarray | sparse.csr_array

_CSR_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Features over time.

    Parameters
    ----------
    values
        Shape ``(n_frames, n_features)``: a float32 array (memory-mapped or not) or a
        float32 `scipy.sparse.csr_array`.
    axis
        The clock; frame times are frame *centres*, in seconds from the sound's start.
    features
        One name per column.
    provenance
        The steps that made it.
    """

    values: Values
    axis: TimeAxis
    features: tuple[str, ...]
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "values", _frozen(self.values))
        require_shape(
            self.values.shape, (self.axis.n, len(self.features)), name="values", axes="frames of the axis, features"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the column index behind on the way to a worker: it is as large as the values and cheap to make."""
        return {name: value for name, value in self.__dict__.items() if name != "_columns"}

    @property
    def is_sparse(self) -> bool:
        """Whether the values are CSR."""
        return sparse.issparse(self.values)

    @property
    def n_features(self) -> int:
        """Number of features (columns)."""
        return len(self.features)

    @property
    def density(self) -> float:
        """Share of values that are not zero, between 0 and 1."""
        return int(np.count_nonzero(self.stored)) / max(1, self.axis.n * self.n_features)

    @property
    def stored(self) -> np.ndarray:
        """The numbers that are kept: all of a dense trajectory, the non-zeros of a sparse one."""
        return self.values if isinstance(self.values, np.ndarray) else self.values.data

    @cached_property
    def _columns(self) -> sparse.csc_array:
        return sparse.csc_array(self.values)

    def block(self, start: int, stop: int) -> np.ndarray:
        """Return features ``start`` to ``stop - 1`` as a dense float32 array, shape ``(n_frames, stop - start)``."""
        if self.is_sparse:
            return self._columns[:, start:stop].toarray()
        return np.ascontiguousarray(self.values[:, start:stop])

    def select(self, columns: Sequence[int] | np.ndarray) -> Trajectory:
        """Return the features at these column numbers (or where a mask is true), in this order; sparse stays sparse."""
        index = _column_numbers(np.asarray(columns), n_features=self.n_features)
        values = sparse.csr_array(self._columns[:, index]) if self.is_sparse else self.values[:, index]
        return replace(self, values=values, features=tuple(self.features[i] for i in index))

    def frames(self, start: int, stop: int) -> Trajectory:
        """Return frames ``start`` to ``stop - 1`` with their clock."""
        return replace(self, values=self.values[start:stop], axis=self.axis.part(start, stop))

    def renamed(self, features: Sequence[str]) -> Trajectory:
        """Return the same values under other feature names."""
        return replace(self, features=tuple(features))

    def pack(self) -> Artefact:
        """Return the trajectory as an artefact (CSR as its three arrays)."""
        meta = {
            "axis": self.axis.to_json(),
            "features": list(self.features),
            "sparse": self.is_sparse,
            "provenance": self.provenance.to_json(),
        }
        if isinstance(self.values, np.ndarray):
            return Artefact("trajectory", meta, {"values": self.values})
        return Artefact("trajectory", meta, {part: getattr(self.values, part) for part in _CSR_PARTS})

    @classmethod
    def unpack(cls, artefact: Artefact) -> Trajectory:
        """Read back what `pack` wrote."""
        meta, arrays = artefact.meta, artefact.arrays
        axis, features = TimeAxis.from_json(meta["axis"]), tuple(meta["features"])
        values = _unpack_csr(arrays, shape=(axis.n, len(features))) if meta["sparse"] else arrays["values"]
        return cls(values, axis, features, Provenance.from_json(meta["provenance"]))


def _frozen(values: Values) -> Values:
    if np.ndim(values) != 2:
        raise ShapeMismatch("values must be frames by features", got=np.shape(values), fix="add a feature axis")
    if sparse.issparse(values):
        matrix = values if isinstance(values, sparse.csr_array) else sparse.csr_array(values)
        return read_only_csr(matrix.astype(np.float32, copy=False))
    return read_only(np.asarray(values, dtype=np.float32))


def _unpack_csr(arrays: Mapping[str, np.ndarray], *, shape: tuple[int, int]) -> sparse.csr_array:
    """Put CSR back together, checked: SciPy's compiled code would read wild memory on a wrong column number."""
    try:
        matrix = sparse.csr_array(tuple(arrays[part] for part in _CSR_PARTS), shape=shape)
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise DamagedArtefact(
            "a sparse trajectory's arrays do not fit together", got=error, fix="delete the folder and make it again"
        ) from error
    return matrix


def _column_numbers(columns: np.ndarray, *, n_features: int) -> np.ndarray:
    if columns.dtype == bool:
        require_shape(columns.shape, (n_features,), name="a mask of features", axes="features")
        return np.flatnonzero(columns)
    outside = columns[(columns < -n_features) | (columns >= n_features)]
    if outside.size:
        raise ValueProblem(
            "a column is not in the trajectory",
            got=f"column {outside[0]} of {n_features} features",
            fix=f"use 0 to {n_features - 1}",
        )
    return columns.astype(np.intp)


def beside(*trajectories: Trajectory) -> Trajectory:
    """Put the features of several trajectories side by side (sparse if all of them are)."""
    if not trajectories:
        raise ValueProblem("there is nothing to put side by side", got="no trajectories", fix="give at least one")
    first = trajectories[0]
    for other in trajectories[1:]:
        require_same_axis(first.axis, other.axis, names=("the first trajectory", "another"))
    names = tuple(name for item in trajectories for name in item.features)
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValueProblem("feature names must differ", got=f"{twice!r} twice", fix="rename with Trajectory.renamed")
    if all(item.is_sparse for item in trajectories):
        values: Values = sparse.csr_array(sparse.hstack([item.values for item in trajectories], format="csr"))
    else:
        values = np.hstack([item.block(0, item.n_features) for item in trajectories])
    return Trajectory(values, first.axis, names, first.provenance.then("beside", n=len(trajectories)))
