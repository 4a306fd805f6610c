"""What does a model hear? From a waveform to the numbers that go in, each way with its own clock.

A model's input is part of its clock: the same 50 frames per second are centred 12.47 ms after
a multiple of 20 ms for a raw waveform, 17.47 ms for stacked filterbanks, and 0 ms for
Whisper's padded spectrogram. Everything is computed in double and handed over in
single precision; transformers' own extractors agree (see the tests).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.time import exact
from brainalign.encoders.frames import FrameClock, clock_of_convolutions
from brainalign.encoders.spectra import HOP, WINDOW, filterbank, whisper_log_mel

# transformers' own guard against a variance of zero
VARIANCE_FLOOR = 1e-7
BLOCK = 1 << 20

Statistics: TypeAlias = tuple[Any, Any]


class Inputs(Protocol):
    """One way of hearing."""

    @property
    def sample_rate(self) -> Fraction:
        """Rate of the waveforms it takes, in Hz."""
        ...

    @property
    def clock(self) -> FrameClock:
        """When the model's frames happen."""
        ...

    @property
    def n_most(self) -> int | None:
        """Frames that one pass can hold, where the model's input has a fixed length."""
        ...

    @property
    def n_bands(self) -> int:
        """Tokens that share one frame: patches above one another in a spectrogram, otherwise 1."""
        ...

    @property
    def adapts(self) -> bool:
        """Whether sounds are normalised with their own statistics."""
        ...

    def statistics(self, waveform: np.ndarray) -> Statistics | None:
        """Return mean and scale that a sound is normalised with, or None if nothing is learnt from the sound."""
        ...

    def given(self, samples: np.ndarray, statistics: Statistics | None) -> np.ndarray:
        """Return what the model is given for some samples, as float32, without a batch axis."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what provenance records (JSON values)."""
        ...


