"""What had a model heard when a moment came? Windows that end where a frame's own samples end.

In one pass every frame of a transformer hears the whole sound, its future included. Here each
frame is computed in a window of its own, from the frame's past alone, so that nothing that
comes later can change it: not through attention, not through positional convolutions, not
through any normalisation. The price is one pass per frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.time import TimeAxis, exact
from brainalign.encoders.frames import FrameClock
from brainalign.encoders.windows import Window


@dataclass(frozen=True)
class Causal:
    """Give every frame its past, and nothing else.

    A frame is the last one of its window. The window ends with the last sample that the
    frame's own front end sees (for a wav2vec2 frame 12.5 ms after its centre, for a Whisper
    frame 32.5 ms) and is ``context_seconds`` long or, near the sound's beginning, as long as
    there is sound: nothing is put in front of it.

    Parameters
    ----------
    context_seconds
        Most sound that a frame hears, its own samples included.
    stride_frames
        Compute every how-manieth frame, beginning with the first. The trajectory's rate is the
        encoder's divided by this; nothing is averaged.
    n_at_once
        Windows in one batch. Batches of full windows always have this size, so that a frame's
        bits do not depend on how much sound follows.
    statistics
        Mean and scale to normalise with, for encoders that normalise over the utterance:
        either from other sounds (``encoder.inputs.statistics(waveform)``) or None for each
        window's own, which a frame may know, as it lies in its past.
    """

    context_seconds: float
    stride_frames: int = 1
    n_at_once: int = 8
    statistics: tuple[Any, Any] | None = None

    def __post_init__(self) -> None:
        if min(self.stride_frames, self.n_at_once) < 1 or self.context_seconds <= 0:
            raise ValueProblem(
                "a causal context needs some seconds, and whole numbers of frames and windows",
                got=f"context_seconds={self.context_seconds}, stride_frames={self.stride_frames}, "
                f"n_at_once={self.n_at_once}",
                fix="use for example Causal(8.0, stride_frames=1, n_at_once=8)",
            )

    def check(self, clock: FrameClock, *, n_most: int | None) -> None:
        """Refuse a context that holds no frame, or more than one pass can take."""
        if self._n_frames(clock) < 1:
            raise ValueProblem(
                "a causal context must hold at least one frame",
                got=f"{self.context_seconds} s",
                fix=f"use at least {float(clock.reach(0) / (clock.rate * clock.stride)):.4f} s",
            )
        if n_most is not None and exact(self.context_seconds) * clock.rate > n_most:
            raise ValueProblem(
                "a causal context must fit into one pass of this model",
                got=f"{self.context_seconds} s",
                fix=f"use at most {float(n_most / clock.rate):g} s",
            )

    def batches(self, n_samples: int, clock: FrameClock) -> Iterator[tuple[Window, ...]]:
        """Yield one window per frame: growing ones alone, full ones in batches of ``n_at_once``."""
        most = self._n_frames(clock)
        frames = range(0, clock.n_frames(n_samples), self.stride_frames)
        growing = [frame for frame in frames if frame + 1 < most]
        for frame in growing:
            yield (_window(frame, most),)
        full = frames[len(growing) :]
        for i in range(0, len(full), self.n_at_once):
            batch = [_window(frame, most) for frame in full[i : i + self.n_at_once]]
            # What fills up the last batch keeps nothing.
            last = batch[-1]
            filler = Window(last.start, last.stop, last.stop, last.stop, strict=True)
            yield (*batch, *[filler] * (self.n_at_once - len(batch)))

    def axis(self, n_samples: int, clock: FrameClock) -> TimeAxis:
        """Return the centres of the frames that are computed."""
        n = -(-clock.n_frames(n_samples) // self.stride_frames)
        return TimeAxis(clock.rate / self.stride_frames, n, clock.first_centre)

    def describe(self, *, n_windows: int) -> dict[str, Any]:
        """Return what provenance records (JSON values)."""
        given = None if self.statistics is None else [np.asarray(item).tolist() for item in self.statistics]
        return {
            "windows": n_windows,
            "causal_seconds": self.context_seconds,
            "stride_frames": self.stride_frames,
            "statistics": given or "each window's own",
        }

    def _n_frames(self, clock: FrameClock) -> int:
        """Frames of a full window: as many as have all their samples within the context."""
        n_samples = exact(self.context_seconds) * clock.rate * clock.stride
        return int((n_samples - clock.reach(0)) // clock.stride + 1)


def _window(frame: int, most: int) -> Window:
    return Window(max(0, frame + 1 - most), frame + 1, frame, frame + 1, strict=True)


def look_ahead(clock: FrameClock) -> Fraction:
    """Return how long after its own centre a frame's window ends, in seconds: what its front end needs to hear."""
    return clock.reach(0) / (clock.rate * clock.stride) - clock.first_centre
