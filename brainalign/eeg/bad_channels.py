"""Which sensors did not record the brain? Too loud, too quiet, or like none of their neighbours.

Two robust looks: a channel's typical power among all channels, from the median over
one-second windows (so that blinks do not condemn the forehead), and its correlation with
the most similar of the sensors around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import UnknownName, unknown_name
from brainalign.eeg.guards import note, require_eeg, require_long_enough

N_NEIGHBOURS = 6
# Healthy caps differ in log variance by about this much (standard deviation); without a floor
# a very even cap would condemn a channel for being 30 % louder than the rest.
USUAL_SPREAD = 0.25
MAD_TO_SD = 1.4826
FLAT_VOLTS = 1e-9
FLAT = "flat"


@dataclass(frozen=True)
class BadChannels:
    """Mark bad EEG channels; those already marked stay marked.

    Looks at a copy above 1 Hz, so that harmless slow drifts do not count, and must stand
    before any reference to the average, which would spread a bad channel over all others.

    Parameters
    ----------
    methods
        Any of ``"deviation"`` (robust z of the channel's log variance among all channels)
        and ``"correlation"`` (no likeness to any neighbour).
    threshold
        Largest robust z, in either direction; flat channels always count.
    min_correlation
        Smallest correlation with the most similar of the nearest sensors.
    """

    methods: tuple[str, ...] = ("deviation", "correlation")
    threshold: float = 5.0
    min_correlation: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(self.methods))
        for method in self.methods:
            if method not in DETECTORS:
                raise unknown_name(method, among=DETECTORS, kind="way of finding bad channels")

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy with the bad channels named in its info."""
        names = require_eeg(raw)
        require_long_enough(raw, transition=1.0, step="BadChannels")
        high_passed = raw.copy().pick(names).filter(1.0, None, l_trans_bandwidth=1.0, picks=names, verbose="error")
        limits = Limits(self.threshold, self.min_correlation)
        places = np.array([channel["loc"][:3] for channel in high_passed.info["chs"]])
        values, rate = high_passed.get_data(), high_passed.info["sfreq"]
        flags = {way: DETECTORS[way](values, rate=rate, places=places, limits=limits) for way in self.methods}
        found = {names[i] for flag in flags.values() for i in np.flatnonzero(flag)}
        marked = raw.copy()
        marked.info["bads"] = [name for name in raw.ch_names if name in found.union(raw.info["bads"])]
        if found:
            note(marked, reasons=_reasons(names, flags, values=values, rate=rate, places=places))
        return marked


@dataclass(frozen=True)
class MarkBad:
    """Mark channels that somebody found bad; those already marked stay marked.

    Parameters
    ----------
    names
        Of the channels; each must be in the recording.
    """

    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy with these channels marked."""
        missing = sorted(set(self.names) - set(raw.ch_names))
        if missing:
            raise UnknownName(
                "a bad channel is not in the recording", got=", ".join(missing), fix=f"use {raw.ch_names[:6]}..."
            )
        marked = raw.copy()
        marked.info["bads"] = [name for name in raw.ch_names if name in {*self.names, *raw.info["bads"]}]
        return marked


@dataclass(frozen=True)
class Limits:
    """The largest robust z and the smallest correlation that a good channel may have."""

    threshold: float
    min_correlation: float


def too_loud_or_quiet(values: np.ndarray, *, rate: float, places: np.ndarray, limits: Limits) -> np.ndarray:
    """Flag channels by the robust z of their log variance, shape ``(n_channels,)``, bool.

    Parameters
    ----------
    values
        Volts above 1 Hz, shape ``(n_channels, n_samples)``.
    rate
        Samples per second.
    places
        Sensor positions, shape ``(n_channels, 3)``; not needed here.
    limits
        The largest robust z.
    """
    deviation = robust_deviation(values, rate=rate)
    return np.asarray(~np.isfinite(deviation) | (np.abs(deviation) > limits.threshold))


def robust_deviation(values: np.ndarray, *, rate: float) -> np.ndarray:
    """Return the robust z of each channel's log variance among all, shape ``(n_channels,)``; minus infinity if flat.

    Parameters
    ----------
    values
        Volts above 1 Hz, shape ``(n_channels, n_samples)``.
    rate
        Samples per second.
    """
    window = max(1, round(rate))
    n_windows = max(1, values.shape[1] // window)
    windows = values[:, : n_windows * window].reshape(len(values), n_windows, -1)
    power = np.median(windows.var(axis=2), axis=1)
    flat = power < FLAT_VOLTS**2
    if flat.all():
        return np.full(len(values), -np.inf)
    log_power = np.log(np.maximum(power, FLAT_VOLTS**2))
    middle = np.median(log_power[~flat])
    spread = max(USUAL_SPREAD, MAD_TO_SD * float(np.median(np.abs(log_power[~flat] - middle))))
    return np.where(flat, -np.inf, (log_power - middle) / spread)


def unlike_neighbours(values: np.ndarray, *, rate: float, places: np.ndarray, limits: Limits) -> np.ndarray:
    """Flag channels that resemble none of their nearest sensors, shape ``(n_channels,)``, bool.

    Parameters
    ----------
    values
        Volts above 1 Hz, shape ``(n_channels, n_samples)``.
    rate
        Samples per second; not needed here.
    places
        Sensor positions, shape ``(n_channels, 3)``; a channel without one is compared with all.
    limits
        The smallest correlation with the most similar neighbour.
    """
    return best_likeness(values, places=places) < limits.min_correlation


def best_likeness(values: np.ndarray, *, places: np.ndarray) -> np.ndarray:
    """Return each channel's correlation with its most similar neighbour, shape ``(n_channels,)``; 1 among fewer than 3.

    Parameters
    ----------
    values
        Volts above 1 Hz, shape ``(n_channels, n_samples)``.
    places
        Sensor positions, shape ``(n_channels, 3)``; a channel without one is compared with all.
    """
    if len(values) < 3:
        return np.ones(len(values))
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    likeness = np.abs(centred @ centred.T) / np.maximum(length * length.T, np.finfo(float).tiny)
    np.fill_diagonal(likeness, 0.0)
    return np.asarray(np.where(_neighbours(places), likeness, 0.0).max(axis=1))


def _neighbours(places: np.ndarray) -> np.ndarray:
    """Tell which channels are compared with which, shape ``(n_channels, n_channels)``, bool."""
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    ranks = np.argsort(np.argsort(distance, axis=1), axis=1)
    unplaced = ~np.isfinite(places).all(axis=1)
    return (ranks < N_NEIGHBOURS) | unplaced[:, None]


def _reasons(
    names: list[str], flags: Mapping[str, np.ndarray], *, values: np.ndarray, rate: float, places: np.ndarray
) -> dict[str, str]:
    """Say of each channel that was found what gave it away, in words."""
    deviation, likeness = robust_deviation(values, rate=rate), best_likeness(values, places=places)
    told: dict[str, str] = {}
    for i, name in enumerate(names):
        why = [TOLD[way](float(deviation[i]), float(likeness[i])) for way, flag in flags.items() if flag[i]]
        if why:
            # Of a flat channel there is nothing else to say.
            told[name] = FLAT if FLAT in why else "; ".join(why)
    return told


def _told_deviation(deviation: float, likeness: float) -> str:
    if not np.isfinite(deviation):
        return FLAT
    return f"too {'loud' if deviation > 0 else 'quiet'} (robust z {deviation:+.1f})"


def _told_likeness(deviation: float, likeness: float) -> str:
    return f"unlike its neighbours (r {likeness:.2f})"


TOLD: Mapping[str, Callable[[float, float], str]] = {"deviation": _told_deviation, "correlation": _told_likeness}

Detector = Callable[..., np.ndarray]
DETECTORS: Mapping[str, Detector] = {"deviation": too_loud_or_quiet, "correlation": unlike_neighbours}
