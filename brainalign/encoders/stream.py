"""How does an hour of sound go through an encoder in the memory of a minute, and go on after an interruption?

Frames are written to memory-mapped arrays as the windows that made them are done, and a note
says how many are. A run that was killed begins again after the last frame noted, and ends,
under the same memory budget, with the bytes of a run that was not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from brainalign.core.errors import UnreadableFile, ValueProblem
from brainalign.core.hashing import digest
from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory
from brainalign.encoders.pace import Progress
from brainalign.encoders.pieces import counted
from brainalign.encoders.running import HuggingEncoder
from brainalign.encoders.sites import SiteKey

NOTE = "progress.json"


def encode_to(
    folder: Path | str,
    encoder: HuggingEncoder,
    *,
    stimulus: Stimulus,
    wanted: Sequence[SiteKey],
    progress: Progress | None = None,
) -> dict[SiteKey, Trajectory]:
    """Encode a sound into arrays on the disk, window by window, or go on where a run was interrupted.

    Parameters
    ----------
    folder
        Where to write one ``.npy`` file per site; made if it does not exist.
    encoder
        What to run.
    stimulus
        The sound, at the encoder's sampling rate.
    wanted
        Pairs of site and layer (see `HuggingEncoder.encode_sites`).
    progress
        Told of frames done and of all frames, at the beginning and after each batch of windows
        (`brainalign.encoders.pace.Pace` puts it into words).

    Returns
    -------
    dict
        ``(site, layer)`` -> trajectory over a memory-mapped array, equal to what
        `HuggingEncoder.encode_sites` gives.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keys = tuple(dict.fromkeys(wanted))
    work = digest([[list(key), told.to_json()] for key, told in encoder.provenances(stimulus, keys).items()])
    note = _read_note(folder, work)
    n_frames = encoder.axis(stimulus).n
    if note["frames"] < n_frames:
        pieces = encoder.pieces(stimulus, keys, n_done=note["frames"])
        for piece in counted(pieces, n_frames, n_done=note["frames"], progress=progress):
            stop = _write(folder, piece, start=note["frames"], n_frames=n_frames)
            note = note | {"frames": stop}
            _write_note(folder, note)
    return encoder.trajectories(stimulus, {key: _opened(folder, key, n_frames) for key in keys})


def _write(folder: Path, piece: dict[SiteKey, np.ndarray], *, start: int, n_frames: int) -> int:
    stop = start
    for key, values in piece.items():
        path, stop = folder / _file_name(key), start + len(values)
        if start:
            rows = open_memmap(path, mode="r+")
        else:
            rows = open_memmap(path, mode="w+", dtype=np.float32, shape=(n_frames, values.shape[1]))
        rows[start:stop] = values
        # On the disk before the note says so.
        rows.flush()
    return stop


def _opened(folder: Path, key: SiteKey, n_frames: int) -> np.ndarray:
    path = folder / _file_name(key)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UnreadableFile(
            "an encoder's frames cannot be read back",
            got=f"{path.name}: {error}",
            fix="delete the folder and run again",
        ) from error
    if len(values) != n_frames:
        raise UnreadableFile(
            "an encoder's frames are not all there",
            got=f"{path.name}: {len(values)} of {n_frames}",
            fix="delete the folder and run again",
        )
    return values


def _file_name(key: SiteKey) -> str:
    return f"{key[0]}-{key[1]}.npy"


def _read_note(folder: Path, work: str) -> dict[str, Any]:
    path = folder / NOTE
    if not path.is_file():
        return {"work": work, "frames": 0}
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        found: dict[str, Any] = {"work": note["work"], "frames": int(note["frames"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(
            "the note on how far a run got is damaged",
            got=f"{path.name}: {error!r}",
            fix="delete the folder and run again",
        ) from error
    if found["work"] != work:
        raise ValueProblem(
            "the folder holds the frames of another sound, encoder or choice of sites",
            got=f"{folder.name}: {found['work'][:12]}, this is {work[:12]}",
            fix="give a folder of its own",
        )
    return found


def _write_note(folder: Path, note: dict[str, Any]) -> None:
    aside = folder / f"{NOTE}.new"
    aside.write_text(json.dumps(note, sort_keys=True), encoding="utf-8")
    aside.replace(folder / NOTE)
