"""When does a response function peak? The extremum between lags, not just at one."""

from __future__ import annotations

import numpy as np

from brainalign.core.time import Lags


def peak_latency(response: np.ndarray, lags: Lags) -> float:
    """Return the latency of the largest absolute value, in seconds, refined by a parabola.

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
    at = int(np.abs(response).argmax())
    step = 1 / float(lags.rate)
    if not 0 < at < lags.n - 1:
        return float(lags.seconds[at])
    before, peak, after = np.sign(response[at]) * response[at - 1 : at + 2].astype(float)
    bend = before - 2 * peak + after
    return float(lags.seconds[at] + (0.5 * (before - after) / bend if bend < 0 else 0.0) * step)
