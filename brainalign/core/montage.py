"""Where do the sensors sit? A cap by its name, a file of positions, or a table of coordinates.

MNE is imported when a montage is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem, unknown_name

if TYPE_CHECKING:
    import mne

MONTAGE_FILES = (
    ".asc", ".bvef", ".csd", ".csv", ".elc", ".eloc", ".elp", ".hpts", ".loc", ".locs", ".sfp", ".tsv", ".txt", ".xyz"
)  # fmt: skip
HEAD_RADIUS_M = 0.095
# A radius between these is a head's, in whichever unit it comes out so.
_HEAD_RADII_M = (0.06, 0.13)
_METRES = (1.0, 1e-2, 1e-3)


def place_sensors(raw: mne.io.BaseRaw, montage: str | Path) -> None:
    """Give a recording's EEG channels their positions, in place.

    Parameters
    ----------
    raw
        The recording. Channels of other kinds need no position.
    montage
        Name of one of MNE's standard montages (``"biosemi128"``, ``"standard_1005"``, ...), or a
        file of positions: any that `mne.channels.read_custom_montage` reads, or the
        ``electrodes.tsv`` of a BIDS dataset (columns name, x, y, z).
    """
    chosen = _montage(montage)
    try:
        raw.set_montage(chosen, match_case=False, verbose="error")
    except ValueError as error:
        raise ValueProblem(
            f"the montage {str(montage)!r} does not know all EEG channels",
            got=str(error).splitlines()[0],
            fix="choose the montage of this cap, rename the channels, or mark channels that are no EEG as such",
        ) from error


def place_at(raw: mne.io.BaseRaw, places: Mapping[str, np.ndarray]) -> None:
    """Give a recording's channels positions in metres in head coordinates (x right, y front, z up), in place."""
    import mne

    raw.set_montage(
        mne.channels.make_dig_montage(ch_pos=dict(places), coord_frame="head"), on_missing="ignore", verbose="error"
    )


def head_sized(places: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Bring coordinates of unknown unit to metres.

    Metres, centimetres and millimetres are told by the sensors' median distance from the origin;
    anything else (EEGLAB's unit sphere) is scaled to a head of 95 mm radius.

    >>> float(head_sized({"Cz": np.array([0.0, 0.0, 1.0])})["Cz"][2])
    0.095
    """
    radii = [float(np.linalg.norm(place)) for place in places.values() if np.isfinite(place).all()]
    radius = float(np.median(radii)) if radii else 0.0
    if radius == 0:
        return {}
    fits = [unit for unit in _METRES if _HEAD_RADII_M[0] <= radius * unit <= _HEAD_RADII_M[1]]
    scale = fits[0] if fits else HEAD_RADIUS_M / radius
    return {name: np.asarray(place, dtype=float) * scale for name, place in places.items()}


def _montage(montage: str | Path) -> mne.channels.DigMontage:
    import mne

    known = mne.channels.get_builtin_montages()
    name = next((name for name in (str(montage), _other_name(str(montage))) if name in known), None)
    if name is not None:
        return mne.channels.make_standard_montage(name)
    path = Path(montage)
    if not path.name.lower().endswith(MONTAGE_FILES):
        raise unknown_name(str(montage), among=known, kind="standard montage")
    if not path.exists():
        raise MissingFile(
            "there is no such file of sensor positions",
            got=path.as_posix(),
            fix=f"check the path, or name a standard montage such as {', '.join(known[:3])}",
        )
    try:
        return _electrodes_tsv(path) if path.suffix.lower() == ".tsv" else mne.channels.read_custom_montage(path)
    # MNE's readers of positions fail in every way there is; all of them mean the same to the user.
    except Exception as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UnreadableFile(
            "this file of sensor positions cannot be read",
            got=f"{path.name}: {type(error).__name__}: {reason}",
            fix=f"give one of {', '.join(MONTAGE_FILES)} as mne.channels.read_custom_montage wants them",
        ) from error


def _other_name(name: str) -> str:
    """Return what a cap is called in the other half of MNE's versions: 1.13 renamed ``standard_`` to ``colin27_``."""
    for old, new in (("standard_", "colin27_"), ("colin27_", "standard_")):
        if name.startswith(old):
            return name.replace(old, new, 1)
    return name


def _electrodes_tsv(path: Path) -> mne.channels.DigMontage:
    import mne

    lines = [line.split("\t") for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    column = {name: lines[0].index(name) for name in ("name", "x", "y", "z")}
    places = {
        row[column["name"]]: np.array([float(row[column[axis]]) for axis in "xyz"])
        for row in lines[1:]
        if "n/a" not in (row[column["x"]], row[column["y"]], row[column["z"]])
    }
    return mne.channels.make_dig_montage(ch_pos=head_sized(places), coord_frame="head")
