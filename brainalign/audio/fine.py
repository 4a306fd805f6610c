"""On which clock is an acoustic baseline computed? A fine one, a whole number of samples per hop.

About 400 hops per second for what is averaged over milliseconds, and whatever a detector needs
for its own. From there everything is band-limited onto the clock that is asked for.
"""

from __future__ import annotations

import numpy as np

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis, nearest

FINE_RATE = 400
LOWEST_HZ = 80.0
HIGHEST_HZ = 7600.0
NYQUIST_SHARE = 0.95
"""The highest band ends here at the latest, as a share of half the sound's rate."""

EXPONENT = 0.6
"""What an amplitude is raised to by the power law; a power is raised to half of it."""

QUIETEST = 2.0**-15
"""The amplitude that counts as one under the logarithm: one step of a 16-bit file."""

COMPRESSIONS = ("power", "log", "linear")
"""How magnitudes are compressed: ``a ** 0.6``, ``ln(1 + a / 2 ** -15)``, or not at all."""


def hop_of(stimulus: Stimulus, *, rate: int = FINE_RATE) -> int:
    """Return the whole number of samples per hop that comes nearest to a rate, at least one."""
    return max(1, nearest(stimulus.axis.rate / rate))


def fine_axis(stimulus: Stimulus, *, rate: int = FINE_RATE) -> TimeAxis:
    """Return the clock the baselines are computed on: a whole number of samples per hop."""
    hop = hop_of(stimulus, rate=rate)
    return TimeAxis(stimulus.axis.rate / hop, (stimulus.axis.n - 1) // hop + 1, stimulus.axis.t0)


def highest_of(rate: float, *, low: float = LOWEST_HZ, high: float = HIGHEST_HZ) -> float:
    """Return where the highest band ends in Hz: at ``high``, or at 95 % of half the sound's rate."""
    top = min(high, NYQUIST_SHARE * rate / 2)
    if not 0 < low < top:
        raise ValueProblem(
            "there is no room for frequency bands",
            got=f"{low:g} to {top:g} Hz in a sound of {rate:g} Hz",
            fix="start lower, end higher, or take a sound of a higher rate",
        )
    return top


def compress(values: np.ndarray, compression: str, *, power: bool = False) -> np.ndarray:
    """Compress magnitudes as an ear does; zero stays zero.

    Parameters
    ----------
    values
        Amplitudes (or powers), 0 or more, full scale being 1.
    compression
        One of `COMPRESSIONS`.
    power
        Whether the values are powers: they are raised to half the exponent, and compared
        with the square of the quietest amplitude.
    """
    order = 2 if power else 1
    if compression == "power":
        return values ** (EXPONENT / order)
    if compression == "log":
        return np.log1p(values / QUIETEST**order)
    if compression == "linear":
        return values
    raise unknown_name(compression, among=COMPRESSIONS, kind="compression")


def rises(values: np.ndarray, axis: TimeAxis) -> np.ndarray:
    """Keep the rises: the half-wave rectified derivative of every column, per second.

    A central difference, so that a rise is stamped with its own time and not half a hop later.
    """
    padded = np.pad(values, ((1, 1), (0, 0)), mode="edge")
    return np.maximum((padded[2:] - padded[:-2]) * float(axis.rate / 2), 0)
