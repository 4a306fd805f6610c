"""Was the recording any good, and what did cleaning do to it? Numbers for one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy import signal

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.hashing import plain
from brainalign.core.recording import Recording
from brainalign.eeg.bad_channels import robust_deviation
from brainalign.eeg.spectra import WINDOW_SECONDS, decibels, mains_line, thinned
from brainalign.eeg.stuck import clipped_share, flat_share

MICROVOLTS_PER_VOLT = 1e6
HIGH_PASS_HZ = 1.0
# A flat channel's deviation is minus infinity, which JSON cannot hold.
FLAT_DEVIATION = -99.0
IN_THE_FILE = "marked in the recording"


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
    line_decibels, line_decibels_after
        How far the strongest of 50 and 60 Hz stood out of its neighbourhood before and after, in dB; None where
        the recording holds neither.
    line_hz
        Which of the two it was before.
    reasons
        Of the bad channels, in their order: why each was marked, or by which step where that does not tell.
    bad_spans
        First and last second of each masked stretch, counted from the recording's beginning.
    deviations
        Robust z of each channel's log variance above 1 Hz among all channels, before cleaning: what
        `brainalign.eeg.bad_channels.BadChannels` goes by; -99 for a flat channel.
    flat_shares, clipped_shares
        Share of each channel's time, before cleaning, in which it stood still for a tenth of a second or more, and
        in which it stood at its own largest or smallest value for three samples or more.
    channel_frequencies, channel_psd
        A thinned spectrum of every channel before cleaning for drawing: Hz, and dB, one row per channel.
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
    line_decibels_after: float | None = None
    line_hz: float | None = None
    reasons: tuple[str, ...] = ()
    bad_spans: tuple[tuple[float, float], ...] = ()
    deviations: tuple[float, ...] = ()
    flat_shares: tuple[float, ...] = ()
    clipped_shares: tuple[float, ...] = ()
    channel_frequencies: tuple[float, ...] = ()
    channel_psd: tuple[tuple[float, ...], ...] = ()

    @property
    def n_without_position(self) -> int:
        """How many of the channels have no known position."""
        return len(self.channels) - sum(1 for place in self.positions if len(place))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return plain(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Quality:
        """Read back what `to_json` wrote ; what an older version lacked keeps its default."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: _frozen(value) for name, value in values.items() if name in known})


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
    hertz_old, power_old = _welch(old, before)
    hertz_new, power_new = _welch(new, after)
    psd_old, psd_new = (decibels(np.median(power, axis=1)) for power in (power_old, power_new))
    n = min(len(hertz_old), len(hertz_new))
    bads = _bads(before, after)
    line, line_hz = mains_line(hertz_old, psd_old)
    return Quality(
        label=before.label,
        minutes=float(before.axis.duration / 60),
        channels=channels,
        bad_channels=bads,
        rms_before=_floats(old.std(axis=0)),
        rms_after=_floats(new.std(axis=0)),
        frequencies=_floats(hertz_old[:n]),
        psd_before=_floats(psd_old[:n]),
        psd_after=_floats(psd_new[:n]),
        kept_share=_kept_share(after),
        positions=tuple(_place(after, name) for name in channels),
        line_decibels=line,
        line_decibels_after=mains_line(hertz_new, psd_new)[0],
        line_hz=line_hz,
        reasons=tuple(_reason(name, before, after) for name in bads),
        bad_spans=_spans(after),
        **_by_channel(old, before),
        **_thin(hertz_old, power_old),
    )


def _by_channel(microvolts: np.ndarray, recording: Recording) -> dict[str, Any]:
    """Return what is told of each channel as it was recorded."""
    rate = float(recording.axis.rate)
    sections = signal.butter(4, HIGH_PASS_HZ, "highpass", fs=rate, output="sos")
    filtered = signal.sosfiltfilt(sections, microvolts, axis=0).T / MICROVOLTS_PER_VOLT
    deviation = robust_deviation(filtered, rate=rate)
    return {
        "deviations": _rounded(np.where(np.isfinite(deviation), deviation, FLAT_DEVIATION)),
        "flat_shares": _rounded(flat_share(microvolts, rate=rate)),
        "clipped_shares": _rounded(clipped_share(microvolts)),
    }


def _thin(hertz: np.ndarray, power: np.ndarray) -> dict[str, Any]:
    frequencies, thin = thinned(hertz, power)
    return {
        "channel_frequencies": _rounded(frequencies),
        "channel_psd": tuple(_rounded(column, digits=1) for column in decibels(thin).T),
    }


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


def _reason(name: str, before: Recording, after: Recording) -> str:
    """Say who marked a channel and, where the step told it, why."""
    if name in before.bads:
        return IN_THE_FILE
    for step in after.provenance.steps:
        if name in step.parameters.get("marked_bad", ()):
            return str(step.parameters.get("reasons", {}).get(name, f"by {step.name}"))
    return "marked after cleaning"


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


def _spans(recording: Recording) -> tuple[tuple[float, float], ...]:
    origin = recording.axis.t0
    return tuple(
        (round(float(start - origin), 3), round(float(stop - origin), 3)) for start, stop in recording.bad_spans
    )


def _welch(values: np.ndarray, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Return Hz, and uV^2/Hz with shape ``(n_frequencies, n_channels)``."""
    window = round(WINDOW_SECONDS * recording.axis.rate)
    if len(values) < window:
        raise ValueProblem(
            f"{recording.label} is too short for a spectrum",
            got=f"{float(recording.axis.duration):g} s",
            fix=f"give at least {WINDOW_SECONDS} s",
        )
    hertz, power = signal.welch(values, float(recording.axis.rate), nperseg=window, axis=0)
    return hertz, power


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _rounded(values: np.ndarray, *, digits: int = 4) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
