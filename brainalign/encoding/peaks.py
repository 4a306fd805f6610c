"""When does a response function peak? The extremum between lags, not just at one."""

from __future__ import annotations

import numpy as np

from brainalign.core.time import Lags


def peak_latency(response: np.ndarray, lags: Lags) -> float:
    """Return the latency of the largest peak of the absolute response, in seconds, refined by a parabola.

    A peak rises on one side and falls on the other. The window's first and last lag are no
    peaks: there a model gathers what lies beyond its window. Only a response without any
    peak inside gives the edge at which it is largest.

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
    size = np.abs(response)
    inside = np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:]) & (size[1:-1] > 0)) + 1
    if not len(inside):
        return float(lags.seconds[int(size.argmax())])
    at = int(inside[size[inside].argmax()])
    before, peak, after = np.sign(response[at]) * response[at - 1 : at + 2].astype(float)
    bend = before - 2 * peak + after
    return float(lags.seconds[at] + (0.5 * (before - after) / bend if bend < 0 else 0.0) / float(lags.rate))
