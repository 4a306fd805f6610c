"""How much power lies in each mel band? Short windows, triangular filters, and how they are spaced."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from brainalign.audio.fine import LOWEST_HZ, fine_axis, highest_of, hop_of
from brainalign.core.errors import ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis, nearest

WINDOW_SECONDS = Fraction(25, 1000)
MOST_BANDS = 64
_FRAMES_AT_ONCE = 8192


@dataclass(frozen=True)
class MelBank:
    """A mel filterbank: call it with a sound to get the bands' powers.

    Parameters
    ----------
    n_bands
        How many bands from 80 Hz to 7.6 kHz (or 95 % of half the sound's rate), 1 to 64.
    """

    n_bands: int

    def __post_init__(self) -> None:
        if not 1 <= self.n_bands <= MOST_BANDS:
            raise ValueProblem(
                "mel bands come in a limited number", got=f"{self.n_bands} bands", fix=f"ask for 1 to {MOST_BANDS}"
            )

    def __call__(self, stimulus: Stimulus) -> tuple[np.ndarray, TimeAxis]:
        """Return the powers, shape ``(n, n_bands)``, and their clock; windows are centred and odd."""
        half = nearest(stimulus.axis.rate * WINDOW_SECONDS / 2)
        width = 2 * half + 1
        window = np.hanning(width + 2)[1:-1].astype(np.float32)
        window /= np.sqrt(np.sum(window**2))
        padded = np.pad(stimulus.waveform, half)
        segments = np.lib.stride_tricks.sliding_window_view(padded, width)[:: hop_of(stimulus)]
        weights = mel_weights(self.n_bands, n_fft=_fft_length(width), rate=float(stimulus.axis.rate))
        pieces = [
            np.abs(np.fft.rfft(segments[i : i + _FRAMES_AT_ONCE] * window, n=_fft_length(width), axis=1)) ** 2 @ weights
            for i in range(0, len(segments), _FRAMES_AT_ONCE)
        ]
        return np.vstack(pieces), fine_axis(stimulus)


def _fft_length(width: int) -> int:
    # Twice the window or more, so that the narrow low bands hold several bins each.
    return 1 << (2 * width - 1).bit_length()


def mel_weights(n_bands: int, *, n_fft: int, rate: float) -> np.ndarray:
    """Return triangular mel filters over FFT bins, each summing to one, shape ``(n_fft // 2 + 1, n_bands)``."""
    corners = _hertz(np.linspace(_mels(LOWEST_HZ), _mels(highest_of(rate)), n_bands + 2))
    bins = np.fft.rfftfreq(n_fft, 1 / rate)[:, None]
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    weights = np.clip(np.minimum(rising, falling), 0, None)
    total = weights.sum(axis=0)
    if not total.all():
        raise ValueProblem(
            "a sound's rate is too low for so many mel bands",
            got=f"{n_bands} bands at {rate:g} Hz",
            fix="ask for fewer bands, or take a sound of a higher rate",
        )
    return weights / total


def _mels(hertz: float) -> float:
    return 2595 * np.log10(1 + hertz / 700)


def _hertz(mels: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mels / 2595) - 1)
