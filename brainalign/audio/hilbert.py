"""How loud is the sound as a whole? Its Hilbert envelope, by one filter of finite length."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from brainalign.audio.bank import ComplexFilters, band_magnitudes
from brainalign.audio.fine import FINE_RATE, LOWEST_HZ, highest_of
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis, nearest

HALF_SECONDS = Fraction(25, 1000)
KAISER_BETA = 8.0


@dataclass(frozen=True)
class HilbertBand:
    """The analytic signal of everything between 80 Hz and 7.6 kHz: call it with a sound for its amplitude.

    The filter is 50 ms long and symmetric: no delay, and -6 dB at the borders of the band, so
    that an offset or a rumble of the recording is no loudness.
    """

    def filters(self, rate: float) -> ComplexFilters:
        """Return the filter for a sound of this rate; gain one for a tone within the band."""
        low, high = LOWEST_HZ, highest_of(rate)
        half = nearest(Fraction(rate) * HALF_SECONDS)
        samples = np.arange(-half, half + 1)
        # The integral of exp(2j * pi * f * t) over the band, twice as a cosine is half of one.
        carrier = np.exp(1j * np.pi * (low + high) * samples / rate)
        ideal = 2 * (high - low) / rate * np.sinc((high - low) * samples / rate) * carrier
        return ComplexFilters((ideal * np.kaiser(samples.size, KAISER_BETA))[None], -half)

    def __call__(self, stimulus: Stimulus) -> tuple[np.ndarray, TimeAxis]:
        """Return the mean amplitude over 10 ms, float32 ``(n, 1)``, and its clock."""
        return band_magnitudes(stimulus, self.filters(float(stimulus.axis.rate)), rate=FINE_RATE)
