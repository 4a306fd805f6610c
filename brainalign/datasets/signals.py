"""How do numbers out of a file without a standard become a recording? With names, kinds, units, sensors and onsets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.montage import head_sized, place_at, place_sensors
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import Number, TimeAxis, exact
from brainalign.core.volts import require_volts, volts_per

# Names that tell what a channel is, in the order they are tried; all else is EEG.
_KINDS = (
    (re.compile(r"(?i)^(v|h)?e?og\d*$|^(veo|heo|eog).*"), "eog"),
    (re.compile(r"(?i)^(ecg|ekg).*"), "ecg"),
    (re.compile(r"(?i)^emg.*"), "emg"),
    (re.compile(r"(?i)^(status|trig|sti).*"), "stim"),
    (re.compile(r"(?i)^(aud|aux|exg|gsr|erg|resp|plet|temp|mastoid).*"), "misc"),
)


@dataclass(frozen=True)
class Signals:
    """Numbers and what they are.

    Parameters
    ----------
    values
        Shape ``(n_samples, n_channels)``, in `units`.
    rate
        Samples per second.
    channels
        One name per column.
    kinds
        One MNE channel type per column; empty means that the names tell.
    units
        Unit of all channels but triggers (kind ``"stim"``): ``"V"``, ``"mV"``, ``"uV"``, ``"nV"``.
    """

    values: np.ndarray
    rate: Fraction
    channels: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    units: str = "V"


def kinds_of(channels: Sequence[str], given: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Tell each channel's kind by its name; what is given wins.

    >>> kinds_of(["Fz", "VEOG", "EXG1", "Status"], {"EXG1": "eog"})
    ('eeg', 'eog', 'eog', 'stim')
    """
    told = given or {}
    return tuple(told.get(name) or _kind(name) for name in channels)


def to_recording(
    signals: Signals,
    *,
    montage: str | Path | Mapping[str, np.ndarray] | None,
    onsets: Mapping[str, Sequence[Number]],
    subject: str,
    run: str,
    provenance: Provenance,
) -> Recording:
    """Make a recording, in volts, and check that it is in volts.

    Parameters
    ----------
    signals
        The numbers.
    montage
        A cap's name, a file of positions, or positions by channel name in a unit that their
        distance from the centre tells; None leaves sensors without a position.
    onsets
        Event name -> seconds from the first sample.
    subject, run
        Whose recording it is, and which.
    provenance
        Where it comes from; its last step names the file.
    """
    name = (
        str(dict(provenance.steps[-1].parameters).get("file", "the recording")) if provenance.steps else "the recording"
    )
    if not len(signals.values):
        raise ValueProblem(
            f"{name} holds a recording without samples",
            got=f"run {run or '?'}: shape {signals.values.shape}",
            fix="leave it out; some published files are empty",
        )
    kinds = signals.kinds or kinds_of(signals.channels)
    scale = np.where(np.array(kinds) == "stim", 1.0, volts_per(signals.units))
    volts = np.asarray(signals.values, dtype=float) * scale
    require_volts(volts[:, np.array(kinds) == "eeg"].T, rate=float(signals.rate), name=name)
    info = mne.create_info(list(signals.channels), float(signals.rate), list(kinds))
    raw = mne.io.RawArray(volts.T, info, verbose="error")
    if isinstance(montage, Mapping):
        place_at(raw, head_sized(montage))
    elif montage is not None:
        place_sensors(raw, montage)
    recording = Recording.from_mne(raw, subject=subject, run=run, provenance=provenance)
    times = {event: tuple(exact(time) for time in at) for event, at in onsets.items()}
    return replace(recording, axis=TimeAxis(signals.rate, len(volts)), onsets=times)


def _kind(name: str) -> str:
    return next((kind for pattern, kind in _KINDS if pattern.match(name)), "eeg")