@dataclass(frozen=True)
class Waveform:
    """The samples themselves, brought to mean 0 and variance 1 if the model was trained so.

    Parameters
    ----------
    sample_rate
        Rate of the waveform, in Hz.
    clock
        When the model's frames happen.
    normalise
        Whether to normalise.
    """

    sample_rate: Fraction
    clock: FrameClock
    normalise: bool
    n_most: ClassVar[int | None] = None
    n_bands: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("sampling_rate", "do_normalize")

    @classmethod
    def build(cls, config: Any, settings: Mapping[str, Any]) -> Waveform:
        """Read the clock off ``conv_kernel`` and ``conv_stride``, and the rest off the preprocessor's settings."""
        rate = exact(int(settings["sampling_rate"]))
        clock = clock_of_convolutions(config.conv_kernel, config.conv_stride, rate)
        return cls(rate, clock, bool(settings["do_normalize"]))

    @property
    def adapts(self) -> bool:
        """Whether the waveform is normalised."""
        return self.normalise

    def statistics(self, waveform: np.ndarray) -> Statistics | None:
        """Return the waveform's mean and standard deviation, if it is to be normalised."""
        if not self.normalise:
            return None
        # Twice through the sound rather than all of it in double precision.
        mean = sum(block.sum() for block in _blocks(waveform)) / waveform.size
        variance = sum(np.square(block - mean).sum() for block in _blocks(waveform)) / waveform.size
        return mean, np.sqrt(variance + VARIANCE_FLOOR)

    def given(self, samples: np.ndarray, statistics: Statistics | None) -> np.ndarray:
        """Return the samples, shape ``(n_samples,)``."""
        if statistics is None:
            return np.array(samples, dtype=np.float32)
        mean, scale = statistics
        return ((samples.astype(np.float64) - mean) / scale).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Return whether the waveform is normalised."""
        return {"normalised": self.normalise}


def _blocks(waveform: np.ndarray) -> Iterator[np.ndarray]:
    """Yield a sound in double precision, in pieces."""
    for start in range(0, waveform.size, BLOCK):
        yield waveform[start : start + BLOCK].astype(np.float64)


class SqueezedWaveform(Waveform):
    """A waveform whose convolutional frames are averaged a few at a time before the blocks see them (SEW)."""

    @classmethod
    def build(cls, config: Any, settings: Mapping[str, Any]) -> SqueezedWaveform:
        """Read the clock off the convolutions and ``squeeze_factor``."""
        rate = exact(int(settings["sampling_rate"]))
        kernels, strides = (*config.conv_kernel, config.squeeze_factor), (*config.conv_stride, config.squeeze_factor)
        return cls(rate, clock_of_convolutions(kernels, strides, rate), bool(settings["do_normalize"]))


@dataclass(frozen=True)
class WhisperMel:
    """Whisper's log-mel spectrogram of a fixed length: shorter sounds are followed by digital silence.

    Everything more than 80 dB below the loudest bin of the window is raised to that level, so a loud moment
    anywhere in a window changes all its quiet ones.

    Parameters
    ----------
    n_mels
        Number of mel bands.
    n_most
        Frames of the encoder in one pass (1,500 for 30 s).
    """

    n_mels: int
    n_most: int
    sample_rate: Fraction = Fraction(16_000)
    # A periodic Hann window of 400 begins with a zero, so 399 samples count, 199 on each side of the centre.
    clock: FrameClock = clock_of_convolutions((WINDOW - 1, 3, 3), (HOP, 1, 2), 16_000, paddings=(WINDOW // 2 - 1, 1, 1))
    n_bands: ClassVar[int] = 1
    adapts: ClassVar[bool] = False
    # Nothing of it was ever varied: the config tells all.
    needs: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def build(cls, config: Any, settings: Mapping[str, Any]) -> WhisperMel:
        """Read the number of bands and frames off the config."""
        return cls(int(config.num_mel_bins), int(config.max_source_positions))

    def statistics(self, waveform: np.ndarray) -> Statistics | None:
        """Return None: what a window is clamped to is found in the window."""
        return None

    def given(self, samples: np.ndarray, statistics: Statistics | None) -> np.ndarray:
        """Return the log-mel spectrogram, shape ``(n_mels, 2 * n_most)``."""
        padded = np.zeros(2 * self.n_most * HOP)
        heard = samples[: padded.size]
        padded[: heard.size] = heard
        return whisper_log_mel(padded, n_mels=self.n_mels).astype(np.float32).T

    def describe(self) -> dict[str, Any]:
        """Return the name and size of the spectrogram."""
        return {"input": "whisper log-mel", "n_mels": self.n_mels}


@dataclass(frozen=True)
class StackedFilterbank:
    """Log filterbanks of a 16-bit waveform, each band normalised over the sound, several frames to one (wav2vec2-BERT).

    Parameters
    ----------
    sample_rate
        Rate of the waveform, in Hz.
    n_mels
        Number of mel bands.
    n_stacked
        Filterbank frames that make one frame.
    """

    sample_rate: Fraction
    n_mels: int
    n_stacked: int
    n_most: ClassVar[int | None] = None
    n_bands: ClassVar[int] = 1
    adapts: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("sampling_rate", "num_mel_bins", "stride")

    @classmethod
    def build(cls, config: Any, settings: Mapping[str, Any]) -> StackedFilterbank:
        """Read all off the preprocessor's settings, and refuse what the model's first layer does not fit."""
        n_mels, n_stacked = int(settings["num_mel_bins"]), int(settings["stride"])
        if n_mels * n_stacked != config.feature_projection_input_dim:
            raise ValueProblem(
                "the preprocessor's settings do not belong to this model",
                got=f"{n_mels} bands x {n_stacked} frames, the model takes {config.feature_projection_input_dim}",
                fix="take config.json and preprocessor_config.json from the same model",
            )
        return cls(exact(int(settings["sampling_rate"])), n_mels, n_stacked)

    @property
    def clock(self) -> FrameClock:
        """When the model's frames happen."""
        return clock_of_convolutions((WINDOW, self.n_stacked), (HOP, self.n_stacked), self.sample_rate)

    def statistics(self, waveform: np.ndarray) -> Statistics | None:
        """Return each band's mean and standard deviation over the sound, shapes ``(n_mels,)``."""
        # Twice through the sound rather than all of it in memory.
        n = (waveform.size - WINDOW) // HOP + 1
        mean = sum(block.sum(axis=0) for block in self._levels(waveform)) / n
        variance = sum(np.square(block - mean).sum(axis=0) for block in self._levels(waveform)) / (n - 1)
        return mean, np.sqrt(variance + VARIANCE_FLOOR)

    def given(self, samples: np.ndarray, statistics: Statistics | None) -> np.ndarray:
        """Return the stacked filterbanks, shape ``(n_frames, n_mels * n_stacked)``."""
        mean, scale = statistics if statistics is not None else (0.0, 1.0)
        levels = np.concatenate([(block - mean) / scale for block in self._levels(samples)])
        n = len(levels) // self.n_stacked
        return levels[: n * self.n_stacked].reshape(n, -1).astype(np.float32)

    def _levels(self, waveform: np.ndarray) -> Iterator[np.ndarray]:
        yield from filterbank(waveform * 2.0**15, n_mels=self.n_mels, sample_rate=self.sample_rate, window="povey")

    def describe(self) -> dict[str, Any]:
        """Return the name and size of the filterbank."""
        return {"input": "stacked filterbank", "n_mels": self.n_mels, "n_stacked": self.n_stacked}


