"""How loud is it in every band, and when? Mel spectrograms whose windows are centred, in double precision.

Frame ``j`` is centred on sample ``hop * j``; at the ends, where a window would leave the
sound, the sound is reflected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from transformers.audio_utils import mel_filter_bank

FILTERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"slaney": {"norm": "slaney", "mel_scale": "slaney"}, "htk": {"norm": None, "mel_scale": "htk"}}
)


@dataclass(frozen=True)
class CentredMel:
    """A mel spectrogram with centred Hann windows.

    Parameters
    ----------
    n_mels
        Number of bands.
    fft, hop
        Samples of a window, and between windows.
    low, high
        Lowest and highest frequency, in Hz.
    filters
        ``"slaney"``: triangles of one area on Slaney's scale; ``"htk"``: triangles of one height on HTK's.
    """

    n_mels: int
    fft: int
    hop: int
    low: float
    high: float
    filters: str = "slaney"

    def power(self, samples: np.ndarray, *, sample_rate: Fraction) -> np.ndarray:
        """Return the power of some samples, shape ``(n_samples // hop + 1, n_mels)``, float64.

        Parameters
        ----------
        samples
            Shape ``(n_samples,)``, more than half a window of them.
        sample_rate
            Their rate, in Hz.
        """
        bank = mel_filter_bank(
            num_frequency_bins=self.fft // 2 + 1,
            num_mel_filters=self.n_mels,
            min_frequency=self.low,
            max_frequency=self.high,
            sampling_rate=int(sample_rate),
            **FILTERS[self.filters],
        )
        padded = np.pad(samples.astype(np.float64), self.fft // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.fft)[:: self.hop]
        periodic_hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.fft) / self.fft)
        power: np.ndarray = np.abs(np.fft.rfft(frames * periodic_hann, axis=1)) ** 2 @ bank
        return power
