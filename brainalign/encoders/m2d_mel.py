"""What does an M2D encoder hear, and when? Patches of a log-mel spectrogram on a scale that never changes.

Of the published sizes, patches of 16 frames make 6.25 frames per second, frame ``i`` centred at ``160 i + 75``
ms; patches of 2 frames make 50, centred at ``20 i + 5`` ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from brainalign.encoders.centred import CentredMel
from brainalign.encoders.frames import FrameClock, clock_of_convolutions
from brainalign.encoders.inputs import Statistics

# What the authors add before the logarithm.
POWER_OFFSET = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class M2DMel:
    """A log-mel spectrogram on a fixed scale, cut into patches by the model.

    Parameters
    ----------
    sample_rate
        Rate of the waveform, in Hz.
    mel
        The spectrogram.
    scale
        Mean and standard deviation that all sounds are normalised with.
    patch
        Mel bands and spectrogram frames of a patch.
    n_most
        Patches one after the other in one pass.
    """

    sample_rate: Fraction
    mel: CentredMel
    scale: tuple[float, float]
    patch: tuple[int, int]
    n_most: int
    adapts: ClassVar[bool] = False

    @property
    def clock(self) -> FrameClock:
        """When the model's frames happen."""
        # A periodic Hann window begins with a zero.
        kernels, strides = (self.mel.fft - 1, self.patch[1]), (self.mel.hop, self.patch[1])
        return clock_of_convolutions(kernels, strides, self.sample_rate, paddings=(self.mel.fft // 2 - 1, 0))

    @property
    def n_bands(self) -> int:
        """Patches above one another."""
        return self.mel.n_mels // self.patch[0]

    def statistics(self, waveform: np.ndarray) -> Statistics | None:
        """Return None: the scale is fixed."""
        return None

    def given(self, samples: np.ndarray, statistics: Statistics | None) -> np.ndarray:
        """Return the levels of whole patches, shape ``(1, n_mels, n_frames)``; what the last one lacks is the mean."""
        n_frames = min(self.n_most, self.clock.n_frames(samples.size)) * self.patch[1]
        power = self.mel.power(samples, sample_rate=self.sample_rate)[:n_frames]
        levels = (np.log(power + POWER_OFFSET) - self.scale[0]) / self.scale[1]
        filled = np.zeros((n_frames, self.mel.n_mels))
        filled[: len(levels)] = levels
        return filled.astype(np.float32).T[None]

    def describe(self) -> dict[str, Any]:
        """Return the name, size and scale of the spectrogram."""
        return {"input": "m2d mel", "n_mels": self.mel.n_mels, "scale": list(self.scale)}
