"""Within which bounds does a statistic of sums over time lie? Blocks of time, drawn as whole numbers.

A resample is how often each block was drawn. Statistics here are functions of sums over time, so a
resample's sums are its counts times the blocks' sums: one matrix product for thousands of resamples
and all channels, and no sample is ever copied. Models refitted on resamples go the same way
(`brainalign.intervals`), since moments are sums, too.

Of 95 % intervals on offer, with draws t* and estimate t:

    percentile   quantiles of t*
    bca          quantiles at shares corrected for bias and skewness (Efron 1987), the latter from
                 leaving blocks out in turn
    student      t +- t(n - s) sqrt(n / (n - s)) sd(t*), n blocks in s parts, for correlations on Fisher's scale

All say how much a score would change with other time of the same listeners and the same models: not
with other listeners, nor with models trained anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy import special, stats

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.seeds import generator

Method = Literal["percentile", "bca", "student"]
Scale = Literal["plain", "fisher"]
Measure: TypeAlias = Callable[[np.ndarray], np.ndarray]
METHODS = ("percentile", "bca", "student")
LEVEL = 0.95
FEWEST_BLOCKS = 8
_MOST_LEFT_OUT = 200


@dataclass(frozen=True)
class Resampling:
    """How resamples are drawn, and how they become an interval.

    Parameters
    ----------
    method
        ``"percentile"``, ``"bca"`` or ``"student"``.
    block
        Frames per block, ``"trials"`` for whole trials, or ``"auto"``: whole trials where there are at least 30 of
        them (in every fold), else the length that the data's autocorrelation calls for, see `block_length`.
    n_draws
        Resamples.
    seed
        Of the resamples.
    """

    method: Method = "bca"
    block: int | Literal["auto", "trials"] = "auto"
    n_draws: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name(self.method, among=METHODS, kind="interval")
        if isinstance(self.block, str) and self.block not in ("auto", "trials"):
            raise unknown_name(self.block, among=("auto", "trials"), kind="block")
        if self.n_draws < 200:
            raise ValueProblem(
                "the ends of an interval need many resamples", got=self.n_draws, fix="n_draws of 1000 or more"
            )


@dataclass(frozen=True, eq=False)
class Interval:
    """An estimate with its 95 % interval.

    Attributes
    ----------
    estimate, low, high
        In one shape, e.g. ``(n_channels,)``.
    draws
        The statistic of every resample, ``(n_draws, ...)``.
    method
        How the interval was made.
    n_blocks
        Blocks drawn from.
    block_frames
        Frames of a block, on average.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    draws: np.ndarray
    method: Method
    n_blocks: int
    block_frames: float


def bootstrap(
    measures: Sequence[Measure],
    strata: np.ndarray,
    *,
    resampling: Resampling,
    block_frames: float,
    scale: Scale = "plain",
) -> Interval:
    """Draw blocks with replacement, and measure every resample.

    Parameters
    ----------
    measures
        Turn counts ``(n, n_blocks)`` into statistics ``(n, ...)``; counts of 1 are the data. Resamples are
        shared out among them (the same data cut at other origins); the first gives estimate and skewness.
    strata
        Part that each block belongs to, ``(n_blocks,)``: each part keeps its number of blocks.
    resampling
        Method, number and seed.
    block_frames
        Told with the result.
    scale
        On which the ``"student"`` interval is symmetric.
    """
    require_blocks(strata)
    estimate = np.asarray(measures[0](np.ones((1, len(strata))))[0], dtype=float)
    shares = [len(part) for part in np.array_split(np.arange(resampling.n_draws), len(measures))]
    rng = generator(resampling.seed, "blocks")
    drawn = [m(draw_counts(strata, n_draws=n, rng=rng)) for m, n in zip(measures, shares, strict=True) if n]
    draws = np.concatenate(drawn).astype(float)
    if resampling.method == "student":
        low, high = _student(estimate, draws, n=len(strata), n_parts=len(np.unique(strata)), scale=scale)
    else:
        left_out = _influence(measures[0], strata) if resampling.method == "bca" else None
        low, high = _ends(estimate, draws, left_out)
    return Interval(estimate, low, high, draws, resampling.method, len(strata), block_frames)


