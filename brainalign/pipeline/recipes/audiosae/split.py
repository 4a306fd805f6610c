"""Which stretches of the stories choose the lags, and which are tested?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from brainalign.core.errors import ValueProblem
from brainalign.core.time import exact
from brainalign.pipeline.recipes.audiosae.schema import SplitPart

SECONDS_PER_MINUTE = 60


@dataclass(frozen=True)
class Piece:
    """Frames ``start`` to ``stop - 1`` of one story (its number)."""

    story: int
    start: int
    stop: int


def split_pieces(frames: Sequence[int], split: SplitPart, *, rate: Fraction) -> tuple[list[Piece], list[Piece]]:
    """Return the development set and the test set as stretches of stories, in order.

    Counted in minutes, a story may be cut in two; its parts are then trials of their own.

    Parameters
    ----------
    frames
        Length of each story.
    split
        How much goes where.
    rate
        Frames per second.
    """
    if split.by == "stories":
        whole = [Piece(i, 0, n) for i, n in enumerate(frames)]
        first = int(split.development)
        last = len(whole) if split.test is None else first + int(split.test)
        return whole[:first], whole[first:last]
    first, rest = _minutes(split.development, rate), sum(frames)
    last = rest if split.test is None else first + _minutes(split.test, rate)
    if not first < last <= rest:
        raise ValueProblem(
            "there is not enough sound for the split",
            got=f"{float(rest / rate) / SECONDS_PER_MINUTE:.2f} minutes, and {float(last / rate) / 60:.2f} asked for",
            fix="lower split.development or split.test, or leave split.test out",
        )
    return _between(frames, start=0, stop=first), _between(frames, start=first, stop=last)


def minutes(pieces: Sequence[Piece], rate: Fraction) -> float:
    """Return how long stretches are together, in minutes."""
    return float(sum(piece.stop - piece.start for piece in pieces) / rate / SECONDS_PER_MINUTE)


def _minutes(value: float, rate: Fraction) -> int:
    return int(exact(value) * SECONDS_PER_MINUTE * rate)


def _between(frames: Sequence[int], *, start: int, stop: int) -> list[Piece]:
    """Return the stretches that lie between two frames counted through all stories."""
    pieces, before = [], 0
    for i, n in enumerate(frames):
        low, high = max(start - before, 0), min(stop - before, n)
        if low < high:
            pieces.append(Piece(i, low, high))
        before += n
    return pieces
