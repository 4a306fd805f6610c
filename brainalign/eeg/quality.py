"""Was the recording any good, and what did cleaning do to it? Numbers for one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import signal

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.hashing import plain
from brainalign.core.recording import Recording

WINDOW_SECONDS = 4
MICROVOLTS_PER_VOLT = 1e6
LEAST_POWER = 1e-12
MAINS_HZ = (50.0, 60.0)


@dataclass(frozen=True)
class Quality:
    """One recording before and after cleaning.

    Parameters
    ----------
    label
        Subject, session and run.
    minutes
        Length of the recording.
    channels
        The EEG channels that both versions hold.
    bad_channels
        What was marked bad before, or by a cleaning step.
    rms_before, rms_after
        Root mean square about the mean in microvolts, one per channel.
    frequencies
        Hz.
    psd_before, psd_after
        Median over channels of the power spectral density, in dB re 1 uV^2/Hz, one per
        frequency.
    kept_share
        Share of the cleaned recording that lies outside its bad spans.
    positions
        Of the channels, metres in head coordinates, for a map; empty where a channel has none.
    line_decibels
        How far the strongest of 50 and 60 Hz stood out of its neighbourhood before, in dB; None where
        the recording holds neither.
    """

    label: str
    minutes: float
    channels: tuple[str, ...]
    bad_channels: tuple[str, ...]
    rms_before: tuple[float, ...]
    rms_after: tuple[float, ...]
    frequencies: tuple[float, ...]
    psd_before: tuple[float, ...]
    psd_after: tuple[float, ...]
    kept_share: float = 1.0
    positions: tuple[tuple[float, ...], ...] = ()
    line_decibels: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return plain(self)


def quality(before: Recording, after: Recording) -> Quality:
    """Compare a recording with its cleaned version.

    Parameters
    ----------
    before, after
        The raw and the cleaned recording. Rates may differ; frequencies end at the lower
        Nyquist rate.
    """
    channels = tuple(name for name in _eeg(before) if name in set(_eeg(after)))
    if not channels:
        raise UnknownName(
            "the two recordings share no EEG channel",
            got=f"{_eeg(before)[:4]} and {_eeg(after)[:4]}",
            fix="compare a recording with its own cleaned version",
        )
    old, new = _microvolts(before, channels), _microvolts(after, channels)
    hertz_old, psd_old = _median_psd(old, before)
    hertz_new, psd_new = _median_psd(new, after)
    n = min(len(hertz_old), len(hertz_new))
    return Quality(
        label=before.label,
        minutes=float(before.axis.duration / 60),
        channels=channels,
        bad_channels=_bads(before, after),
        rms_before=_floats(old.std(axis=0)),
        rms_after=_floats(new.std(axis=0)),
        frequencies=_floats(hertz_old[:n]),
        psd_before=_floats(psd_old[:n]),
        psd_after=_floats(psd_new[:n]),
        kept_share=_kept_share(after),
        positions=tuple(_place(after, name) for name in channels),
        line_decibels=_line(hertz_old, psd_old),
    )


def _eeg(recording: Recording) -> list[str]:
    return [name for name, kind in zip(recording.channels, recording.kinds, strict=True) if kind == "eeg"]


def _microvolts(recording: Recording, channels: tuple[str, ...]) -> np.ndarray:
    columns = [recording.channels.index(name) for name in channels]
    return recording.values[:, columns].astype(float) * MICROVOLTS_PER_VOLT


def _bads(before: Recording, after: Recording) -> tuple[str, ...]:
    """List channels that were bad before, are bad still, or were marked in between."""
    marked = {name for step in after.provenance.steps for name in step.parameters.get("marked_bad", ())}
    bad = marked.union(before.bads, after.bads)
    return tuple(name for name in before.channels if name in bad)


def _place(recording: Recording, name: str) -> tuple[float, ...]:
    place = recording.positions[recording.channels.index(name)]
    return _floats(place) if np.isfinite(place).all() else ()


def _kept_share(recording: Recording) -> float:
    """Return the share of samples in no bad span (spans may overlap)."""
    good = np.ones(recording.axis.n, dtype=bool)
    for start, stop in recording.bad_spans:
        first, last = recording.axis.index(start), recording.axis.index(stop)
        good[max(0, first) : max(0, last + 1)] = False
    return float(np.mean(good)) if good.size else 0.0


def _line(hertz: np.ndarray, psd: np.ndarray) -> float | None:
    """Return by how much mains hum stands out of the 4 Hz on either side, in dB."""
    found = []
    for mains in MAINS_HZ:
        around = (np.abs(hertz - mains) > 1) & (np.abs(hertz - mains) <= 4)
        if hertz[-1] >= mains + 4:
            found.append(float(psd[int(np.argmin(np.abs(hertz - mains)))] - np.median(psd[around])))
    return max(found) if found else None


def _median_psd(values: np.ndarray, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    window = round(WINDOW_SECONDS * recording.axis.rate)
    if len(values) < window:
        raise ValueProblem(
            f"{recording.label} is too short for a spectrum",
            got=f"{float(recording.axis.duration):g} s",
            fix=f"give at least {WINDOW_SECONDS} s",
        )
    hertz, power = signal.welch(values, float(recording.axis.rate), nperseg=window, axis=0)
    return hertz, 10 * np.log10(np.maximum(np.median(power, axis=1), LEAST_POWER))


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