@dataclass(frozen=True)
class PaddedFilterbank:
    """Log filterbanks of a fixed length on a fixed scale, cut into patches by the model (AST).

    Parameters
    ----------
    sample_rate
        Rate of the waveform, in Hz.
    n_mels
        Number of mel bands.
    length
        Filterbank frames in one pass.
    scale
        Mean and standard deviation that all sounds are normalised with; None for none.
    patch, steps
        Side of the square patches, and the steps between them in time and in frequency.
    """

    sample_rate: Fraction
    n_mels: int
    length: int
    scale: tuple[float, float] | None
    patch: int
    steps: tuple[int, int] = field(default=(10, 10))
    adapts: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("sampling_rate", "num_mel_bins", "max_length", "mean", "std", "do_normalize")

    @classmethod
    def build(cls, config: Any, settings: Mapping[str, Any]) -> PaddedFilterbank:
        """Read the patches off the config and the rest off the preprocessor's settings, which must agree."""
        for name in ("num_mel_bins", "max_length"):
            if int(settings[name]) != getattr(config, name):
                raise ValueProblem(
                    "the preprocessor's settings do not belong to this model",
                    got=f"{name}: {settings[name]}, the model takes {getattr(config, name)}",
                    fix="take config.json and preprocessor_config.json from the same model",
                )
        scale = (float(settings["mean"]), float(settings["std"])) if settings["do_normalize"] else None
        rate, steps = exact(int(settings["sampling_rate"])), (config.time_stride, config.frequency_stride)
        return cls(rate, config.num_mel_bins, config.max_length, scale, config.patch_size, steps)

    @property
    def clock(self) -> FrameClock:
        """When the model's frames happen."""
        return clock_of_convolutions((WINDOW, self.patch), (HOP, self.steps[0]), self.sample_rate)

    @property
    def n_most(self) -> int:
        """Frames that one pass holds."""
        return (self.length - self.patch) // self.steps[0] + 1

    @property
    def n_bands(self) -> int:
        """Patches above one another."""
        return (self.n_mels - self.patch) // self.steps[1] + 1

    def statistics(self, waveform: np.ndarray) -> Statistics | None:
        """Return None: the scale is fixed."""
        return None

    def given(self, samples: np.ndarray, statistics: Statistics | None) -> np.ndarray:
        """Return the filterbanks, shape ``(length, n_mels)``; what the sound does not fill is 0 before scaling."""
        heard = samples[: WINDOW + (self.length - 1) * HOP]
        levels = np.zeros((self.length, self.n_mels))
        found = np.concatenate(list(filterbank(heard, n_mels=self.n_mels, sample_rate=self.sample_rate, window="hann")))
        levels[: len(found)] = found
        if self.scale:
            levels = (levels - self.scale[0]) / (2 * self.scale[1])
        return levels.astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Return the name and size of the filterbank."""
        return {"input": "padded filterbank", "n_mels": self.n_mels, "scale": list(self.scale or ())}


INPUTS: Mapping[str, Any] = MappingProxyType(
    {
        "waveform": Waveform,
        "squeezed-waveform": SqueezedWaveform,
        "whisper-mel": WhisperMel,
        "stacked-filterbank": StackedFilterbank,
        "padded-filterbank": PaddedFilterbank,
    }
)