def draw_counts(strata: np.ndarray, *, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each block is drawn, ``(n_draws, n_blocks)``; in each stratum as often as it has blocks.

    Parameters
    ----------
    strata
        Part that each block belongs to.
    n_draws
        Resamples.
    rng
        Draws.
    """
    counts = np.zeros((n_draws, len(strata)))
    for part in np.unique(strata):
        own = np.flatnonzero(strata == part)
        counts[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=n_draws)
    return counts


def require_blocks(strata: np.ndarray) -> None:
    """Refuse a part of the data with fewer than eight blocks: its resamples would be too few and too alike.

    Parameters
    ----------
    strata
        Part that each block belongs to.
    """
    fewest = int(np.unique(strata, return_counts=True)[1].min())
    if fewest < FEWEST_BLOCKS:
        raise ValueProblem(
            "too little time to resample",
            got=f"{fewest} blocks in a part of the data; {FEWEST_BLOCKS} are needed",
            fix="give longer or more trials, shorter blocks (Resampling(block=frames)), or fewer folds",
        )


def _influence(measure: Measure, strata: np.ndarray) -> np.ndarray:
    """Return how the statistic falls when blocks are left out, per stratum around its mean, ``(n_groups, ...)``."""
    found = []
    for part in np.unique(strata):
        own = np.flatnonzero(strata == part)
        n_groups = min(len(own), _MOST_LEFT_OUT)
        counts = np.ones((n_groups, len(strata)))
        counts[np.arange(len(own)) * n_groups // len(own), own] = 0
        values = measure(counts)
        # An infinite ratio has no skewness to speak of.
        values = np.where(np.isfinite(values).all(axis=0), values, 0)
        found.append((values.mean(axis=0) - values) * (n_groups - 1) / n_groups)
    return np.concatenate(found)


def _student(
    estimate: np.ndarray, draws: np.ndarray, *, n: int, n_parts: int, scale: Scale
) -> tuple[np.ndarray, np.ndarray]:
    there, back = (_fisher, np.tanh) if scale == "fisher" else (np.asarray, np.asarray)
    # Draws around a part's own mean miss one degree of freedom in each part.
    freedom = n - n_parts
    reach = stats.t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(n / freedom) * there(draws).std(axis=0, ddof=1)
    return np.asarray(back(there(estimate) - reach)), np.asarray(back(there(estimate) + reach))


def _fisher(r: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(r, -0.999999, 0.999999))


def _ends(estimate: np.ndarray, draws: np.ndarray, influence: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the draws that stand at the interval's ends, rounded outward."""
    ordered, n = np.sort(draws, axis=0), len(draws)
    tail = np.multiply.outer(np.array([1 - LEVEL, 1 + LEVEL]) / 2, np.ones(estimate.shape))
    if influence is not None:
        near = 1e-12 * np.where(np.isfinite(estimate), np.abs(estimate), 0)
        below = ((draws < estimate - near).mean(axis=0) + (draws <= estimate + near).mean(axis=0)) / 2
        bias = special.ndtri(np.clip(below, 0.5 / n, 1 - 0.5 / n))
        squares, cubes = np.square(influence).sum(axis=0), (influence**3).sum(axis=0)
        skew = np.divide(cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > 0)
        z = bias + special.ndtri(tail)
        # Beyond 1 / skew the correction turns round; what lies there is the outermost draw.
        room = 1 - skew * z
        shifted = np.divide(z, room, out=np.sign(z) * np.inf, where=room > 0)
        tail = special.ndtr(bias + shifted)
    low = np.clip(np.floor(tail[0] * (n + 1)) - 1, 0, n - 1).astype(int)
    high = np.clip(np.ceil(tail[1] * (n + 1)) - 1, 0, n - 1).astype(int)
    return _pick(ordered, low), _pick(ordered, high)


def _pick(ordered: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.asarray(np.take_along_axis(ordered, at[None], axis=0)[0])
