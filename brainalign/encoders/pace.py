"""How fast does an encoder go? Sound done, how many times real time, and how long it will take yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

Progress = Callable[[int, int], None]
"""Told of frames done and of all frames: once at the beginning, then after each batch of windows."""


@dataclass
class Pace:
    """Puts frames done into words; a progress callback of `HuggingEncoder.encode_sites` and `encode_to`.

    What a run finds done already does not count as fast.

    Attributes
    ----------
    rate
        Frames per second of sound (``encoder.clock.rate``).
    say
        Told of every change if given: ``"12.0 of 60.0 min of sound, 8.1 times real time, 6 min left"`` for example.
    now
        Seconds of a clock.
    """

    rate: Fraction
    say: Callable[[str], object] | None = None
    now: Callable[[], float] = time.monotonic
    _first: tuple[int, float] | None = field(default=None, init=False)

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the run is."""
        told = self.told(done, total)
        if self.say is not None:
            self.say(told)

    def told(self, done: int, total: int) -> str:
        """Return how far the run is, in words."""
        if self._first is None:
            self._first = done, self.now()
        start, begun = self._first
        far = f"{_minutes(done / self.rate)} of {_minutes(total / self.rate)} min of sound"
        seconds = self.now() - begun
        if done == start or seconds <= 0:
            return far
        factor = float((done - start) / self.rate) / seconds
        told = f"{far}, {factor:.3g} times real time"
        left = float((total - done) / self.rate) / factor
        return f"{told}, {_long(left)} left" if done < total else told


def _minutes(seconds: Fraction) -> str:
    return f"{float(seconds) / 60:.1f}"


def _long(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
