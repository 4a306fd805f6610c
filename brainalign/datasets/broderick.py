"""How are Broderick's MATLAB runs read? ``SubjectN_RunM.mat`` of the Dryad deposit: one run per file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np

from brainalign.core.errors import ShapeMismatch
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import exact
from brainalign.datasets.matfile import matrix, read_variable
from brainalign.datasets.signals import Signals, to_recording

CAPS = {128: "biosemi128", 64: "biosemi64", 32: "biosemi32", 160: "biosemi160"}


def read_broderick(
    path: str | Path,
    *,
    sound: str = "",
    mastoids: Literal["misc", "eeg", "drop"] = "misc",
    units: str = "uV",
) -> Recording:
    """Read one run: variables ``eegData``, ``mastoids`` and ``fs``.

    Parameters
    ----------
    path
        The file; its name tells subject and run.
    sound
        The sound that the run starts with; by default ``audioNN`` of run NN, which is what
        the natural speech is called in ds004408.
    mastoids
        What the two mastoid channels become: ``"misc"`` (kept, not analysed), ``"eeg"`` (so
        that one can refer to them; they have no position) or ``"drop"``.
    units
        Unit of the numbers.

    Returns
    -------
    Recording
        Channels named and placed as in BioSemi's cap of that size; the sound's onset is at 0 s.
    """
    path = Path(path)
    told = re.search(r"Subject(\d+)_Run(\d+)", path.name, flags=re.IGNORECASE)
    subject, run = (told[1], told[2]) if told else ("", "")
    eeg, cap = _scalp(read_variable(path, "eegData"), path)
    channels = tuple(mne.channels.make_standard_montage(cap).ch_names)
    kinds = ("eeg",) * len(channels)
    if mastoids != "drop":
        eeg = np.hstack([eeg, matrix(read_variable(path, "mastoids"), n_channels=2, name=f"mastoids of {path.name}")])
        channels, kinds = (*channels, "M1", "M2"), (*kinds, mastoids, mastoids)
    rate = exact(float(np.asarray(read_variable(path, "fs")).item()))
    signals = Signals(eeg, rate, channels, kinds, units)
    provenance = Provenance().then("read_broderick", file=path.name, units=units, mastoids=mastoids)
    sound = sound or (f"audio{int(run):02d}" if run else "sound")
    placed = {name: at for name, at in _places(cap).items() if name in channels}
    return to_recording(signals, montage=placed, onsets={sound: (0,)}, subject=subject, run=run, provenance=provenance)


def _scalp(value: Any, path: Path) -> tuple[np.ndarray, str]:
    values = np.asarray(value, dtype=float)
    n_channels = next((n for n in CAPS if values.ndim == 2 and n in values.shape), None)
    if n_channels is None:
        raise ShapeMismatch(
            f"eegData of {path.name} fits none of BioSemi's caps",
            got=f"shape {values.shape}",
            fix=f"one side must be {', '.join(map(str, CAPS))} channels; is the file whole?",
        )
    return matrix(values, n_channels=n_channels, name=f"eegData of {path.name}"), CAPS[n_channels]


def _places(cap: str) -> dict[str, np.ndarray]:
    return dict(mne.channels.make_standard_montage(cap).get_positions()["ch_pos"])
