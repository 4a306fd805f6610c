"""What does the cochlea pass on? A gammatone filterbank on the ERB scale, and its envelopes.

Fourth-order gammatone filters with the bandwidths of Glasberg and Moore (1990), as complex
filters whose magnitude is the band's envelope. A gammatone's envelope peaks
``3 / (2 * pi * b)`` seconds after an impulse (14 ms in the lowest band, 0.6 ms in the highest);
every band is advanced by exactly that, so that a click stands at its own time in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from brainalign.audio.bank import ComplexFilters, band_magnitudes
from brainalign.audio.fine import FINE_RATE, HIGHEST_HZ, LOWEST_HZ, compress, highest_of
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory

ORDER = 4
BANDWIDTH = 1.019
"""A fourth-order gammatone has the equivalent rectangular bandwidth if ``b`` is this many ERB."""

FEWEST_FILTERS = 32
MOST_BANDS = 128
ENVELOPES = ("hilbert", "power")
DELAYS = ("compensated", "causal")

# Decay times until a filter's envelope has fallen below a ten-millionth of its peak.
_DECAYS = 26.0


def erb(hertz: float | np.ndarray) -> np.ndarray:
    """Return the equivalent rectangular bandwidth in Hz of the auditory filter at a frequency.

    >>> round(float(erb(1000.0)), 2)
    132.64
    """
    return 24.7 * (4.37 * np.asarray(hertz) / 1000 + 1)


def erb_number(hertz: float | np.ndarray) -> np.ndarray:
    """Return how many ERBs lie below a frequency in Hz (Glasberg and Moore, 1990)."""
    return 21.4 * np.log10(1 + 4.37 * np.asarray(hertz) / 1000)


def hertz_of(number: float | np.ndarray) -> np.ndarray:
    """Return the frequency in Hz below which so many ERBs lie."""
    return (10 ** (np.asarray(number) / 21.4) - 1) * 1000 / 4.37


@dataclass(frozen=True)
class GammatoneBank:
    """A gammatone filterbank: call it with a sound to get every filter's envelope.

    Parameters
    ----------
    n_filters
        How many filters; the range is cut into so many cells of equal width in ERB, and each
        cell's middle is a centre.
    low, high
        The range in Hz; it ends at 95 % of half the sound's rate if that is lower.
    envelope
        ``"hilbert"`` (mean amplitude over 10 ms) or ``"power"`` (mean power over 10 ms).
    delay
        ``"compensated"`` or ``"causal"`` (a filter's envelope peaks late, as in the ear).
    rate
        Values per second, about.
    """

    n_filters: int = FEWEST_FILTERS
    low: float = LOWEST_HZ
    high: float = HIGHEST_HZ
    envelope: Literal["hilbert", "power"] = "hilbert"
    delay: Literal["compensated", "causal"] = "compensated"
    rate: int = FINE_RATE

    def __post_init__(self) -> None:
        if self.n_filters < 1:
            raise ValueProblem("a filterbank needs a filter", got=f"n_filters={self.n_filters}", fix="give 1 or more")
        if self.envelope not in ENVELOPES:
            raise unknown_name(self.envelope, among=ENVELOPES, kind="envelope")
        if self.delay not in DELAYS:
            raise unknown_name(self.delay, among=DELAYS, kind="treatment of delays")

    def edges(self, rate: float) -> np.ndarray:
        """Return the borders of the cells in Hz for a sound of this rate, shape ``(n_filters + 1,)``."""
        top = highest_of(rate, low=self.low, high=self.high)
        return hertz_of(np.linspace(erb_number(self.low), erb_number(top), self.n_filters + 1))

    def centres(self, rate: float) -> np.ndarray:
        """Return the centre frequencies in Hz for a sound of this rate, lowest first."""
        numbers = erb_number(self.edges(rate))
        return hertz_of((numbers[:-1] + numbers[1:]) / 2)

    def filters(self, rate: float) -> ComplexFilters:
        """Return the filters for a sound of this rate; each has gain one for a tone at its centre."""
        centres = self.centres(rate)[:, None]
        decay = 2 * np.pi * BANDWIDTH * erb(centres)
        ahead = delays(centres) if self.delay == "compensated" else np.zeros_like(centres)
        first = -int(np.floor(ahead.max() * rate))
        samples = np.arange(first, int(np.ceil(_DECAYS / decay.min() * rate)) + 1)
        since = np.maximum(samples / rate + ahead, 0)
        carrier = np.exp(2j * np.pi * centres * samples / rate)
        taps = since ** (ORDER - 1) * np.exp(-decay * since) * carrier
        # The response at the centre is brought to 2, as a cosine is half a complex exponential.
        taps *= 2 / np.abs((taps * carrier.conj()).sum(axis=1, keepdims=True))
        return ComplexFilters(taps, first)

    def __call__(self, stimulus: Stimulus) -> tuple[np.ndarray, TimeAxis]:
        """Return every filter's envelope, float32 ``(n, n_filters)``, and its clock."""
        filters = self.filters(float(stimulus.axis.rate))
        return band_magnitudes(stimulus, filters, rate=self.rate, power=self.envelope == "power")


def delays(centres: np.ndarray) -> np.ndarray:
    """Return how many seconds after an impulse the envelopes of the filters at these centres (Hz) peak."""
    return (ORDER - 1) / (2 * np.pi * BANDWIDTH * erb(centres))


def bank_for(n_bands: int) -> GammatoneBank:
    """Return the bank that some bands are averaged from: the fewest filters, 32 or more, that divide evenly."""
    if not 1 <= n_bands <= MOST_BANDS:
        raise ValueProblem(
            "gammatone bands come in a limited number", got=f"{n_bands} bands", fix=f"ask for 1 to {MOST_BANDS}"
        )
    return GammatoneBank(n_filters=n_bands * -(-FEWEST_FILTERS // n_bands))


def in_bands(values: np.ndarray, n_bands: int) -> np.ndarray:
    """Average neighbouring filters into bands, shape ``(n, n_bands)``."""
    return values.reshape(len(values), n_bands, -1).mean(axis=2)


def gammatone(
    stimulus: Stimulus,
    *,
    n_bands: int = 8,
    low: float = LOWEST_HZ,
    high: float = HIGHEST_HZ,
    envelope: Literal["hilbert", "power"] = "hilbert",
    compression: Literal["power", "log", "linear"] = "power",
    delay: Literal["compensated", "causal"] = "compensated",
) -> Trajectory:
    """Compute a gammatone spectrogram on the sound's fine clock (about 400 Hz).

    Parameters
    ----------
    stimulus
        The sound.
    n_bands
        How many bands, 1 to 128; each is the mean over its filters (32 or more in all), which
        are compressed first, as every hair cell compresses for itself.
    low, high
        The range in Hz.
    envelope
        What is averaged over 10 ms: the amplitude (``"hilbert"``) or the ``"power"``.
    compression
        ``"power"`` (amplitude to the 0.6), ``"log"`` (``ln(1 + amplitude / 2 ** -15)``) or
        ``"linear"``.
    delay
        ``"compensated"`` or ``"causal"``.

    Returns
    -------
    Trajectory
        Features named ``"gammatone-8-1"`` and so on, lowest band first. Full scale is 1: a
        tone of amplitude 0.1 in the middle of a filter gives that filter 0.1 before compression.
    """
    bank = replace(bank_for(n_bands), low=low, high=high, envelope=envelope, delay=delay)
    values, axis = bank(stimulus)
    bands = in_bands(compress(values, compression, power=envelope == "power"), n_bands)
    provenance = stimulus.provenance.then(
        "gammatone", n_bands=n_bands, low=low, high=high, envelope=envelope, compression=compression, delay=delay
    )
    return Trajectory(bands, axis, tuple(f"gammatone-{n_bands}-{i + 1}" for i in range(n_bands)), provenance)
