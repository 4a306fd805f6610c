"""How are FieldTrip's structs read? Those of the Alice recordings, and any with label, trial, time and fsample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import exact
from brainalign.core.volts import UNITS
from brainalign.datasets.matfile import cells, matrix, read_variable, struct, texts
from brainalign.datasets.signals import Signals, kinds_of, to_recording

# Largest disagreement, in samples, between the rate and the file's own times.
TIME_TOLERANCE = 0.01
_FROM_NOSE_AND_LEFT = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
# How rows of x, y, z are turned into MNE's head (x right, y front), by the name of FieldTrip's coordinate system.
_TO_HEAD = {
    **dict.fromkeys(("als", "ctf", "eeglab", "bti", "4d"), _FROM_NOSE_AND_LEFT),
    **dict.fromkeys(("ras", "neuromag"), np.eye(3)),
}


def read_fieldtrip(
    path: str | Path,
    *,
    montage: str | Path | None = None,
    kinds: Mapping[str, str] | None = None,
    units: str = "",
    variable: str = "",
) -> tuple[Recording, ...]:
    """Read a FieldTrip raw data struct.

    Parameters
    ----------
    path
        A file such as ``S01.mat`` of the Alice recordings.
    montage
        The cap's name (``"easycap-M10"`` for Alice) or a file of positions; by default the
        struct's own ``elec``, if that says in which coordinate system it is.
    kinds
        Kinds of channels whose name does not tell.
    units
        Unit of the numbers; by default what the header says (``hdr.chanunit``), and it must say.
    variable
        The struct's name; by default ``raw`` or ``data``, or the file's only variable.

    Returns
    -------
    tuple of Recording
        One per trial (a continuous recording is one trial). Each trial's time 0 is marked as
        ``trial-N`` where it lies within the trial; the file's own events come with their names.
    """
    path = Path(path)
    value = read_variable(path, *([variable] if variable else ("raw", "data")))
    raw = struct(value, "label", "trial", "fsample", name=variable or "the struct", path=path)
    channels, rate = texts(raw["label"]), exact(float(raw["fsample"]))
    trials, times = cells(raw["trial"]), cells(raw["time"]) if "time" in raw else []
    units = units or _unit(raw, path)
    provenance = Provenance().then("read_fieldtrip", file=path.name, units=units)
    recordings = []
    for number, trial in enumerate(trials, start=1):
        values = matrix(trial, n_channels=len(channels), name=f"trial {number} of {path.name}")
        first = _first_time(times[number - 1], rate, n=len(values), path=path) if times else 0.0
        inside = -first if 0 <= -first < len(values) / float(rate) else None
        onsets = {} if inside is None else {f"trial-{number}": (exact(round(inside, 9)),)}
        recordings.append(
            to_recording(
                Signals(values, rate, channels, kinds_of(channels, kinds), units),
                montage=montage if montage is not None else _elec(raw),
                onsets=onsets,
                subject=path.stem,
                run="" if len(trials) == 1 else str(number),
                provenance=provenance,
            )
        )
    return tuple(recordings)


def _unit(raw: Mapping[str, Any], path: Path) -> str:
    header = raw.get("hdr")
    told = set(texts(header["chanunit"])) if isinstance(header, Mapping) and "chanunit" in header else set()
    told &= UNITS.keys()
    if len(told) != 1:
        raise ValueProblem(
            f"{path.name} does not say in which unit it is",
            got=f"hdr.chanunit: {', '.join(sorted(told)) or 'nothing'}",
            fix="say so with units='uV' (or 'V', 'mV', 'nV'); it is checked against what a head can make",
        )
    return told.pop()


def _first_time(time: Any, rate: Any, *, n: int, path: Path) -> float:
    """Return the time of the first sample, and refuse times that the rate does not make."""
    seconds = np.atleast_1d(np.asarray(time, dtype=float)).ravel()
    expected = seconds[0] + np.arange(len(seconds)) / float(rate)
    worst = float(np.abs(seconds - expected).max() * float(rate))
    if len(seconds) != n or worst > TIME_TOLERANCE:
        raise GridMismatch(
            f"{path.name} is not sampled at the rate that it states",
            got=f"{len(seconds)} times for {n} samples, up to {worst:.3g} samples from {float(rate):g} Hz",
            fix="resample it in FieldTrip (ft_resampledata), or mend fsample",
        )
    return float(seconds[0])


def _elec(raw: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """Read the struct's own sensors, if it says to which axes they belong."""
    elec = raw.get("elec")
    if not isinstance(elec, Mapping) or "label" not in elec or elec.get("coordsys") not in _TO_HEAD:
        return None
    turn = _TO_HEAD[elec["coordsys"]]
    places = np.atleast_2d(np.asarray(elec.get("elecpos", elec.get("chanpos", elec.get("pnt", []))), dtype=float))
    names = texts(elec["label"])
    if places.shape != (len(names), 3):
        return None
    return dict(zip(names, places @ turn, strict=True))
