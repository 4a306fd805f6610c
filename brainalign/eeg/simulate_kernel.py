"""How does a brain answer one frame of a feature? A kernel in continuous time.

A drive's frames have exact times, the EEG's
samples have exact times, and the kernel is evaluated at their differences: nothing is
rounded to a sample on the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.time import Number, TimeAxis, exact

UNDERSHOOT_STRETCH = 1.5


@dataclass(frozen=True)
class ResponseKernel:
    """A peak and, if wanted, a later and broader lobe of the other sign.

    Both lobes are squared cosines that touch and do not overlap, so that the peak is
    exactly 1 and exactly at the latency, and the kernel has an end.

    Parameters
    ----------
    latency
        When the main peak stands, in seconds after the frame's centre.
    width
        The main lobe's full width at half maximum, in seconds; at most the latency, so
        that nothing answers before it is heard.
    undershoot
        Size of the later lobe relative to the peak, from 0 to less than 1.
    """

    latency: float
    width: float
    undershoot: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.width <= self.latency:
            raise ValueProblem(
                "a kernel's width must be positive and at most its latency",
                got=f"width {self.width} s, latency {self.latency} s",
                fix="narrow the lobe or let it peak later",
            )
        if not 0 <= self.undershoot < 1:
            raise ValueProblem(
                "an undershoot must be smaller than the peak", got=self.undershoot, fix="give a share from 0 to below 1"
            )

    @property
    def end(self) -> float:
        """When the answer is over, in seconds."""
        return self.latency + self.width * (1 + (2 * UNDERSHOOT_STRETCH if self.undershoot else 0))

    def __call__(self, times: np.ndarray) -> np.ndarray:
        """Evaluate the kernel at times in seconds (any shape)."""
        stretched = self.width * UNDERSHOOT_STRETCH
        late = self.latency + self.width + stretched
        main = _lobe((np.asarray(times, dtype=float) - self.latency) / self.width)
        return main - self.undershoot * _lobe((np.asarray(times, dtype=float) - late) / stretched)


def _lobe(position: np.ndarray) -> np.ndarray:
    """Evaluate a squared cosine that is 1 at 0 and ends at -1 and 1."""
    return np.cos(np.pi / 2 * np.clip(position, -1, 1)) ** 2


def respond(
    drive: np.ndarray, kernel: ResponseKernel, *, frames: TimeAxis, onset: Number, clock: TimeAxis
) -> np.ndarray:
    """Compute the answer to a drive on the recording's clock: ``sum_i drive_i kernel(t - onset - t_i)``.

    Parameters
    ----------
    drive
        One value per frame, shape ``(frames.n,)``.
    kernel
        The answer to one frame of value 1.
    frames
        Frame centres in stimulus time, in seconds.
    onset
        When stimulus time 0 was heard, in seconds of the recording.
    clock
        The recording's samples.

    Returns
    -------
    numpy.ndarray
        Shape ``(clock.n,)``; what would fall outside the recording is dropped.
    """
    values = np.asarray(drive, dtype=float)
    active = np.flatnonzero(values)
    first, wait = _next_samples(active, frames=frames.moved(exact(onset)), clock=clock)
    steps = np.arange(math.ceil(kernel.end * float(clock.rate)) + 1)
    answers = kernel((wait[:, None] + steps) / float(clock.rate)) * values[active, None]
    samples = first[:, None] + steps
    kept = (samples >= 0) & (samples < clock.n)
    return np.bincount(samples[kept], weights=answers[kept], minlength=clock.n)


def _next_samples(active: np.ndarray, *, frames: TimeAxis, clock: TimeAxis) -> tuple[np.ndarray, np.ndarray]:
    """Find each frame's next sample and the wait until then in samples (exactly, in integers)."""
    start, pace = (frames.t0 - clock.t0) * clock.rate, clock.rate / frames.rate
    base = math.lcm(start.denominator, pace.denominator)
    origin, stride = int(start * base), int(pace * base)
    places = [origin + stride * int(i) for i in active]
    first = np.array([-(-place // base) for place in places], dtype=np.int64)
    return first, np.array([(-place % base) / base for place in places], dtype=float)
