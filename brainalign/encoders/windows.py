"""How does a sound too long for one pass go through an encoder? In overlapping windows on one grid.

Windows begin at whole frames, all have the same length (the last one is moved back rather
than shortened), and at every seam the frames nearest to the cut are thrown away on both
sides, so the kept frames are exactly those of one pass: same number, same times.

Their values are *approximately* those of one pass, and for no transformer exactly: attention
sees its window only. Models with "layer" norm in their convolutions differ by no more than
that. Base models ("group" norm over time, e.g. hubert-base) differ in every frame, because
their first convolution is normalised by the statistics of whatever window it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from brainalign.core.errors import ValueProblem
from brainalign.encoders.frames import FrameClock

LEAST_SEAM_SECONDS = 2.0


@dataclass(frozen=True)
class Windowing:
    """When to cut a long sound, and how much context to keep at a seam.

    Parameters
    ----------
    max_seconds
        Longest sound that runs in one pass, and the length of a window.
    seam_seconds
        Context thrown away on each side of a seam, at least 2 s (positional convolutions
        alone reach 1.3 s).
    """

    max_seconds: float = 120.0
    seam_seconds: float = 4.0

    def __post_init__(self) -> None:
        if self.seam_seconds < LEAST_SEAM_SECONDS:
            raise ValueProblem(
                f"a seam needs at least {LEAST_SEAM_SECONDS:g} s of context on each side",
                got=f"seam_seconds={self.seam_seconds}",
                fix=f"use seam_seconds={LEAST_SEAM_SECONDS:g} or more",
            )
        if self.max_seconds < 3 * self.seam_seconds:
            raise ValueProblem(
                "windows must be at least three seams long",
                got=f"max_seconds={self.max_seconds}, seam_seconds={self.seam_seconds}",
                fix="use longer windows or shorter seams",
            )


@dataclass(frozen=True)
class Window:
    """One piece of a sound, in frames of the whole: what is run, and what is kept of it.

    Parameters
    ----------
    start, stop
        Frames that are computed: ``start`` to ``stop - 1``.
    keep_start, keep_stop
        Frames that are kept of them.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int

    def samples(self, clock: FrameClock, n_samples: int) -> slice:
        """Return the samples to run: just enough for the frames, and all that are left for the last."""
        last = self.stop == clock.n_frames(n_samples)
        begin = self.start * clock.stride
        return slice(begin, n_samples if last else begin + clock.n_samples(self.stop - self.start))

    @property
    def kept(self) -> slice:
        """Which of the window's own frames are kept."""
        return slice(self.keep_start - self.start, self.keep_stop - self.start)


def plan_windows(n_samples: int, clock: FrameClock, *, windowing: Windowing) -> tuple[Window, ...]:
    """Cut a sound into windows whose kept frames tile it exactly.

    Parameters
    ----------
    n_samples
        Length of the sound.
    clock
        The encoder's clock.
    windowing
        Lengths of windows and seams.

    Returns
    -------
    tuple of Window
        In order; one window over everything if the sound is short enough.
    """
    n_frames = clock.n_frames(n_samples)
    length = int(windowing.max_seconds * clock.rate)
    # Rounded up: a seam is never shorter than was asked for.
    seam = -int(-windowing.seam_seconds * clock.rate // 1)
    if n_frames <= length:
        return (Window(0, n_frames, 0, n_frames),)
    windows: list[Window] = []
    kept = 0
    while kept < n_frames:
        start = min(max(0, kept - seam), n_frames - length)
        stop = start + length
        keep_stop = n_frames if stop == n_frames else stop - seam
        windows.append(Window(start, stop, kept, keep_stop))
        kept = keep_stop
    return tuple(windows)
