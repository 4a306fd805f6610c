"""How does a signal get onto another clock? Band-limited interpolation at exact times.

Each output sample is a Kaiser-windowed sinc around its exact time, low-passed below the
slower of the two Nyquist rates. Unlike a polyphase resampler it honours both origins: an
encoder whose first frame is centred at 12.47 ms keeps those 12.47 ms.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from scipy import sparse

from brainalign.core.arrays import require_shape
from brainalign.core.errors import GridMismatch
from brainalign.core.time import TimeAxis

HALF_WIDTH_CYCLES = 32
KAISER_BETA = 8.6
ROLL_OFF = Fraction(9, 10)


def interpolation_matrix(source: TimeAxis, target: TimeAxis) -> sparse.csr_array:
    """Return the weights that carry a signal from one axis to the other.

    Parameters
    ----------
    source, target
        The clocks; every target time must lie within the source's span (half a step of
        either clock is forgiven).

    Returns
    -------
    scipy.sparse.csr_array
        Shape ``(target.n, source.n)``, float64. Rows sum to one, so a constant stays one
        (also at the edges, where the kernel is cut).

    Notes
    -----
    Pass band (0.1 % ripple) up to 0.8 times the slower Nyquist rate, stop band (-80 dB)
    from the slower Nyquist rate.
    """
    _require_inside(source, target)
    cutoff = min(source.rate, target.rate) / 2 * ROLL_OFF
    half = HALF_WIDTH_CYCLES / (2 * cutoff)
    reach = ceil(half * source.rate)
    position = [(target.time(i) - source.t0) * source.rate for i in range(target.n)]
    centre = np.array([p.numerator // p.denominator for p in position], dtype=np.int64)
    fraction = np.array([float(p - p.numerator // p.denominator) for p in position])
    columns = centre[:, None] + np.arange(-reach, reach + 2)
    distance = (columns - centre[:, None] - fraction[:, None]) / float(source.rate)
    weights = _kernel(distance, cutoff=float(cutoff), half=float(half))
    weights[(columns < 0) | (columns >= source.n)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(target.n), columns.shape[1])
    kept = weights.ravel() != 0
    entries = (weights.ravel()[kept], (rows[kept], columns.ravel()[kept]))
    return sparse.csr_array(entries, shape=(target.n, source.n))


def _kernel(distance: np.ndarray, *, cutoff: float, half: float) -> np.ndarray:
    inside = np.clip(1 - (distance / half) ** 2, 0, None)
    window = np.i0(KAISER_BETA * np.sqrt(inside)) * (inside > 0)
    return np.sinc(2 * cutoff * distance) * window


def _require_inside(source: TimeAxis, target: TimeAxis) -> None:
    slack = max(source.step, target.step) / 2
    early = target.t0 < source.t0 - slack
    late = target.n and target.time(target.n - 1) > source.time(source.n - 1) + slack
    if early or late:
        raise GridMismatch(
            "the wanted times reach outside the signal",
            got=f"signal: {source}; wanted: {target}",
            fix="shorten the target axis with TimeAxis.part, or check the onset",
        )


def resample(values: np.ndarray, source: TimeAxis, target: TimeAxis) -> np.ndarray:
    """Bring a signal from its axis onto another one, without aliasing.

    Parameters
    ----------
    values
        Shape ``(source.n, n_columns)``.
    source, target
        The clocks.

    Returns
    -------
    numpy.ndarray
        Shape ``(target.n, n_columns)``, in the dtype of ``values``.
    """
    require_shape(values.shape, (source.n, *values.shape[1:]), name="values", axes="samples of the source axis, columns")
    if source == target:
        return np.array(values)
    return (interpolation_matrix(source, target) @ values).astype(values.dtype, copy=False)
