"""What a model made of the sound: features over time, dense or sparse, on an exact clock.

An SAE's features are almost all zero (about 50 of 6,144 per frame), so they travel as
CSR: an hour of twelve layers is under 1 GB sparse and 53 GB dense. Nothing on the main
path makes a whole sparse trajectory dense; `Trajectory.block` gives one block of features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from brainalign.core.arrays import read_only, read_only_csr, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis, require_same_axis

Values = np.ndarray | sparse.csr_array


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
    """

    values: Values
    axis: TimeAxis
    features: tuple[str, ...]
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        require_shape(
            self.values.shape, (self.axis.n, len(self.features)), name="values", axes="frames of the axis, features"
        )
        object.__setattr__(self, "values", _frozen(self.values))

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
        stored = self.values.nnz if sparse.issparse(self.values) else int(np.count_nonzero(self.values))
        return stored / max(1, self.axis.n * self.n_features)

    @cached_property
    def _columns(self) -> sparse.csc_array:
        return self.values.tocsc()

    def block(self, start: int, stop: int) -> np.ndarray:
        """Return features ``start`` to ``stop - 1`` as a dense float32 array, shape ``(n_frames, n)``."""
        if self.is_sparse:
            return self._columns[:, start:stop].toarray()
        return np.ascontiguousarray(self.values[:, start:stop])

    def select(self, columns: Sequence[int] | np.ndarray) -> Trajectory:
        """Return the features at these column numbers, in this order (sparse stays sparse)."""
        index = np.asarray(columns, dtype=np.intp)
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
        if sparse.issparse(self.values):
            parts = {"data": self.values.data, "indices": self.values.indices, "indptr": self.values.indptr}
            return Artefact("trajectory", meta, parts)
        return Artefact("trajectory", meta, {"values": self.values})

    @classmethod
    def unpack(cls, artefact: Artefact) -> Trajectory:
        """Read back what `pack` wrote."""
        meta, arrays = artefact.meta, artefact.arrays
        axis, features = TimeAxis.from_json(meta["axis"]), tuple(meta["features"])
        values: Values
        if meta["sparse"]:
            values = sparse.csr_array((axis.n, len(features)), dtype=np.float32)
            values.data, values.indices, values.indptr = arrays["data"], arrays["indices"], arrays["indptr"]
        else:
            values = arrays["values"]
        return cls(values, axis, features, Provenance.from_json(meta["provenance"]))


def _frozen(values: Values) -> Values:
    if sparse.issparse(values):
        matrix = sparse.csr_array(values) if not isinstance(values, sparse.csr_array) else values
        return read_only_csr(matrix.astype(np.float32, copy=False))
    if np.ndim(values) != 2:
        raise ShapeMismatch("values must be frames by features", got=np.shape(values), fix="add a feature axis")
    return read_only(np.asarray(values, dtype=np.float32))


def beside(*trajectories: Trajectory) -> Trajectory:
    """Put the features of several trajectories side by side (sparse if all of them are)."""
    first = trajectories[0]
    for other in trajectories[1:]:
        require_same_axis(first.axis, other.axis, names=("the first trajectory", "another"))
    names = tuple(name for item in trajectories for name in item.features)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueProblem("feature names must differ", got=f"{twice!r} twice", fix="rename with Trajectory.renamed")
    if all(item.is_sparse for item in trajectories):
        values: Values = sparse.csr_array(sparse.hstack([item.values for item in trajectories], format="csr"))
    else:
        values = np.hstack([item.block(0, item.n_features) for item in trajectories])
    return Trajectory(values, first.axis, names, first.provenance.then("beside", n=len(trajectories)))
