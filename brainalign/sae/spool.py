"""Where do the frames of many layers wait for training? Written once, mapped from the disk.

Encoding a frame costs 27 to 40 times what training on it does, so one pass over the audio
serves all layers, seeds and recipes. A folder holds one plain file of numbers per layer and a
journal with one line per sound, written after the sound's numbers: what was cut off by a
kill is dropped, and the pass goes on at the next sound.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import DamagedArtefact, ShapeMismatch, StoreProblem, ValueProblem
from brainalign.core.hashing import array_digest
from brainalign.core.trajectory import Trajectory
from brainalign.sae.stretches import kept_rows

FORMAT = "brainalign-spool/1"
JOURNAL = "sounds.jsonl"
FREE_BYTES = 1 << 28
"""What is left free on the disk in any case."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One sound's frames of several layers, and what they are for.

    Parameters
    ----------
    frames
        A dense trajectory per layer, all of one clock.
    keep
        Which frames count, bool, shape ``(n_frames,)``: silence and padding are left out.
        None means all.
    dataset
        The dataset it belongs to, for weights.
    held_out
        Whether it is kept from training.
    """

    frames: Mapping[int, Trajectory]
    keep: np.ndarray | None = None
    dataset: str = ""
    held_out: bool = False


Sound: TypeAlias = Encoded | Mapping[int, Trajectory]
Source: TypeAlias = Iterable[Sound] | Callable[[int], Iterable[Sound]]
"""Sounds one after another; or a function that returns them from the given number (from 0) on."""


@dataclass(frozen=True)
class SpoolPlan:
    """Where frames are spooled, and how much room they may take.

    Parameters
    ----------
    folder
        A folder of its own; one that a killed pass left behind is gone on with.
    dtype
        ``"float16"`` halves the room and rounds values to 11 bits.
    max_bytes
        The most that all layers together may take.
    n_frames
        Frames to come per layer, where that is known: then room is checked at the first sound.
    """

    folder: str | Path
    dtype: Literal["float32", "float16"] = "float32"
    max_bytes: int | None = None
    n_frames: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        if self.dtype not in ("float32", "float16"):
            raise ValueProblem("frames are spooled as float32 or float16", got=repr(self.dtype), fix="give one of them")

    @property
    def path(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)


def spool_frames(source: Source, layers: Sequence[int], *, plan: SpoolPlan) -> list[dict[str, Any]]:
    """Write the frames of some layers of every sound to the plan's folder, and return its journal.

    A finished folder is left alone and the source is not touched; an unfinished one is gone
    on with after its last whole sound (an iterable is moved on over those, a function is
    asked to begin there).

    Parameters
    ----------
    source
        The sounds.
    layers
        Which of each sound's layers to keep.
    plan
        Where to, and how much.
    """
    plan.path.mkdir(parents=True, exist_ok=True)
    header = {"format": FORMAT, "dtype": plan.dtype, "layers": sorted(layers)}
    lines = read_journal(plan.path)
    if not lines:
        _append(plan.path / JOURNAL, header)
        lines = [header]
    if lines[0] != header:
        fix = "give the same layers and dtype, or another folder"
        raise ValueProblem("the folder holds another spool", got=f"{lines[0]} there, {header} here", fix=fix)
    if "end" in lines[-1]:
        return lines
    _cut_back(plan.path, lines)
    done = len(lines) - 1
    for sound in source(done) if callable(source) else islice(iter(source), done, None):
        encoded = sound if isinstance(sound, Encoded) else Encoded(sound)
        lines.append(_write(encoded, plan, lines))
    if len(lines) == 1:
        raise ValueProblem("there are no sounds to spool", got="none", fix="check what the source yields")
    lines.append({"end": len(lines) - 1})
    _append(plan.path / JOURNAL, lines[-1])
    return lines


def layer_file(folder: Path, layer: int) -> Path:
    """Return the file of one layer's numbers: rows one after another, little-endian, no header."""
    return folder / f"layer-{layer:03d}.bin"


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a spool's journal; a last line that was cut off is dropped."""
    path = folder / JOURNAL
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        fix = "delete the folder and spool again"
        raise DamagedArtefact("a spool's journal is damaged", got=f"{path}: {error}", fix=fix) from error


