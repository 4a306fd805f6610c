"""What is in a spool? Each layer's stretches of frames, mapped from the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from brainalign.core.arrays import read_only
from brainalign.core.errors import DamagedArtefact, ShapeMismatch, ValueProblem
from brainalign.core.hashing import array_digest
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.sae.mixture import Mixture
from brainalign.sae.spool import layer_file, n_rows, read_journal, spooled_sounds


class StoredFrames(Trajectory):
    """A dense trajectory whose numbers stay as they lie on the disk (float16 is not widened as a whole)."""

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.shape != (self.axis.n, len(self.features)):
            raise ShapeMismatch("stored frames do not fit their clock", got=values.shape, fix="spool again")
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "values", read_only(values))


class Spool:
    """A finished spool, opened.

    Parameters
    ----------
    folder
        What `brainalign.sae.spool.spool_frames` filled.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lines = read_journal(self.folder)
        if not self._lines or "end" not in self._lines[-1]:
            raise DamagedArtefact("there is no finished spool here", got=self.folder, fix="call spool_frames again")
        self._n_rows = n_rows(self._lines)
        if not self._n_rows:
            raise ValueProblem("no frame was kept", got=f"{self.folder}: 0 frames", fix="check the masks")

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers whose frames it holds."""
        return tuple(self._lines[0]["layers"])

    @property
    def n_frames(self) -> int:
        """Frames of each layer, those held out included."""
        return self._n_rows

    def trajectories(self, layer: int, *, held_out: bool = False, dataset: str | None = None) -> tuple[Trajectory, ...]:
        """Return a layer's stretches for training, or those held out, memory-mapped."""
        values = self._mapped(layer)
        names = tuple(f"h{i}" for i in range(values.shape[1]))
        return tuple(
            StoredFrames(values[a:b], TimeAxis.from_json(axis), names, made)
            for line in spooled_sounds(self._lines)
            if line["held_out"] == held_out and dataset in (None, line["dataset"])
            for made in (Provenance.from_json(line["provenance"][str(layer)]),)
            for a, b, axis in line["stretches"]
        )

    def training_frames(
        self, layer: int, *, weights: Mapping[str, float] | None = None
    ) -> tuple[Trajectory, ...] | Mixture:
        """Return a layer's stretches for training, as a mixture where datasets are weighted."""
        if weights is None:
            return self.trajectories(layer)
        names = dict.fromkeys(line["dataset"] for line in spooled_sounds(self._lines) if not line["held_out"])
        return Mixture({name: self.trajectories(layer, dataset=name) for name in names}, weights)

    def verify(self) -> None:
        """Check every sound's numbers against their SHA-256, which reads all of them."""
        for layer in self.layers:
            values = self._mapped(layer)
            for number, line in enumerate(spooled_sounds(self._lines)):
                part = values[line["stretches"][0][0] : line["stretches"][-1][1]]
                if array_digest(part) != line["sha256"][str(layer)]:
                    got = f"{layer_file(self.folder, layer)}: sound {number}"
                    raise DamagedArtefact("spooled frames are damaged", got=got, fix="delete the folder, spool again")

    def _mapped(self, layer: int) -> np.ndarray:
        if layer not in self.layers:
            got = f"layer {layer}, it has {list(self.layers)}"
            raise ValueProblem("the spool lacks a layer", got=got, fix="spool it")
        width = next(iter(spooled_sounds(self._lines)))["widths"][str(layer)]
        path, dtype = layer_file(self.folder, layer), np.dtype(self._lines[0]["dtype"]).newbyteorder("<")
        size = self._n_rows * width * dtype.itemsize
        found = path.stat().st_size if path.exists() else 0
        if found != size:
            got = f"{path}: {found} bytes, {size} in the journal"
            raise DamagedArtefact("a spool's file has another length", got=got, fix="delete the folder and spool again")
        return np.asarray(np.memmap(path, dtype=dtype, mode="r", shape=(self._n_rows, width)))
