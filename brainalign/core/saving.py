"""Save and load any type of the core by its own name."""

from __future__ import annotations

from pathlib import Path

from brainalign.core.artefact import Packable, read_artefact, unpacking, write_artefact
from brainalign.core.design import Design
from brainalign.core.errors import unknown_name
from brainalign.core.joint import JointResult
from brainalign.core.recording import Recording
from brainalign.core.result import EncodingResult, NullTest
from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory

KINDS: dict[str, type[Packable]] = {
    "stimulus": Stimulus,
    "trajectory": Trajectory,
    "recording": Recording,
    "design": Design,
    "encoding-result": EncodingResult,
    "joint-result": JointResult,
    "null-test": NullTest,
}


def save(item: Packable, folder: str | Path) -> Path:
    """Write an object to a new folder of plain arrays and JSON, whole or not at all."""
    path = Path(folder)
    write_artefact(item.pack(), path)
    return path


def load(folder: str | Path, *, mmap: bool = True) -> Packable:
    """Read an object back, its arrays checked against their hashes and, unless told otherwise, memory-mapped."""
    artefact = read_artefact(Path(folder), mmap=mmap)
    if artefact.kind not in KINDS:
        raise unknown_name(artefact.kind, among=KINDS, kind="artefact")
    with unpacking(artefact.kind, Path(folder)):
        return KINDS[artefact.kind].unpack(artefact)