def n_rows(lines: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of rows that the journal's sounds take in each layer's file."""
    return max((line["stretches"][-1][1] for line in lines if line.get("stretches")), default=0)


def _write(sound: Encoded, plan: SpoolPlan, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Append one sound's rows to every layer's file, then its line to the journal."""
    layers = lines[0]["layers"]
    rows, stretches = kept_rows(_first(sound, layers), sound.keep, start=n_rows(lines))
    widths = {str(layer): sound.frames[layer].n_features for layer in layers}
    if len(lines) > 1 and widths != lines[1]["widths"]:
        raise ShapeMismatch("all sounds must have the same layers", got=widths, fix="use one encoder for all")
    itemsize = np.dtype(plan.dtype).itemsize
    _require_room(plan, written=n_rows(lines), coming=len(rows), bytes_per_row=sum(widths.values()) * itemsize)
    digests = {}
    for layer in layers:
        values = _narrowed(sound.frames[layer].values[rows], plan.dtype, layer=layer)
        digests[str(layer)] = array_digest(values)
        with layer_file(plan.path, layer).open("ab") as stream:
            stream.write(values.tobytes())
            stream.flush()
            os.fsync(stream.fileno())
    line = {
        "dataset": sound.dataset,
        "held_out": sound.held_out,
        "widths": widths,
        "stretches": stretches,
        "provenance": {str(layer): sound.frames[layer].provenance.to_json() for layer in layers},
        "sha256": digests,
    }
    _append(plan.path / JOURNAL, line)
    return line


def _first(sound: Encoded, layers: Sequence[int]) -> Trajectory:
    missing = [layer for layer in layers if layer not in sound.frames]
    if missing:
        raise ValueProblem("a sound lacks layers", got=f"no {missing} among {sorted(sound.frames)}", fix="encode them")
    first = sound.frames[layers[0]]
    clocks = {sound.frames[layer].axis for layer in layers}
    if len(clocks) > 1:
        raise ShapeMismatch("a sound's layers must share one clock", got=sorted(map(str, clocks)), fix="encode at once")
    if any(sound.frames[layer].is_sparse for layer in layers):
        raise ValueProblem("an SAE reads dense frames", got="a sparse trajectory", fix="give the encoder's own output")
    return first


def _narrowed(values: np.ndarray, dtype: str, *, layer: int) -> np.ndarray:
    require_finite(values, name=f"layer {layer}", fix="check the encoder's output")
    with np.errstate(over="ignore"):  # told below, with what to do about it
        narrow = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    require_finite(narrow, name=f"layer {layer} as {dtype}", fix='spool as "float32": a value is beyond 65,504')
    return narrow


def _require_room(plan: SpoolPlan, *, written: int, coming: int, bytes_per_row: int) -> None:
    ahead = max(coming, (plan.n_frames or 0) - written) * bytes_per_row
    free = shutil.disk_usage(plan.path).free - FREE_BYTES
    left = free if plan.max_bytes is None else min(free, plan.max_bytes - written * bytes_per_row)
    if ahead > left:
        raise StoreProblem(
            "the spool has not enough room",
            got=f"{ahead / 1e9:.3g} GB to come, {max(left, 0) / 1e9:.3g} GB left for {plan.path}",
            fix='raise max_bytes, spool as "float16", keep fewer layers, or use another disk',
        )


def _cut_back(folder: Path, lines: list[dict[str, Any]]) -> None:
    """Take back numbers and journal text that were written after the last whole sound."""
    journal = folder / JOURNAL
    os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
    for layer in lines[0]["layers"]:
        path = layer_file(folder, layer)
        size = n_rows(lines) * (lines[1]["widths"][str(layer)] if len(lines) > 1 else 0)
        size *= np.dtype(lines[0]["dtype"]).itemsize
        if (path.stat().st_size if path.exists() else 0) < size:
            got = f"{path}: {size} bytes are in the journal"
            raise DamagedArtefact("a spool lacks numbers", got=got, fix="delete the folder and spool again")
        with path.open("ab") as stream:
            stream.truncate(size)


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def spooled_sounds(lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the journal's lines that are sounds with any frames kept."""
    return (line for line in lines if line.get("stretches"))
