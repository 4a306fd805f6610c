"""In which unit, from which zero, and how often is the EEG told? Scaling, detrending, another sampling rate."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.eeg.filters import EEG_AND_EOG
from brainalign.eeg.guards import good_samples, pick_names, require_eeg

METHODS = ("fft", "polyphase")


@dataclass(frozen=True)
class RobustScale:
    """Bring each EEG channel to zero median and unit inter-quartile range, over the whole recording.

    Values are pure numbers from here on, no longer volts. Quartiles are linear interpolations
    between samples (NumPy's default).
    """

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a scaled copy."""
        names = require_eeg(raw)
        values = raw.get_data(picks=names)
        quarter, half, three_quarters = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
        spread = three_quarters - quarter
        if not np.all(spread > 0):
            raise ValueProblem(
                "a channel has no inter-quartile range",
                got=f"{names[int(np.argmin(spread))]} is constant for half of the time or more",
                fix="mark it bad and interpolate it, or cut the silent part of the recording",
            )
        scaled = raw.copy()
        rows = [raw.ch_names.index(name) for name in names]
        scaled._data[rows] = (values - half[:, None]) / spread[:, None]
        return scaled


@dataclass(frozen=True)
class Detrend:
    """Subtract a slow polynomial from each EEG and EOG channel, fitted outside bad stretches.

    Parameters
    ----------
    order
        0 is the mean, 1 a line. A high-pass filter does more, and rings where a polynomial does not.
    """

    order: int = 1

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a copy without the trend."""
        good = good_samples(raw)
        if self.order < 0 or np.count_nonzero(good) <= self.order:
            raise ValueProblem(
                "a trend needs an order of 0 or more and more good samples than that",
                got=f"order {self.order}, {np.count_nonzero(good)} good samples",
                fix="use order=1",
            )
        basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, raw.n_times), self.order)
        straight = raw.copy().load_data(verbose="error")
        rows = [raw.ch_names.index(name) for name in pick_names(raw, EEG_AND_EOG)]
        values = straight._data[rows]
        weights = np.linalg.lstsq(basis[good], values[:, good].T, rcond=None)[0]
        straight._data[rows] = values - (basis @ weights).T
        return straight


@dataclass(frozen=True)
class Resample:
    """Bring the recording to another sampling rate with MNE, before anything is aligned.

    Aligning (`brainalign.align`) resamples exactly and by itself; this step is for repeating what others did.

    Parameters
    ----------
    rate
        Samples per second.
    method
        ``"fft"`` (MNE's default: the recording closed to a ring) or ``"polyphase"``.
    """

    rate: float = 128.0
    method: str = "fft"

    def __call__(self, raw: mne.io.BaseRaw) -> mne.io.BaseRaw:
        """Return a resampled copy."""
        if self.method not in METHODS:
            raise unknown_name(self.method, among=METHODS, kind="way to resample")
        if self.rate <= 0:
            raise ValueProblem("a rate must be positive", got=f"{self.rate} Hz", fix="give samples per second")
        return raw.copy().resample(self.rate, method=self.method, verbose="error")
