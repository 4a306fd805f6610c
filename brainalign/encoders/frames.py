"""When does a frame of an encoder happen? Strides and kernels make an exact clock.

The rate and the first centre follow from the convolutions, never from frames divided by
duration: HuBERT's frame ``i`` sees samples ``320 i`` to ``320 i + 399`` at 16 kHz, so it is
centred at ``20 i + 12.47`` ms, and its number of frames is not 50 per second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

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
        Samples between frames.
    """

    rate: Fraction
    first_centre: Fraction
    span: int
    stride: int

    def n_frames(self, n_samples: int) -> int:
        """Return how many whole frames fit into a sound of ``n_samples`` samples."""
        return max(0, (n_samples - self.span) // self.stride + 1)

    def n_samples(self, n_frames: int) -> int:
        """Return the fewest samples that hold ``n_frames`` frames."""
        return (n_frames - 1) * self.stride + self.span if n_frames else 0

    def axis(self, n_samples: int) -> TimeAxis:
        """Return the frame centres of a sound of ``n_samples`` samples that begins at time 0."""
        return TimeAxis(self.rate, self.n_frames(n_samples), self.first_centre)


def clock_of_convolutions(kernels: Sequence[int], strides: Sequence[int], sample_rate: Number) -> FrameClock:
    """Derive the clock of a stack of unpadded convolutions.

    ``span = 1 + sum_k (kernel_k - 1) * prod_{j<k} stride_j``, ``stride = prod_k stride_k``,
    and a frame is stamped with the middle of its span, ``(span - 1) / 2`` samples in.

    Parameters
    ----------
    kernels, strides
        One number per convolution, first to last.
    sample_rate
        Rate of the waveform, in Hz.

    Examples
    --------
    >>> clock = clock_of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 16000)
    >>> clock.span, clock.stride, clock.n_frames(160_000), float(clock.first_centre)
    (400, 320, 499, 0.01246875)
    """
    if len(kernels) != len(strides) or not len(kernels):
        raise ShapeMismatch(
            "every convolution needs one kernel and one stride",
            got=f"{len(kernels)} kernels, {len(strides)} strides",
            fix="check conv_kernel and conv_stride in the model's config",
        )
    if min(*kernels, *strides) < 1:
        raise ValueProblem("kernels and strides must be positive", got=(*kernels, *strides), fix="check the config")
    span, stride = 1, 1
    for kernel, step in zip(kernels, strides, strict=True):
        span += (kernel - 1) * stride
        stride *= step
    rate = exact(sample_rate)
    return FrameClock(rate / stride, Fraction(span - 1, 2) / rate, span, stride)
