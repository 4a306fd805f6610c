"""What must a Raw have before a step can work on it? Names by kind, EEG channels, enough seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mne
import numpy as np

from brainalign.core.errors import ValueProblem

HAMMING_CYCLES = 3.3


def pick_names(raw: mne.io.BaseRaw, kinds: tuple[str, ...]) -> list[str]:
    """Name the channels of some kinds, bad ones included."""
    return [name for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind in kinds]


def require_eeg(raw: mne.io.BaseRaw) -> list[str]:
    """Name the EEG channels, bad ones included, and refuse a recording that has none."""
    names = pick_names(raw, ("eeg",))
    if not names:
        raise ValueProblem(
            "there is no EEG channel to clean",
            got=f"kinds {sorted(set(raw.get_channel_types()))}",
            fix="set the channels' types with raw.set_channel_types",
        )
    return names


def require_long_enough(raw: mne.io.BaseRaw, *, transition: float, step: str) -> None:
    """Refuse a recording shorter than a Hamming FIR filter with this transition (Hz)."""
    seconds = HAMMING_CYCLES / transition
    if raw.n_times / raw.info["sfreq"] <= seconds:
        raise ValueProblem(
            f"the recording is shorter than the filter of {step}",
            got=f"{raw.n_times / raw.info['sfreq']:g} s, and a filter of {seconds:g} s",
            fix="filter the whole recording before cutting it, or widen the transitions",
        )


def note(raw: mne.io.BaseRaw, **found: object) -> None:
    """Write down, in a step's own result, what it found: `clean` moves it to the provenance."""
    raw.info["temp"] = dict(found)


def take_notes(raw: mne.io.BaseRaw) -> Mapping[str, Any]:
    """Return what the last step noted, and forget it."""
    found = raw.info.get("temp")
    raw.info["temp"] = None
    return found if isinstance(found, dict) else {}


def good_samples(raw: mne.io.BaseRaw) -> np.ndarray:
    """Tell which samples lie outside the stretches that are marked "BAD", shape ``(n_times,)``, bool."""
    good = np.ones(raw.n_times, dtype=bool)
    for mark in raw.annotations:
        if not str(mark["description"]).upper().startswith("BAD"):
            continue
        start = (float(mark["onset"]) - raw.first_time) * raw.info["sfreq"]
        stop = start + float(mark["duration"]) * raw.info["sfreq"]
        good[max(0, int(np.ceil(start))) : max(0, int(np.floor(stop)) + 1)] = False
    return good
