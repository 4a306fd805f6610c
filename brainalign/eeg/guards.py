"""What must a Raw have before a step can work on it? Names by kind, EEG channels, enough seconds."""

from __future__ import annotations

import mne

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
