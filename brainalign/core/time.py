"""When did each sample happen? Exact clocks (`TimeAxis`) and lag windows (`Lags`).

Rates and origins are fractions, because floating-point time labels lose samples without
a word: joining ``arange(1000) / 100`` with ``arange(1000) * 0.01`` on equal labels keeps
871 of 1,000. Two axes are equal, or the operation refuses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from brainalign.core.errors import GridMismatch, ValueProblem

Number = int | float | str | Fraction


def exact(value: Number) -> Fraction:
    """Read a number as the fraction its writer meant.

    A float becomes the decimal it prints as, so that 0.1 means one tenth and not
    3602879701896397 / 36028797018963968.

    >>> exact(0.1), exact("16000/320"), exact(50)
    (Fraction(1, 10), Fraction(50, 1), Fraction(50, 1))
    """
    if isinstance(value, (Fraction, int)):
        return Fraction(value)
    try:
        return Fraction(repr(float(value)) if isinstance(value, float) else str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueProblem(
            "a time or rate must be a finite number", got=repr(value), fix="give a number such as 0.1 or '16000/320'"
        ) from None


def nearest(value: Fraction) -> int:
    """Round to the nearest integer, halves up: the one rounding rule of the package.

    Halves go up everywhere (not to even), so that shifting a signal by whole samples
    never changes which sample a time falls on.

    >>> [nearest(Fraction(n, 2)) for n in (-3, -1, 1, 3)]
    [-1, 0, 1, 2]
    """
    return math.floor(value + Fraction(1, 2))


def _whole(value: int, *, name: str) -> int:
    """Read a whole number as Python's own integer (NumPy's would overflow inside a fraction)."""
    if int(value) != value:
        raise ValueProblem(
            f"{name} must be whole", got=repr(value), fix="round it first, with brainalign.core.time.nearest"
        )
    return int(value)


@dataclass(frozen=True)
class TimeAxis:
    """An exact clock: sample ``i`` happened at ``t0 + i / rate``.

    Parameters
    ----------
    rate
        Samples per second.
    n
        Number of samples.
    t0
        Time of sample 0, in seconds. For frames of an encoder this is the centre of the
        first frame's receptive field, not zero.

    Examples
    --------
    >>> axis = TimeAxis(rate=50, n=3, t0="0.0125")
    >>> axis.time(2), axis.index(0.0325)
    (Fraction(21, 400), 1)
    """

    rate: Fraction
    n: int
    t0: Fraction = Fraction(0)

    def __init__(self, rate: Number, n: int, t0: Number = 0) -> None:
        object.__setattr__(self, "rate", exact(rate))
        object.__setattr__(self, "n", _whole(n, name="a number of samples"))
        object.__setattr__(self, "t0", exact(t0))
        if self.rate <= 0:
            raise ValueProblem("a rate must be positive", got=f"{self.rate} Hz", fix="give samples per second")
        if self.n < 0:
            raise ValueProblem("a signal cannot have fewer than 0 samples", got=self.n, fix="give n >= 0")

    @property
    def step(self) -> Fraction:
        """Time between samples, in seconds."""
        return 1 / self.rate

    @property
    def duration(self) -> Fraction:
        """``n / rate``, in seconds: from the first sample to one step after the last."""
        return self.n / self.rate

    @property
    def times(self) -> np.ndarray:
        """Labels for people: the sample times in seconds as float64, shape ``(n,)``."""
        return float(self.t0) + np.arange(self.n) / float(self.rate)

    def time(self, index: int) -> Fraction:
        """Return the exact time of a sample, in seconds."""
        return self.t0 + _whole(index, name="a sample number") / self.rate

    def index(self, time: Number) -> int:
        """Return the sample nearest to a time in seconds (it may lie outside the signal)."""
        return nearest((exact(time) - self.t0) * self.rate)

    def part(self, start: int, stop: int) -> TimeAxis:
        """Return the axis of samples ``start`` to ``stop - 1``."""
        if not 0 <= start <= stop <= self.n:
            raise ValueProblem(
                "a part must lie inside its signal", got=f"samples {start} to {stop} of {self.n}", fix="clip the range"
            )
        return TimeAxis(self.rate, stop - start, self.time(start))

    def moved(self, by: Number) -> TimeAxis:
        """Return the same clock, moved by some seconds."""
        return TimeAxis(self.rate, self.n, self.t0 + exact(by))

    def to_json(self) -> dict[str, Any]:
        """Return the axis as JSON values, exactly."""
        return {"rate": str(self.rate), "n": self.n, "t0": str(self.t0)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TimeAxis:
        """Read back what `to_json` wrote."""
        return cls(values["rate"], values["n"], values["t0"])

    def __str__(self) -> str:
        return f"{self.n} samples at {float(self.rate):g} Hz from {float(self.t0):.6g} s"


def require_same_axis(one: TimeAxis, other: TimeAxis, *, names: tuple[str, str]) -> None:
    """Refuse two signals that are not on one clock, saying which function joins them."""
    if one != other:
        raise GridMismatch(
            f"{names[0]} and {names[1]} are not on one time axis",
            got=f"{names[0]}: {one}; {names[1]}: {other}",
            fix="bring one onto the other's axis with brainalign.core.resample.resample(values, source, target)",
        )


@dataclass(frozen=True)
class Lags:
    """A window of lags in whole samples; a positive lag means the stimulus came earlier.

    Parameters
    ----------
    first, last
        Lags in samples, both included.
    rate
        Samples per second.

    Examples
    --------
    >>> lags = Lags.from_seconds(-0.1, 0.4, rate=50)
    >>> lags.first, lags.last, lags.n
    (-5, 20, 26)
    """

    first: int
    last: int
    rate: Fraction

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", exact(self.rate))
        object.__setattr__(self, "first", _whole(self.first, name="a lag in samples"))
        object.__setattr__(self, "last", _whole(self.last, name="a lag in samples"))
        if self.rate <= 0:
            raise ValueProblem("a rate must be positive", got=f"{self.rate} Hz", fix="give samples per second")
        if self.last < self.first:
            raise ValueProblem(
                "a lag window must end after it begins", got=f"{self.first} to {self.last} samples", fix="swap them"
            )

    @classmethod
    def from_seconds(
        cls, start: Number, stop: Number, *, rate: Number, rounding: Literal["nearest", "outward"] = "nearest"
    ) -> Lags:
        """Turn a window in seconds into samples.

        ``"nearest"`` is the package's rounding rule (MNE's too, up to exact halves);
        ``"outward"`` takes the floor of the start and the ceiling of the end (the mTRF
        toolboxes').

        >>> [Lags.from_seconds(-0.1, 0.4, rate=64, rounding=way).n for way in ("nearest", "outward")]
        [33, 34]
        """
        low, high = exact(start) * exact(rate), exact(stop) * exact(rate)
        if rounding == "outward":
            return cls(math.floor(low), math.ceil(high), exact(rate))
        return cls(nearest(low), nearest(high), exact(rate))

    @property
    def n(self) -> int:
        """Number of lags."""
        return self.last - self.first + 1

    @property
    def samples(self) -> np.ndarray:
        """The lags in samples, shape ``(n,)``."""
        return np.arange(self.first, self.last + 1)

    @property
    def seconds(self) -> np.ndarray:
        """Labels for people: the lags in seconds as float64, shape ``(n,)``."""
        return self.samples / float(self.rate)

    def to_json(self) -> dict[str, Any]:
        """Return the window as JSON values, exactly."""
        return {"first": self.first, "last": self.last, "rate": str(self.rate)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Lags:
        """Read back what `to_json` wrote."""
        return cls(values["first"], values["last"], exact(values["rate"]))
