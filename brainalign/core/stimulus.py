"""What was heard: one mono waveform on an exact clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from brainalign.core.arrays import read_only, require_finite, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import ValueProblem
from brainalign.core.hashing import array_digest, digest
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis


@dataclass(frozen=True, eq=False)
class Stimulus:
    """A mono sound.

    Parameters
    ----------
    name
        What the experiment calls it; annotations in the EEG refer to it by this name.
    waveform
        Samples as float32 between -1 and 1, shape ``(n_samples,)``.
    axis
        The clock; time 0 is the sound's first sample.
    provenance
        The steps that made it.
    """

    name: str
    waveform: np.ndarray
    axis: TimeAxis
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        waveform = np.asarray(self.waveform, dtype=np.float32)
        require_shape(waveform.shape, (self.axis.n,), name=f"waveform of {self.name!r}", axes="samples of the axis")
        if not self.axis.n:
            raise ValueProblem(f"stimulus {self.name!r} is empty", got="0 samples", fix="check the audio file")
        require_finite(waveform, name=f"waveform of {self.name!r}", fix="repair or re-export the audio")
        object.__setattr__(self, "waveform", read_only(waveform))

    @property
    def content(self) -> str:
        """SHA-256 (hexadecimal) of the samples and their clock: two names for one sound share it."""
        return digest([array_digest(self.waveform), self.axis.to_json()])

    def pack(self) -> Artefact:
        """Return the stimulus as an artefact."""
        meta = {"name": self.name, "axis": self.axis.to_json(), "provenance": self.provenance.to_json()}
        return Artefact("stimulus", meta, {"waveform": self.waveform})

    @classmethod
    def unpack(cls, artefact: Artefact) -> Stimulus:
        """Read back what `pack` wrote."""
        meta = artefact.meta
        return cls(
            meta["name"],
            artefact.arrays["waveform"],
            TimeAxis.from_json(meta["axis"]),
            Provenance.from_json(meta["provenance"]),
        )
