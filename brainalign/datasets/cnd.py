"""How are CND files read? ``dataSubN.mat`` holds one listener's trials, ``dataStim.mat`` what was heard in them.

The Continuous-event Neural Data format of the CNSP workshops, in MATLAB files of either kind. Each
trial becomes a recording of its own, because trials are never joined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis, exact
from brainalign.core.trajectory import Trajectory
from brainalign.datasets.matfile import cells, matrix, read_variable, struct, texts
from brainalign.datasets.signals import Signals, to_recording


def read_cnd(
    path: str | Path, *, stimuli: str | Path | None = None, montage: str | Path | None = None, units: str = "uV"
) -> tuple[Recording, ...]:
    """Read the trials of one listener.

    Parameters
    ----------
    path
        ``dataSubN.mat`` (or ``pre_dataSubN.mat``).
    stimuli
        ``dataStim.mat``: trials are then marked with the number of the stimulus heard
        (``stim-3``), so that repetitions have one name; otherwise with their own (``trial-3``).
    montage
        Sensor positions, if those of the file (``chanlocs``) are not to be used.
    units
        Unit of the numbers. The format does not say; BioSemi data usually are in microvolts.

    Returns
    -------
    tuple of Recording
        One per trial, in the file's order; run is the trial's number. Channels that are no
        EEG (mastoids) come with the kind ``"misc"``. A sound begins after the padding
        (``paddingStartSample``) where the file has one.
    """
    path = Path(path)
    eeg = struct(read_variable(path, "eeg"), "data", "fs", name="eeg", path=path)
    kind = str(eeg.get("dataType", "EEG"))
    if kind.upper() != "EEG":
        raise ValueProblem(
            f"{path.name} is no EEG", got=f"dataType {kind}", fix="this package reads EEG from CND files"
        )
    rate = exact(float(eeg["fs"]))
    places = _places(eeg)
    trials = cells(eeg["data"])
    channels = tuple(places) or tuple(f"EEG{i + 1:03d}" for i in range(_n_channels(trials, path)))
    onset = Fraction(int(np.asarray(eeg.get("paddingStartSample", 0) or 0).item())) / rate
    heard = _heard(stimuli, n_trials=len(trials))
    subject = re.search(r"Sub(\w*?\d+)", path.stem)
    provenance = Provenance().then("read_cnd", file=path.name, units=units)
    located = {name: place for name, place in places.items() if np.isfinite(place).all()}
    recordings = []
    for number, trial in enumerate(trials):
        signals = _with_extra(
            eeg, number, matrix(trial, n_channels=len(channels), name=f"trial {number + 1}"), channels
        )
        recordings.append(
            to_recording(
                Signals(*signals[:1], rate, signals[1], signals[2], units),
                montage=montage if montage is not None else located or None,
                onsets={heard[number]: (onset,)},
                subject=subject[1] if subject else "",
                run=str(number + 1),
                provenance=provenance,
            )
        )
    return tuple(recordings)


def read_cnd_features(path: str | Path) -> tuple[Mapping[str, Trajectory], ...]:
    """Read what was heard: the stimulus features of ``dataStim.mat``.

    Parameters
    ----------
    path
        ``dataStim.mat``.

    Returns
    -------
    tuple of mappings
        One per trial: feature set's name -> trajectory at the file's rate, first frame at 0 s.
        Trials that heard the same sound hold equal values: split by sound or by time.
    """
    path = Path(path)
    stim = struct(read_variable(path, "stim"), "data", "fs", "names", name="stim", path=path)
    names, rate = texts(stim["names"]), exact(float(stim["fs"]))
    sets = [stim["data"]] if len(names) == 1 and not _is_nested(stim["data"]) else cells(stim["data"])
    if len(sets) != len(names):
        raise ShapeMismatch(
            f"stim of {path.name} does not have one row of data per name",
            got=f"{len(sets)} rows and {len(names)} names",
            fix="check that the file is whole",
        )
    provenance = Provenance().then("read_cnd_features", file=path.name)
    rows = [
        [_trajectory(trial, name, rate, provenance) for trial in cells(row)]
        for name, row in zip(names, sets, strict=True)
    ]
    return tuple(dict(zip(names, trial, strict=True)) for trial in zip(*rows, strict=True))


def _trajectory(values: Any, name: str, rate: Fraction, provenance: Provenance) -> Trajectory:
    frames = np.asarray(values, dtype=np.float32)
    frames = frames.reshape(len(frames), -1) if frames.ndim else frames.reshape(1, 1)
    features = (name,) if frames.shape[1] == 1 else tuple(f"{name} {i + 1}" for i in range(frames.shape[1]))
    return Trajectory(frames, TimeAxis(rate, len(frames)), features, provenance)


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, list) for item in value)


def _heard(stimuli: str | Path | None, *, n_trials: int) -> list[str]:
    if stimuli is None:
        return [f"trial-{i + 1}" for i in range(n_trials)]
    path = Path(stimuli)
    stim = struct(read_variable(path, "stim"), "stimIdxs", name="stim", path=path)
    numbers = np.atleast_1d(stim["stimIdxs"]).astype(int)
    if len(numbers) != n_trials:
        raise ShapeMismatch(
            "the stimulus file does not belong to this recording",
            got=f"{len(numbers)} trials in {path.name}, and {n_trials} recorded",
            fix="give the dataStim.mat that lies beside the recordings",
        )
    return [f"stim-{number}" for number in numbers]


def _n_channels(trials: list[Any], path: Path) -> int:
    shapes = {np.shape(trial)[1:] for trial in trials if np.ndim(trial) == 2}
    if len(shapes) != 1:
        raise ShapeMismatch(
            f"the trials of {path.name} differ in their channels",
            got=f"{sorted(shapes)}",
            fix="files without chanlocs need trials of samples x channels",
        )
    return int(next(iter(shapes))[0])


def _places(eeg: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Read EEGLAB's chanlocs: x to the nose and y to the left become y and -x of MNE's head."""
    locs = eeg.get("chanlocs")
    if not isinstance(locs, Mapping) or "labels" not in locs:
        return {}
    names = texts(locs["labels"])
    axes = [_numbers(locs.get(axis), len(names)) for axis in ("Y", "X", "Z")]
    return {name: np.array([0.0 - y, x, z]) for name, y, x, z in zip(names, *axes, strict=True)}


def _numbers(value: Any, n: int) -> list[float]:
    items = [value] if n == 1 and not isinstance(value, list) else value
    if items is None or len(items) != n:
        return [np.nan] * n
    return [float(item) if np.size(item) == 1 else np.nan for item in items]


def _with_extra(
    eeg: Mapping[str, Any], number: int, values: np.ndarray, channels: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Append the external channels (mastoids and the like) of a trial."""
    kinds = ("eeg",) * len(channels)
    for extra in cells(eeg.get("extChan", [])):
        if not isinstance(extra, Mapping) or "data" not in extra:
            continue
        own = np.asarray(cells(extra["data"])[number], dtype=float)
        own = own.reshape(len(values), -1) if own.size % max(1, len(values)) == 0 else own
        name = str(extra.get("description", "external"))
        values = np.hstack([values, own])
        channels = (*channels, *(f"{name} {i + 1}" for i in range(own.shape[1])))
        kinds = (*kinds, *("misc",) * own.shape[1])
    return values, channels, kinds
