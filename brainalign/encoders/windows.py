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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import inf, nextafter
from typing import Any, Protocol

from brainalign.core.errors import ValueProblem
from brainalign.core.time import TimeAxis, exact, nearest
from brainalign.encoders.frames import FrameClock

SEAM_SECONDS, LEAST_SEAM_SECONDS = 4.0, 2.0


class Context(Protocol):
    """A way of cutting a sound into what is run: `Windowing`, `OnePass` or `causal.Causal`."""

    def check(self, clock: FrameClock, *, n_most: int | None) -> None:
        """Refuse what a model cannot run."""
        ...

    def batches(self, n_samples: int, clock: FrameClock) -> Iterable[tuple[Window, ...]]:
        """Give the windows in order, those together that are run together."""
        ...

    def axis(self, n_samples: int, clock: FrameClock) -> TimeAxis:
        """Return the times of the frames that are kept."""
        ...

    def describe(self, *, n_windows: int) -> dict[str, Any]:
        """Return what provenance records (JSON values)."""
        ...


@dataclass(frozen=True)
class Window:
    """One piece of a sound, in frames of the whole: what is run, and what is kept of it.

    Parameters
    ----------
    start, stop
        Frames that are computed: ``start`` to ``stop - 1``.
    keep_start, keep_stop
        Frames that are kept of them.
    strict
        Whether samples that the last frame does not see are left out even at the sound's end.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    strict: bool = False

    def samples(self, clock: FrameClock, n_samples: int) -> slice:
        """Return the samples to run: just enough for the frames, and all that are left for the last.

        Where frames lie between samples, the window begins with the sample nearest to its first frame's own.
        """
        last = self.stop == clock.n_frames(n_samples) and not self.strict
        stop = n_samples if last else min(n_samples, clock.reach(self.stop - 1))
        return slice(nearest(Fraction(self.start * clock.stride)), stop)

    @property
    def kept(self) -> slice:
        """Which of the window's own frames are kept."""
        return slice(self.keep_start - self.start, self.keep_stop - self.start)


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
    seam_seconds: float = SEAM_SECONDS

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

    def check(self, clock: FrameClock, *, n_most: int | None) -> None:
        """Refuse windows that are longer than one pass of the model can be."""
        if n_most is not None and int(exact(self.max_seconds) * clock.rate) > n_most:
            raise ValueProblem(
                "a window must fit into one pass of this model",
                got=f"max_seconds={self.max_seconds}",
                fix=f"use Windowing(max_seconds={float(n_most / clock.rate):g}, ...) or less",
            )

    def batches(self, n_samples: int, clock: FrameClock) -> Iterator[tuple[Window, ...]]:
        """Yield the windows of `plan_windows`, one at a time."""
        for window in plan_windows(n_samples, clock, windowing=self):
            yield (window,)

    def axis(self, n_samples: int, clock: FrameClock) -> TimeAxis:
        """Return the centres of all frames."""
        return clock.axis(n_samples)

    def describe(self, *, n_windows: int) -> dict[str, Any]:
        """Return what provenance records (JSON values)."""
        cuts = {"max_seconds": self.max_seconds, "seam_seconds": self.seam_seconds}
        return {"windows": n_windows} | (cuts if n_windows > 1 else {})


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
    length = int(exact(windowing.max_seconds) * clock.rate)
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


@dataclass(frozen=True)
class OnePass:
    """Never cut, because the model's pass is too short to be overlapped.

    Parameters
    ----------
    n_most
        Frames that a pass can hold.
    """

    n_most: int

    def check(self, clock: FrameClock, *, n_most: int | None) -> None:
        """Refuse nothing: a sound that is too long is refused when it comes."""

    def batches(self, n_samples: int, clock: FrameClock) -> Iterator[tuple[Window, ...]]:
        """Yield one window over everything, or refuse a sound that is too long."""
        n_frames = clock.n_frames(n_samples)
        if n_frames > self.n_most:
            raise ValueProblem(
                "a sound is too long for this model, whose pass is too short to be overlapped",
                got=f"{n_frames} frames of at most {self.n_most}",
                fix="cut the sound, or give every frame its past with load_encoder(..., windowing=Causal(...))",
            )
        yield (Window(0, n_frames, 0, n_frames),)

    def axis(self, n_samples: int, clock: FrameClock) -> TimeAxis:
        """Return the centres of all frames."""
        return clock.axis(n_samples)

    def describe(self, *, n_windows: int) -> dict[str, Any]:
        """Return what provenance records (JSON values)."""
        return {"windows": n_windows}


def longest_windowing(clock: FrameClock, *, max_seconds: float, n_most: int | None) -> Windowing | OnePass:
    """Choose windows for a model: ``max_seconds`` long, or as long as its passes can be.

    Parameters
    ----------
    clock
        The encoder's clock.
    max_seconds
        Longest window wanted.
    n_most
        Frames that one pass can hold; None for any number.

    Returns
    -------
    Windowing or OnePass
        With seams of 4 s, or 2 s where passes are short; none at all where a pass is too short to
        hold two such seams, so that a longer sound cannot be cut.
    """
    most = max_seconds if n_most is None else min(max_seconds, _no_less(n_most / clock.rate))
    if n_most is not None and most < 3 * LEAST_SEAM_SECONDS:
        return OnePass(n_most)
    return Windowing(most, SEAM_SECONDS if most >= 3 * SEAM_SECONDS else LEAST_SEAM_SECONDS)


def _no_less(seconds: Fraction) -> float:
    """Return the float nearest to a time, or where that one is too short for it the next."""
    nearby = float(seconds)
    return nearby if exact(nearby) >= seconds else nextafter(nearby, inf)
