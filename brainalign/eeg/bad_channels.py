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
from brainalign.eeg.guards import require_eeg, require_long_enough

N_NEIGHBOURS = 6
# Healthy caps differ in log variance by about this much (standard deviation); without a floor
# a very even cap would condemn a channel for being 30 % louder than the rest.
USUAL_SPREAD = 0.25
MAD_TO_SD = 1.4826
FLAT_VOLTS = 1e-9


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
        flags = np.zeros(len(names), dtype=bool)
        limits = Limits(self.threshold, self.min_correlation)
        places = np.array([channel["loc"][:3] for channel in high_passed.info["chs"]])
        for method in self.methods:
            flags |= DETECTORS[method](
                high_passed.get_data(), rate=high_passed.info["sfreq"], places=places, limits=limits
            )
        found = {name for name, flag in zip(names, flags, strict=True) if flag}
        marked = raw.copy()
        marked.info["bads"] = [name for name in raw.ch_names if name in found.union(raw.info["bads"])]
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
    window = max(1, round(rate))
    n_windows = max(1, values.shape[1] // window)
    windows = values[:, : n_windows * window].reshape(len(values), n_windows, -1)
    power = np.median(windows.var(axis=2), axis=1)
    flat = power < FLAT_VOLTS**2
    if flat.all():
        return flat
    log_power = np.log(np.maximum(power, FLAT_VOLTS**2))
    middle = np.median(log_power[~flat])
    spread = max(USUAL_SPREAD, MAD_TO_SD * float(np.median(np.abs(log_power[~flat] - middle))))
    return flat | (np.abs(log_power - middle) > limits.threshold * spread)


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
    if len(values) < 3:
        return np.zeros(len(values), dtype=bool)
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    likeness = np.abs(centred @ centred.T) / np.maximum(length * length.T, np.finfo(float).tiny)
    np.fill_diagonal(likeness, 0.0)
    best = np.where(_neighbours(places), likeness, 0.0).max(axis=1)
    return best < limits.min_correlation


def _neighbours(places: np.ndarray) -> np.ndarray:
    """Tell which channels are compared with which, shape ``(n_channels, n_channels)``, bool."""
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    ranks = np.argsort(np.argsort(distance, axis=1), axis=1)
    unplaced = ~np.isfinite(places).all(axis=1)
    return (ranks < N_NEIGHBOURS) | unplaced[:, None]


Detector = Callable[..., np.ndarray]
DETECTORS: Mapping[str, Detector] = {"deviation": too_loud_or_quiet, "correlation": unlike_neighbours}
