"""When does a frame of an encoder happen? Strides and kernels make an exact clock.

The rate and the first centre follow from the convolutions, never from frames divided by
duration: HuBERT's frame ``i`` sees samples ``320 i`` to ``320 i + 399`` at 16 kHz, so it is
centred at ``20 i + 12.47`` ms, and its number of frames is not 50 per second. Whisper pads
its convolutions, so its frame ``i`` is centred at ``20 i`` ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import Number, TimeAxis, exact


@dataclass(frozen=True)
class FrameClock:
    """The clock of an encoder's frames.

    Parameters
    ----------
    rate
        Frames per second.
    first_centre
        Centre of the first frame's receptive field, in seconds from the first sample.
    span
        Samples one frame sees.
    stride
        Samples between frames; a fraction where a model stretches time.
    lead
        Samples before the sound's first that the first frame sees, filled by padding; 0 where
        nothing is padded.
    """

    rate: Fraction
    first_centre: Fraction
    span: int
    stride: int | Fraction
    lead: int = 0

    @property
    def least(self) -> int:
        """Fewest samples that hold one frame: its whole span, or where there is padding its centre."""
        return (self.span - 1) // 2 - self.lead + 1 if self.lead else self.span

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames a sound of ``n_samples`` samples has: all that lie in it, none that lie in padding."""
        return max(0, int((n_samples - self.least) // self.stride) + 1)

    def n_samples(self, n_frames: int) -> int:
        """Return the fewest samples that hold ``n_frames`` frames."""
        return ceil((n_frames - 1) * self.stride) + self.least if n_frames else 0

    def reach(self, frame: int) -> int:
        """Return how many samples of the sound have to be there for a frame to see all it can."""
        return ceil(frame * self.stride) - self.lead + self.span

    def axis(self, n_samples: int) -> TimeAxis:
        """Return the frame centres of a sound of ``n_samples`` samples that begins at time 0."""
        return TimeAxis(self.rate, self.n_frames(n_samples), self.first_centre)


def clock_of_convolutions(
    kernels: Sequence[int],
    strides: Sequence[int],
    sample_rate: Number,
    *,
    paddings: Sequence[int] | None = None,
) -> FrameClock:
    """Derive the clock of a stack of convolutions.

    ``span = 1 + sum_k (kernel_k - 1) * prod_{j<k} stride_j``, ``stride = prod_k stride_k``,
    ``lead = sum_k padding_k * prod_{j<k} stride_j``, and a frame is stamped with the middle of
    its span, ``(span - 1) / 2 - lead`` samples in.

    Parameters
    ----------
    kernels, strides
        One number per convolution, first to last.
    sample_rate
        Rate of the waveform, in Hz.
    paddings
        What each convolution adds before its input (and after it); nothing if not given.

    Examples
    --------
    >>> clock = clock_of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 16000)
    >>> clock.span, clock.stride, clock.n_frames(160_000), float(clock.first_centre)
    (400, 320, 499, 0.01246875)
    """
    paddings = paddings or (0,) * len(kernels)
    if not len(kernels) == len(strides) == len(paddings) or not len(kernels):
        raise ShapeMismatch(
            "every convolution needs one kernel and one stride",
            got=f"{len(kernels)} kernels, {len(strides)} strides",
            fix="check conv_kernel and conv_stride in the model's config",
        )
    if min(*kernels, *strides) < 1:
        raise ValueProblem("kernels and strides must be positive", got=(*kernels, *strides), fix="check the config")
    span, stride, lead = 1, 1, 0
    for kernel, step, padding in zip(kernels, strides, paddings, strict=True):
        span += (kernel - 1) * stride
        lead += padding * stride
        stride *= step
    rate = exact(sample_rate)
    return FrameClock(rate / stride, (Fraction(span - 1, 2) - lead) / rate, span, stride, lead)
