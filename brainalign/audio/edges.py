"""Where does a sound begin to rise? The auditory edge detector, band by band.

The model of Fishbach, Nelken and Yeshurun (2001), in the form Brodbeck et al. (2020) use and
Eelbrain offers: each band drives ten neurons whose membranes answer slower and slower (alpha
functions of 3 to 5 ms) and saturate; a receptive field across these delays, the derivative
of a Gaussian, answers to what the quick ones know already and the slow ones do not.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import lfilter

from brainalign.core.arrays import require_finite, require_shape
from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.time import TimeAxis

N_DELAYS = 10
FASTEST_SECONDS, SLOWEST_SECONDS = 0.003, 0.005
FIELD_WIDTH = 2.0
"""Standard deviation of the receptive field, in neurons."""

SATURATION = 30.0
"""Brodbeck et al.'s constant, for magnitudes compressed as ``ln(1 + amplitude / 2 ** -15)``."""

EDGE_RATE = 1000
"""Values per second that the baselines detect edges at; membranes of 3 ms need about as many."""

EDGE_DELAY = Fraction(784, 100_000)
"""How long after an abrupt rise its edge peaks, in seconds (without saturation)."""

_LOWEST_RATE = 500


def edge_detector(
    values: np.ndarray, axis: TimeAxis, *, saturation: float | None = SATURATION, offsets: bool = False
) -> np.ndarray:
    """Detect the rises (or falls) of every band.

    Parameters
    ----------
    values
        Magnitudes, usually log-compressed, 0 or more, shape ``(n, n_bands)``.
    axis
        Their clock, 500 Hz or more.
    saturation
        The response of a membrane to ``s`` is ``tanh(s / (2 * saturation))``; None leaves it as it is.
    offsets
        Detect falls instead of rises.

    Returns
    -------
    numpy.ndarray
        Edges, 0 or more, shape ``(n, n_bands)``. A rise peaks `EDGE_DELAY` after it happened:
        this is the model's own delay, which ``axis.moved(-EDGE_DELAY)`` takes back.

    Notes
    -----
    Before its beginning a band is taken to have been at its first value, so that beginning
    alone is no edge. Every membrane has unit gain for a constant: a steady band has no edges.
    """
    _check(values, axis, saturation)
    field = _receptive_field() * (-1 if offsets else 1)
    rest = values[:1]
    total = np.zeros(values.shape)
    for seconds, weight in zip(np.linspace(FASTEST_SECONDS, SLOWEST_SECONDS, N_DELAYS), field, strict=True):
        potential = rest + _membrane(values - rest, seconds=float(seconds), rate=float(axis.rate))
        total += weight * (potential if saturation is None else np.tanh(potential / (2 * saturation)))
    return np.maximum(total, 0)


def _check(values: np.ndarray, axis: TimeAxis, saturation: float | None) -> None:
    require_shape(values.shape, (axis.n, *values.shape[1:2]), name="values", axes="samples of the axis, bands")
    require_finite(values, name="magnitudes", fix="compute them from a finite sound")
    if axis.rate < _LOWEST_RATE:
        raise GridMismatch(
            "edges cannot be seen on so slow a clock",
            got=f"{float(axis.rate):g} Hz",
            fix=f"compute the bands at {_LOWEST_RATE} Hz or more, best {EDGE_RATE} Hz",
        )
    if saturation is not None and not saturation > 0:
        raise ValueProblem(
            "saturation must be positive", got=f"saturation={saturation}", fix="give 30, or None for no saturation"
        )


def _receptive_field() -> np.ndarray:
    """Return the weights of the neurons, quickest first: minus a Gaussian's derivative, peak 1 before it."""
    place = np.arange(N_DELAYS) - (N_DELAYS - 1) / 2
    return -place / FIELD_WIDTH**2 * np.exp(-(place**2) / (2 * FIELD_WIDTH**2))


def _membrane(values: np.ndarray, *, seconds: float, rate: float) -> np.ndarray:
    """Filter by an alpha function, ``t / seconds ** 2 * exp(-t / seconds)``, sampled, with unit sum."""
    pole = np.exp(-1 / (seconds * rate))
    return lfilter([0.0, (1 - pole) ** 2], [1.0, -2 * pole, pole**2], values, axis=0)
