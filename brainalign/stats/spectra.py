"""How much of what features and response share is slower than a trial can tell? Spectra, before a null is believed.

What decides is not how slow either side is but how slow both are together: over independent
signals, the variance of a cross-covariance is a sum over frequencies of Sx(f) Sy(f). The part of
that sum that takes a trial or longer cannot be judged by surrogates made within trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import fft, signal

from brainalign.core.design import Design

SLOWEST = 2  # frequencies 0 and 1 of a trial: its offset from the other trials, and one cycle
_DOUBTFUL, _REFUSED = 0.3, 0.8
_MOST_FEATURES = 32
_FORGOTTEN = 0.1


@dataclass(frozen=True)
class Drift:
    """How slow a design's signals are, within trials.

    "Slow" is what takes a trial or longer: offsets from trial to trial and up to one cycle per
    trial, as seen through a Hann taper.

    Attributes
    ----------
    common
        Slow share of ``sum Sx(f) Sy(f)``: mean over channels, upper tenth of the features looked at.
    response, features
        Slow share of each side's own power, mean over channels or features.

    Notes
    -----
    Simulated: 8 trials of 20 or 60 s, Gaussian features and responses with power 1/f to 1/f^2, high-passed
    at 0.02 to 0.5 Hz or not; nominal 0.05, circular shifts, 4,300 tests a cell (standard error 0.004).
    ``common`` below 0.3: realised 0.046 to 0.063; 0.3 to 0.8: 0.027 (one side high-passed alone) to
    0.063; above 0.8: 0.056 to 0.141. The jump between a trial's ends, relative to the spread over all
    trials, told nothing: 0.9 to 1.2 throughout.
    """

    common: float
    response: float
    features: float

    @property
    def level(self) -> Literal["good", "doubtful", "refused"]:
        """What the common share means for a null made within trials."""
        return "refused" if self.common > _REFUSED else "doubtful" if self.common > _DOUBTFUL else "good"


def measure_drift(design: Design, *, most_features: int = _MOST_FEATURES) -> Drift:
    """Look at both sides' spectra.

    Parameters
    ----------
    design
        One listener's. Of many features, evenly spaced ones are looked at; only those become dense.
    most_features
        How many at most.
    """
    count = min(most_features, design.n_features)
    chosen = np.unique(np.linspace(0, design.n_features - 1, count).round().astype(int))
    x = _at_rest([trial.x.select(chosen).block(0, len(chosen)) for trial in design.trials], None)
    y = _at_rest([trial.y for trial in design.trials], [trial.mask for trial in design.trials])
    parts = [_powers(one, other) for one, other in zip(x, y, strict=True)]
    common, features, response = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    per_feature = _share(common).mean(axis=-1)
    return Drift(
        common=float(np.quantile(per_feature, 0.9)),
        response=float(_share(response).mean()),
        features=float(_share(features).mean()),
    )


def _at_rest(trials: list[np.ndarray], masks: list[np.ndarray] | None) -> list[np.ndarray]:
    """Return signals less their mean over all trials, 0 at unusable frames."""
    usable = [np.ones((len(x), 1), dtype=bool) for x in trials] if masks is None else [mask[:, None] for mask in masks]
    total = sum(x.sum(axis=0, where=ok, dtype=float) for x, ok in zip(trials, usable, strict=True))
    mean = total / max(1, sum(int(np.count_nonzero(ok)) for ok in usable))
    return [np.where(ok, x - mean, 0.0) for x, ok in zip(trials, usable, strict=True)]


def _powers(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a trial's slow power (row 0) and all of it: in common, of the features, of the response."""
    sx, sy = power(x), power(y)
    common = np.stack([sx[:SLOWEST].T @ sy[:SLOWEST], sx.T @ sy])
    features, response = (np.stack([side[:SLOWEST].sum(axis=0), side.sum(axis=0)]) for side in (sx, sy))
    return common, features, response


def _share(powers: np.ndarray) -> np.ndarray:
    """Return row 0 as a share of row 1; of nothing, 0."""
    return np.divide(powers[0], powers[1], out=np.zeros_like(powers[0]), where=powers[1] > 0)


def power(values: np.ndarray) -> np.ndarray:
    """Return the periodogram of each column under a Hann taper, ``(n_frequencies, n_columns)``, the mean left in.

    Parameters
    ----------
    values
        Shape ``(n_frames, n_columns)``.
    """
    taper = signal.windows.hann(len(values), sym=False)[:, None]
    return np.abs(fft.rfft(values * taper, axis=0)) ** 2


def pooled_memory(design: Design, *, level: float = _FORGOTTEN) -> int:
    """Return after how many frames the response's autocorrelation is below a level for as long as the lag window.

    Pooled over trials, root mean square over channels and over the window, among lags of up to
    a third of the shortest trial: far less noisy than single trials' autocorrelations.

    Parameters
    ----------
    design
        One listener's.
    level
        Autocorrelation regarded as none.
    """
    y = _at_rest([trial.y for trial in design.trials], [trial.mask for trial in design.trials])
    longest = min(len(item) for item in y) // 3
    products = np.sum([_autocovariance(item, longest) for item in y], axis=0)
    pairs = np.sum([len(item) - np.arange(longest) for item in y], axis=0)
    scale = np.where(products[0] > 0, products[0] / pairs[0], np.inf)
    size = np.sqrt(np.square(products / pairs[:, None] / scale).mean(axis=1))
    window = np.lib.stride_tricks.sliding_window_view(size, min(design.lags.n, longest))
    below = np.flatnonzero(np.sqrt(np.square(window).mean(axis=1)) < level)
    return int(below[0]) if len(below) else longest


def _autocovariance(values: np.ndarray, n_lags: int) -> np.ndarray:
    """Return sums of products at each lag, ``(n_lags, n_columns)``."""
    n_fft = fft.next_fast_len(2 * len(values), real=True)
    return fft.irfft(np.abs(fft.rfft(values, n=n_fft, axis=0)) ** 2, n=n_fft, axis=0)[:n_lags]
