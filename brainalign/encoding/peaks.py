"""When does a response function peak, and how high? The extremum between lags, not just at one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.time import Lags

Polarity = Literal["either", "positive", "negative"]
POLARITIES = ("either", "positive", "negative")


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of many response functions.

    Attributes
    ----------
    latency
        Seconds.
    amplitude
        Value of the response there, with its sign.
    found
        Whether there was a peak; if not, the rest is of the edge (or the lag) at which the response is largest.
    """

    latency: np.ndarray
    amplitude: np.ndarray
    found: np.ndarray


def find_peaks(
    responses: np.ndarray, lags: Lags, *, window: tuple[float, float] | None = None, polarity: Polarity = "either"
) -> Peaks:
    """Return the largest peak of each response function, refined by a parabola through it and its neighbours.

    A peak rises on one side and falls on the other. The first and last of all lags are no
    peaks: there a model gathers what lies beyond its window.

    Parameters
    ----------
    responses
        Shape ``(..., n_lags)``.
    lags
        The lag window.
    window
        First and last lag in seconds at which a peak may stand; anywhere if not given.
    polarity
        Peaks upward, downward, or of the absolute response.
    """
    if polarity not in POLARITIES:
        raise unknown_name(polarity, among=POLARITIES, kind="polarity")
    responses = np.asarray(responses, dtype=float)
    if responses.shape[-1] != lags.n:
        raise ShapeMismatch("a response function needs a value per lag", got=responses.shape, fix=f"give {lags.n} lags")
    size = {"either": np.abs(responses), "positive": responses, "negative": -responses}[polarity]
    allowed = _allowed(lags, window)
    inside = np.zeros(size.shape, dtype=bool)
    middle = size[..., 1:-1]
    inside[..., 1:-1] = (middle >= size[..., :-2]) & (middle >= size[..., 2:]) & (middle > 0)
    inside &= allowed
    found = np.asarray(inside.any(axis=-1))
    at = np.where(inside | (allowed & ~found[..., None]), size, -np.inf).argmax(axis=-1)
    before, peak, after = (_at(responses, np.clip(at + step, 0, lags.n - 1)) for step in (-1, 0, 1))
    bend, upward = before - 2 * peak + after, _at(size, at) == peak
    rounded = found & np.where(upward, bend < 0, bend > 0)
    shift = np.divide(0.5 * (before - after), bend, out=np.zeros_like(bend), where=rounded)
    return Peaks(lags.seconds[at] + shift / float(lags.rate), peak - 0.25 * (before - after) * shift, found)


def _at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.asarray(np.take_along_axis(values, index[..., None], axis=-1)[..., 0])


def _allowed(lags: Lags, window: tuple[float, float] | None) -> np.ndarray:
    low, high = (-np.inf, np.inf) if window is None else window
    # Half a thousandth of a step forgives a window's ends their rounding.
    slack = 5e-4 / float(lags.rate)
    allowed = (lags.seconds >= low - slack) & (lags.seconds <= high + slack)
    if not allowed.any():
        raise ValueProblem(
            "a window for peaks must hold lags of the model",
            got=f"{low} to {high} s of {lags.seconds[0]} to {lags.seconds[-1]} s",
            fix="give seconds inside the lag window",
        )
    return allowed


def peak_latency(response: np.ndarray, lags: Lags) -> float:
    """Return the latency of the largest peak of the absolute response, in seconds, refined by a parabola.

    Only a response without any peak inside gives the edge at which it is largest.

    Parameters
    ----------
    response
        Shape ``(n_lags,)``.
    lags
        The lag window.

    Examples
    --------
    >>> lags = Lags(0, 4, 50)
    >>> round(peak_latency(np.array([0.0, 1.0, 3.0, 3.0, 1.0]), lags), 4)
    0.05
    """
    return float(find_peaks(response, lags).latency)
