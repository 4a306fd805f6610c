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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from scipy import sparse

from brainalign.core.arrays import read_only, read_only_csr, require_shape
from brainalign.core.artefact import Artefact, read_artefact, unpacking, write_artefact
from brainalign.core.errors import DamagedArtefact, ShapeMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.slices import CSR_PARTS, chosen_rows, column_numbers, halved, read_part
from brainalign.core.time import Number, TimeAxis, require_same_axis

if TYPE_CHECKING:
    import mne
    import xarray

Values: TypeAlias = np.ndarray | sparse.csr_array


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

    def select(self, columns: Sequence[int] | Sequence[str] | np.ndarray) -> Trajectory:
        """Return the features of these column numbers or names, or where a mask is true, in this order.

        Sparse stays sparse.
        """
        index = column_numbers(columns, features=self.features)
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
        return Artefact("trajectory", meta, {part: getattr(self.values, part) for part in CSR_PARTS})

    @classmethod
    def unpack(cls, artefact: Artefact) -> Trajectory:
        """Read back what `pack` wrote."""
        meta, arrays = artefact.meta, artefact.arrays
        axis, features = TimeAxis.from_json(meta["axis"]), tuple(meta["features"])
        values = _unpack_csr(arrays, shape=(axis.n, len(features))) if meta["sparse"] else arrays["values"]
        return cls(values, axis, features, Provenance.from_json(meta["provenance"]))

    def save(self, folder: str | Path, *, dtype: Literal["float32", "float16"] = "float32") -> Path:
        """Write the trajectory to a new folder, whole or not at all: the form that `brainalign.save` gives it.

        Parameters
        ----------
        folder
            Where to; a folder that holds anything else is refused.
        dtype
            ``"float16"`` halves the numbers' room on the disk (not that of a sparse one's column numbers).
            Values are rounded to 11 bits: by at most 2^-11 of themselves, those below 6.1e-5 by at most
            3e-8, and beyond 65,504 they are refused. Provenance says so.

        Returns
        -------
        Path
            The folder.
        """
        path = Path(folder)
        if dtype not in ("float32", "float16"):
            raise ValueProblem(
                "a trajectory is stored as float32 or float16", got=repr(dtype), fix="leave dtype out, or use 'float16'"
            )
        if dtype == "float16":
            write_artefact(halved(replace(self, provenance=self.provenance.then("save", dtype=dtype)).pack()), path)
        else:
            write_artefact(self.pack(), path)
        return path

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        features: Sequence[str] | Sequence[int] | np.ndarray | None = None,
        seconds: tuple[Number, Number] | None = None,
        frames: tuple[int, int] | None = None,
        verify: bool = False,
    ) -> Trajectory:
        """Open a saved trajectory, or a part of it without reading the rest.

        What is kept whole (all features, or neighbouring ones of a dense float32 trajectory) stays on the
        disk, memory-mapped; anything else is read in blocks into memory. float16 becomes float32 as it is read.

        Parameters
        ----------
        folder
            What `save` wrote.
        features
            Names, column numbers or a mask, in the wanted order. All by default.
        seconds
            Keep frames whose time is ``seconds[0]`` or later and before ``seconds[1]``.
        frames
            Keep frames ``frames[0]`` to ``frames[1] - 1``.
        verify
            Check the SHA-256 of every array first, which reads all of them (`brainalign.load` does so).
            Otherwise the header's own SHA-256 is checked, every file's type, shape and size, and of
            a sparse trajectory that rows and column numbers of the part lie where they must; a
            changed value is not noticed.
        """
        path = Path(folder)
        artefact = read_artefact(path, verify=verify)
        if artefact.kind != "trajectory":
            raise ValueProblem(
                "the folder does not hold a trajectory", got=f"{path}: {artefact.kind}", fix="open it with load"
            )
        with unpacking("trajectory", path):
            axis, names = TimeAxis.from_json(artefact.meta["axis"]), tuple(artefact.meta["features"])
            provenance = Provenance.from_json(artefact.meta["provenance"])
        rows = chosen_rows(axis, seconds=seconds, frames=frames)
        columns = None if features is None else column_numbers(features, features=names)
        with unpacking("trajectory", path):
            values = read_part(artefact.arrays, shape=(axis.n, len(names)), rows=rows, columns=columns)
        chosen = names if columns is None else tuple(names[i] for i in columns)
        return cls(values, axis.part(*rows), chosen, provenance)

    def to_xarray(self) -> xarray.DataArray:
        """Return a DataArray, ``time`` by ``feature``: see `brainalign.core.export.to_xarray`."""
        from brainalign.core.export import to_xarray

        return to_xarray(self)

    @classmethod
    def from_xarray(cls, array: xarray.DataArray) -> Trajectory:
        """Read back what `to_xarray` gave, or a stretch of time or a choice of features of it."""
        from brainalign.core.export import from_xarray

        return from_xarray(array)

    def to_zarr(self, path: str | Path) -> Path:
        """Write a Zarr group in chunks: see `brainalign.core.export.to_zarr`."""
        from brainalign.core.zarr import to_zarr

        return to_zarr(self, path)

    def to_mne(self) -> mne.io.RawArray:
        """Return an MNE Raw of misc channels: see `brainalign.core.export.to_mne`."""
        from brainalign.core.export import to_mne

        return to_mne(self)


def _frozen(values: Values) -> Values:
    if np.ndim(values) != 2:
        raise ShapeMismatch("values must be frames by features", got=np.shape(values), fix="add a feature axis")
    if sparse.issparse(values):
        matrix = values if isinstance(values, sparse.csr_array) else sparse.csr_array(values)
        return read_only_csr(matrix.astype(np.float32, copy=False))
    return read_only(np.asarray(values, dtype=np.float32))


def _unpack_csr(arrays: Mapping[str, np.ndarray], *, shape: tuple[int, int]) -> sparse.csr_array:
    """Put CSR back together, checked: SciPy's compiled code would read wild memory on a wrong column number."""
    data, indices, indptr = (arrays[part] for part in CSR_PARTS)
    try:
        # SciPy has no float16.
        matrix = sparse.csr_array((data.astype(np.float32, copy=False), indices, indptr), shape=shape)
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise DamagedArtefact(
            "a sparse trajectory's arrays do not fit together", got=error, fix="delete the folder and make it again"
        ) from error
    return matrix


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
