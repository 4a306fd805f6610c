"""How are HDF5 files of parts read? Those of Weissbart and of Etard: one file per listener, one array per sound.

The arrays are channels x samples and start with the sound. Rate, units and channel names are not
in the files, so they are given; the units are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.errors import MissingFile, MissingPackage, ShapeMismatch, UnreadableFile, unknown_name
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import Number, exact
from brainalign.datasets.signals import Signals, kinds_of, to_recording

# More channels than any cap has: the longer side of a part is time.
MAX_CHANNELS = 512


def read_hdf5_parts(
    path: str | Path,
    *,
    rate: Number,
    channels: Sequence[str] = (),
    parts: Sequence[str] = (),
    montage: str | Path | None = None,
    units: str = "uV",
) -> tuple[Recording, ...]:
    """Read the parts of one listener.

    Parameters
    ----------
    path
        ``P00.h5`` (Weissbart: ``data/AUNP01``) or ``YH00.h5`` (Etard: ``clean/part_1``).
    rate
        Samples per second: 1000 for both.
    channels
        Names, in the arrays' order; by default ``EEG001`` and so on, without positions.
    parts
        Which arrays, by their whole path or their last word; by default all, sorted.
    montage
        The cap's name or a file of positions; needs `channels`.
    units
        Unit of the numbers.

    Returns
    -------
    tuple of Recording
        One per part; the run is the array's path without ``data/``, and the onset at 0 s is
        named like the sound's file (``AUNP01``, or ``part_1_story`` in the folder of the condition).
    """
    path = Path(path)
    arrays = _arrays(path, parts)
    provenance = Provenance().then("read_hdf5_parts", file=path.name, units=units)
    recordings = []
    for name, values in arrays.items():
        names = tuple(channels) or tuple(f"EEG{i + 1:03d}" for i in range(len(values)))
        if len(names) != len(values):
            raise ShapeMismatch(
                f"{name} of {path.name} has other channels than were named",
                got=f"{len(values)} channels and {len(names)} names",
                fix="give one name per channel, in the file's order",
            )
        run = name.removeprefix("data/")
        recordings.append(
            to_recording(
                Signals(values.T, exact(rate), names, kinds_of(names), units),
                montage=montage,
                onsets={_sound(run): (0,)},
                subject=path.stem,
                run=run.replace("/", "-"),
                provenance=provenance,
            )
        )
    return tuple(recordings)


def _sound(run: str) -> str:
    last = run.rpartition("/")[2]
    return f"{last}_story" if last.startswith("part_") else last


def _arrays(path: Path, parts: Sequence[str]) -> Mapping[str, np.ndarray]:
    h5py = _h5py()
    if not path.exists():
        raise MissingFile("there is no such HDF5 file", got=path.as_posix(), fix="check the folder and the spelling")
    try:
        with h5py.File(path, "r") as opened:
            held: dict[str, Any] = {}
            opened.visititems(lambda name, item: held.update({name: item}) if _is_part(h5py, item) else None)
            chosen = _chosen(held, parts)
            return {name: _upright(held[name][()]) for name in chosen}
    except OSError as error:
        raise UnreadableFile(
            "this HDF5 file cannot be read",
            got=f"{path.name}: {str(error).splitlines()[0]}",
            fix="copy or fetch it again from its source",
        ) from error


def _is_part(h5py: Any, item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim == 2 and item.dtype.kind in "fiu" and item.size > 0


def _chosen(held: Mapping[str, Any], parts: Sequence[str]) -> list[str]:
    if not held:
        raise UnreadableFile(
            "this HDF5 file holds no part of a recording",
            got="no array of channels x samples",
            fix="check that it is a file of the family that this reader is for",
        )
    if not parts:
        return sorted(held)
    names = {name: name for name in held} | {name.rpartition("/")[2]: name for name in held}
    for part in parts:
        if part not in names:
            raise unknown_name(part, among=held, kind="part of this file")
    return [names[part] for part in parts]


def _upright(values: np.ndarray) -> np.ndarray:
    """Turn channels x samples the right way round: the longer side is time."""
    values = np.asarray(values, dtype=float)
    return values.T if values.shape[0] > values.shape[1] and values.shape[1] <= MAX_CHANNELS else values


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingPackage(
            "reading HDF5 files needs h5py", got=str(error), fix="pip install 'brainalign[mat]'"
        ) from error
    return h5py
