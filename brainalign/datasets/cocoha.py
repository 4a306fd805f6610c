"""How are COCOHA files read? The .mat files of Fuglsang's two-talker study (DTU), continuous or cut into trials.

``data.eeg`` holds samples x channels (``EEG.zip``) or one such matrix per trial
(``DATA_preproc.zip``), ``data.fsample.eeg`` the rate, ``data.dim.chan.eeg`` the names and
``data.event.eeg`` samples and values of events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.errors import ShapeMismatch
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis, exact
from brainalign.core.trajectory import Trajectory
from brainalign.datasets.matfile import cells, matrix, read_variable, struct, texts
from brainalign.datasets.signals import Signals, kinds_of, to_recording


def read_cocoha(
    path: str | Path,
    *,
    montage: str | Path | None = "biosemi64",
    kinds: Mapping[str, str] | None = None,
    units: str = "uV",
) -> tuple[Recording, ...]:
    """Read one listener's continuous recording, or all trials of it.

    Parameters
    ----------
    path
        ``S1.mat`` (continuous) or ``S1_data_preproc.mat`` (trials).
    montage
        The cap's name or a file of positions.
    kinds
        Kinds of channels whose name does not tell: ``{"EXG3": "eog"}``. External channels
        (EXG) are ``"misc"`` otherwise.
    units
        Unit of the numbers.

    Returns
    -------
    tuple of Recording
        One continuous recording with an onset per event (named by the trigger's value), or
        one recording per trial, whose sound ``trial-N`` begins with its first sample.
    """
    path = Path(path)
    data = struct(read_variable(path, "data"), "eeg", "fsample", "dim", name="data", path=path)
    rate = exact(float(struct(data["fsample"], "eeg", name="data.fsample", path=path)["eeg"]))
    trials, is_cut = cells(data["eeg"]), isinstance(data["eeg"], list)
    names = _names(struct(data["dim"], "chan", name="data.dim", path=path)["chan"], len(trials), path)
    subject = re.match(r"S(\d+)", path.name)
    provenance = Provenance().then("read_cocoha", file=path.name, units=units)
    recordings = []
    for number, (trial, channels) in enumerate(zip(trials, names, strict=True), start=1):
        values = matrix(trial, n_channels=len(channels), name=f"trial {number} of {path.name}")
        onsets: Mapping[str, Any] = {f"trial-{number}": (0,)} if is_cut else _events(data, rate)
        signals = Signals(values, rate, channels, kinds_of(channels, kinds), units)
        recordings.append(
            to_recording(
                signals,
                montage=montage,
                onsets=onsets,
                subject=subject[1] if subject else "",
                run=str(number) if is_cut else "",
                provenance=provenance,
            )
        )
    return tuple(recordings)


def read_cocoha_envelopes(path: str | Path) -> tuple[Mapping[str, Trajectory], ...]:
    """Read the envelopes of the talkers that come with the trials (``wavA``, ``wavB``).

    Parameters
    ----------
    path
        ``S1_data_preproc.mat``.

    Returns
    -------
    tuple of mappings
        One per trial: ``"wavA"`` and, where there was a second talker, ``"wavB"``. Trials that
        repeat one sound hold equal values: split those by time, never by trial.
    """
    path = Path(path)
    data = struct(read_variable(path, "data"), "eeg", "fsample", "wavA", name="data", path=path)
    rates = struct(data["fsample"], "eeg", name="data.fsample", path=path)
    provenance = Provenance().then("read_cocoha_envelopes", file=path.name)
    found = []
    for number in range(len(cells(data["eeg"]))):
        waves = {name: cells(data[name])[number] for name in ("wavA", "wavB") if name in data}
        found.append(
            {
                name: _envelope(values, name, exact(float(rates.get(name, rates["eeg"]))), provenance)
                for name, values in waves.items()
                if np.size(values)
            }
        )
    return tuple(found)


def _envelope(values: Any, name: str, rate: Fraction, provenance: Provenance) -> Trajectory:
    frames = np.asarray(values, dtype=np.float32).reshape(-1, 1)
    return Trajectory(frames, TimeAxis(rate, len(frames)), (name,), provenance)


def _names(chan: Any, n_trials: int, path: Path) -> list[tuple[str, ...]]:
    """Read channel names, which are kept once for all trials or once for each."""
    value = struct(chan, "eeg", name="data.dim.chan", path=path)["eeg"]
    nested = isinstance(value, list) and any(not isinstance(item, str) for item in value)
    each = [texts(item) for item in value] if nested else [texts(value)]
    each = each * n_trials if len(each) == 1 else each
    if len(each) != n_trials:
        raise ShapeMismatch(
            f"{path.name} does not have channel names for each trial",
            got=f"{len(each)} lists of names and {n_trials} trials",
            fix="check that the file is whole",
        )
    return each


def _events(data: Mapping[str, Any], rate: Fraction) -> dict[str, tuple[Fraction, ...]]:
    """Read events: MATLAB counts samples from 1."""
    events = data.get("event", {})
    told = events.get("eeg", {}) if isinstance(events, Mapping) else {}
    if not isinstance(told, Mapping) or "sample" not in told or "value" not in told:
        return {}
    samples = np.atleast_1d(np.asarray(told["sample"], dtype=float)).ravel()
    values = told["value"] if isinstance(told["value"], list) else np.atleast_1d(told["value"]).tolist()
    onsets: dict[str, tuple[Fraction, ...]] = {}
    for sample, value in zip(samples, values, strict=True):
        name = value if isinstance(value, str) else f"{float(value):g}"
        onsets[name] = (*onsets.get(name, ()), (int(sample) - 1) / rate)
    return onsets
