"""What does CLAP's audio tower hear, and when? A mel spectrogram of ten seconds, stretched, folded and halved.

The tower is a Swin transformer, made for square pictures. Its log-mel spectrogram of 1,001
frames is stretched to 1,024 columns (bicubic, corner on corner: column ``c`` lies at frame ``c *
1000 / 1023``), cut into four quarters of 2.5 s that are laid one above the other, and divided
into patches of 4 x 4; each stage after the first has half as many patches on each side. So
time runs along the picture and then down it, and frame ``m`` of stage ``s`` holds the columns ``w
m`` to ``w m + w - 1``, where ``w = 4 * 2**s``: its centre lies at column ``w m + (w - 1) / 2``,
exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.time import exact
from brainalign.encoders.centred import CentredMel
from brainalign.encoders.frames import FrameClock
from brainalign.encoders.inputs import Statistics

POWER_FLOOR = 1e-10
# Cubic interpolation takes two frames on each side.
REACH_OF_CUBIC = 2
LEAST_SECONDS = 6
# A model that fuses takes a summary of the sound and three pieces.
FUSED = 4
# What the extractor is told about long sounds also says which of its two filterbanks it uses.
FILTERS: Mapping[str, str] = MappingProxyType({"rand_trunc": "slaney", "fusion": "htk"})


@dataclass(frozen=True)
class FoldedMel:
    """A log-mel spectrogram of a fixed length, to be folded by the model, on the clock of one of its stages.

    Parameters
    ----------
    sample_rate
        Rate of the waveform, in Hz.
    mel
        The spectrogram.
    n_samples
        Samples in one pass; shorter sounds are followed by digital silence.
    side, patch
        Pixels of the square picture, and of a square patch.
    n_stages
        How many stages the model has.
    stage
        Which stage's frames, counted from 0.
    fuses
        Whether the model also takes three pieces of a longer sound, which are never given: every pass is a whole sound
        to it.
    """

    sample_rate: Fraction
    mel: CentredMel
    n_samples: int
    side: int
    patch: int
    n_stages: int
    stage: int = 0
    fuses: bool = False
    adapts: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = (
        *("sampling_rate", "feature_size", "fft_window_size", "hop_length", "max_length_s"),
        *("frequency_min", "frequency_max", "truncation"),
    )

    @classmethod
    def build(cls, config: Any, settings: Mapping[str, Any]) -> FoldedMel:
        """Read the picture off the config and the spectrogram off the preprocessor's settings; they must agree."""
        _check_picture(config)
        rate, seconds, hop = (int(settings[name]) for name in ("sampling_rate", "max_length_s", "hop_length"))
        n_frames = rate * seconds // hop + 1
        columns = config.spec_size**2 // config.num_mel_bins
        agree = settings["feature_size"] == config.num_mel_bins and settings["truncation"] in FILTERS
        if not agree or n_frames > columns or rate * seconds % hop or seconds < LEAST_SECONDS:
            raise ValueProblem(
                "the preprocessor's settings do not belong to this model",
                got=f"{settings['feature_size']} bands x {n_frames} frames, {seconds} s, {settings['truncation']!r}; "
                f"the model takes {config.num_mel_bins} x {columns} at most",
                fix="take config.json and preprocessor_config.json from the same model",
            )
        mel = CentredMel(
            n_mels=int(config.num_mel_bins),
            fft=int(settings["fft_window_size"]),
            hop=hop,
            low=float(settings["frequency_min"]),
            high=float(settings["frequency_max"]),
            filters=FILTERS[settings["truncation"]],
        )
        return cls(
            exact(rate),
            mel,
            rate * seconds,
            config.spec_size,
            _one(config.patch_size),
            n_stages=len(config.depths),
            fuses=bool(config.enable_fusion),
        )

    @property
    def n_parts(self) -> int:
        """Pieces of time that are laid one above the other."""
        return self.side // self.mel.n_mels

    @property
    def samples_per_column(self) -> Fraction:
        """Samples between columns of the picture."""
        return Fraction(self.n_samples, self.n_parts * self.side - 1)

    @property
    def columns(self) -> int:
        """Columns of the picture in one frame."""
        return self.patch * 2**self.stage

    @property
    def clock(self) -> FrameClock:
        """When the stage's frames happen; ``span`` is the most that any frame sees, half a sample of rounding included.

        Windows begin at whole samples and frames do not, so a frame may be up to half a sample early or late.
        """
        step = self.samples_per_column
        first = (self.columns - 1) * step / 2
        lead = REACH_OF_CUBIC * self.mel.hop + self.mel.fft // 2
        span = 2 * lead + ceil((self.columns - 1) * step) + 1
        return FrameClock(
            self.sample_rate / (self.columns * step), first / self.sample_rate, span, self.columns * step, lead
        )

    @property
    def ticks(self) -> tuple[FrameClock, int]:
        """What windows are counted in, and how many of this stage's frames one holds.

        A tick is as long as a frame of the last stage. There are as many as hold a frame of the first.
        """
        first = replace(self, stage=0).clock
        steps = 2 ** (self.n_stages - 1)
        slow = replace(first, rate=first.rate / steps, stride=first.stride * steps)
        return slow, steps >> self.stage

    @property
    def n_most(self) -> int:
        """Frames that one pass holds."""
        return self.n_parts * self.side // self.columns

    @property
    def n_bands(self) -> int:
        """Patches of one frame, above one another."""
        return self.mel.n_mels // self.columns

    def statistics(self, waveform: np.ndarray) -> Statistics | None:
        """Return None: the model has learnt a scale for every band."""
        return None

    def given(self, samples: np.ndarray, statistics: Statistics | None) -> np.ndarray:
        """Return the levels, shape ``(1, n_frames, n_mels)``, or where the model fuses four times the same."""
        padded = np.zeros(self.n_samples)
        heard = samples[: self.n_samples]
        padded[: heard.size] = heard
        power = self.mel.power(padded, sample_rate=self.sample_rate)
        levels = (10 * np.log10(np.maximum(power, POWER_FLOOR))).astype(np.float32)
        return np.repeat(levels[None], FUSED if self.fuses else 1, axis=0)

    def describe(self) -> dict[str, Any]:
        """Return the name and size of the spectrogram."""
        return {"input": "folded mel", "n_mels": self.mel.n_mels, "filters": self.mel.filters}


def _check_picture(config: Any) -> None:
    """Refuse pictures that do not fold and halve without a remainder: there a patch would belong to two times."""
    if config.patch_embed_input_channels != 1 or (config.enable_fusion and config.fusion_type == "channel_map"):
        raise ValueProblem(
            "this CLAP model's patches are made of several spectrograms at once",
            got=f"fusion_type {config.fusion_type!r}, {config.patch_embed_input_channels} channels",
            fix="use a model whose patches are made of one",
        )
    patch, side, n_mels = _one(config.patch_size), config.spec_size, config.num_mel_bins
    smallest = patch * 2 ** (len(config.depths) - 1)
    if patch != _one(config.patch_stride) or side % n_mels or n_mels % smallest:
        raise ValueProblem(
            "this CLAP model's frames have no time of their own: its patches overlap, or do not fit the folded picture",
            got=f"{side} x {side} pixels of {n_mels} bands, patches of {config.patch_size} every "
            f"{config.patch_stride}, {len(config.depths)} stages",
            fix="use a model whose bands are a multiple of the last stage's patches",
        )


def _one(size: Any) -> int:
    """Read the side of a square, given once or twice."""
    sides = {size} if isinstance(size, int) else set(size)
    # Nothing that is not square fits any other number.
    return int(sides.pop()) if len(sides) == 1 else -1
