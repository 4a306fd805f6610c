"""How are the trials of KU Leuven's attention study read? ``S1.mat``: one listener, twenty trials, two talkers.

Each trial holds ``RawData.EegData`` (samples x channels), ``FileHeader.SampleRate``, ``stimuli``
(the files played to the left and to the right ear) and ``attended_ear``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import mne
import numpy as np

from brainalign.core.errors import UnreadableFile
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import exact
from brainalign.datasets.matfile import cells, matrix, read_variable, struct, texts
from brainalign.datasets.signals import Signals, to_recording

EARS = {"L": 0, "R": 1}
IGNORED = "ignored/"


def read_kul(path: str | Path, *, montage: str = "biosemi64", units: str = "uV") -> tuple[Recording, ...]:
    """Read the trials of one listener.

    Parameters
    ----------
    path
        ``S1.mat``.
    montage
        The cap; its names are taken where the file has none, in the cap's own order.
    units
        Unit of the numbers.

    Returns
    -------
    tuple of Recording
        One per trial; run is the trial's number. Both sounds begin with the first sample: the
        attended one is marked by its file's name without ending, the other one with
        ``ignored/`` before it. Sounds may outlast the recording: cut them to its length.
    """
    path = Path(path)
    provenance = Provenance().then("read_kul", file=path.name, units=units)
    recordings = []
    for number, item in enumerate(cells(read_variable(path, "trials")), start=1):
        name = f"trial {number}"
        trial = struct(item, "RawData", "FileHeader", "stimuli", "attended_ear", name=name, path=path)
        raw = struct(trial["RawData"], "EegData", name=f"RawData of {name}", path=path)
        header = struct(trial["FileHeader"], "SampleRate", name=f"FileHeader of {name}", path=path)
        channels = _channels(header, montage)
        values = matrix(raw["EegData"], n_channels=len(channels), name=f"{name} of {path.name}")
        recordings.append(
            to_recording(
                Signals(values, exact(float(header["SampleRate"])), channels, ("eeg",) * len(channels), units),
                montage=montage,
                onsets=_sounds(trial, name=f"{name} of {path.name}"),
                subject=path.stem.removeprefix("S"),
                run=str(int(np.asarray(trial.get("TrialID", number)).item())),
                provenance=provenance,
            )
        )
    return tuple(recordings)


def _channels(header: Mapping[str, Any], montage: str) -> tuple[str, ...]:
    cap = tuple(mne.channels.make_standard_montage(montage).ch_names)
    told = header.get("Channels")
    labels = texts(told["Label"]) if isinstance(told, Mapping) and "Label" in told else ()
    return labels if set(labels) == set(cap) else cap


def _sounds(trial: Mapping[str, Any], *, name: str) -> dict[str, tuple[int, ...]]:
    played = [PurePosixPath(text).stem for text in texts(trial["stimuli"])]
    ear = EARS.get(str(trial["attended_ear"]).strip().upper()[:1])
    if ear is None or len(played) != 2:
        raise UnreadableFile(
            f"{name} does not say which of two sounds was attended",
            got=f"attended_ear {trial['attended_ear']!r}, stimuli {played}",
            fix="leave this trial out, or mend the file: an ear is L or R",
        )
    return {played[ear]: (0,), f"{IGNORED}{played[1 - ear]}": (0,)}
