"""How small is a p-value that so few surrogates cannot count? The pooled studentised null.

A thousand surrogates count down to 0.001, and thousands of features on dozens of sensors need
less. If the nulls of all pairs of feature and channel have one shape, then each pair's
surrogates, put in their own standard deviations, are draws from one law, and all of them
together count much further. Whether shapes agree is looked at first; each p-value below what its own
surrogates can count is flagged. What is told of a null is small and adds up: blocks of
features in any order give the same numbers.

The surrogates of all pairs share their rotations, so where one pair's lies far out, its neighbours'
do, too: a million of them are worth fewer. How many go there together is counted (`clump`), and
the data is counted in as if it came with as many. The pooled p-value is an estimate, not an exact
permutation p-value.

On average over pairs it rejects as often as it says; a single pair whose null has a heavier tail than
the others has p-values that are too small, the more so the smaller: with skewness 0.4 in one
pair of twenty, these reject 7 times too often at 1e-4, though tails then differ by 16 % only.
That is why features with heavier tails than the rest are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.stats.multiple import benjamini_hochberg

LOW, HIGH, WIDTH = -12.0, 60.0, 0.01
N_BINS = round((HIGH - LOW) / WIDTH) + 2
LOOKED_AT = 2.326348  # the normal law's upper hundredth
# By so much may tails differ: all of them to be pooled at all, and a feature's own from the average to be believed.
LARGEST_SPREAD = 0.35
_FEWEST_SURROGATES = 100
_WINDOW = 0.25  # standard deviations to each side, over which a density is averaged
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class Tails:
    """What is kept of the studentised surrogates of many pairs.

    Attributes
    ----------
    histogram
        Surrogates per bin of `WIDTH` standard deviations, the first and last bins open, ``(N_BINS,)``.
    beyond
        Each pair's number of surrogates beyond `LOOKED_AT`, ``(n_features, n_channels)``.
    n_surrogates
        B, of each pair.
    together
        How many pairs went beyond `LOOKED_AT` in each surrogate, ``(n_surrogates,)``.
    """

    histogram: np.ndarray
    beyond: np.ndarray
    n_surrogates: int
    together: np.ndarray


@dataclass(frozen=True, eq=False)
class Pooled:
    """p-values from the pooled null.

    Attributes
    ----------
    p
        In the shape of the statistic; where shapes disagree, the pairs' own counted p-values.
    extrapolated
        Where p lies below what the pair's own surrogates can count.
    q
        Benjamini and Hochberg's adjusted p-values.
    spread
        By how much the pairs' own upper tails differ, beyond sampling (relative standard deviation).
    agree
        Whether that is little enough to pool.
    note
        One sentence for reports.
    """

    p: np.ndarray
    extrapolated: np.ndarray
    q: np.ndarray
    spread: float
    agree: bool
    note: str


def look(surrogates: np.ndarray) -> Tails:
    """Summarise one feature's surrogates (without the data).

    Parameters
    ----------
    surrogates
        ``(n_surrogates, n_channels)``. Each is measured against the others of its channel.
    """
    n = len(surrogates)
    sd = surrogates.std(axis=0)
    u = (surrogates - surrogates.mean(axis=0)) / np.where(sd > 0, sd, np.inf)
    z = u * np.sqrt(n / (n - 1)) / np.sqrt(np.maximum(1 - u**2 / (n - 1), 1e-12))
    bins = np.clip(np.floor((z - LOW) / WIDTH).astype(np.int64) + 1, 0, N_BINS - 1)
    histogram, far = np.bincount(bins[:, sd > 0].ravel(), minlength=N_BINS), z >= LOOKED_AT
    return Tails(histogram, far.sum(axis=0)[None].astype(np.int32), n, far.sum(axis=1))


def put_together(parts: Iterable[Tails]) -> Tails:
    """Add up what was seen of successive features.

    Parameters
    ----------
    parts
        From `look`, or from this function.
    """
    parts = list(parts)
    sizes = {part.n_surrogates for part in parts}
    if len(sizes) != 1:
        raise ShapeMismatch(
            "all features must have equally many surrogates", got=sorted(sizes), fix="draw them once, for all"
        )
    histogram = np.sum([part.histogram for part in parts], axis=0)
    together = np.sum([part.together for part in parts], axis=0)
    return Tails(histogram, np.concatenate([part.beyond for part in parts]), sizes.pop(), together)


def tail_spread(tails: Tails) -> float:
    """Return how much the pairs' own upper tails differ beyond sampling, as a relative standard deviation.

    With equal shapes each pair's count beyond a fixed point t varies by sampling alone. Since
    pairs are measured in their own mean and standard deviation, that is less than binomially: with f the
    density at t and the law of all pairs' surrogates z,

        var(count) = B var(1{z >= t} - f (z + t (z^2 - 1) / 2)),    at most binomial

    What the counts' variance over pairs has on top comes from different shapes:

        spread = sqrt(max(0, excess)) / mean(count)

    Laws so skewed that counts vary more than binomially are refused rather than believed. With equal,
    normal shapes 100 surrogates of 64 pairs exceed `LARGEST_SPREAD` in 14 % of cases and 200 in 3 %;
    with 640 pairs, or with 500 surrogates, none of 60 did.

    Parameters
    ----------
    tails
        From `put_together`.
    """
    counts = tails.beyond.ravel().astype(float)
    expected = counts.mean()
    if expected == 0:
        return 0.0
    excess = counts.var() - tails.n_surrogates * _variance_of_counting(tails.histogram)
    return float(np.sqrt(max(0.0, excess)) / expected)


def _variance_of_counting(histogram: np.ndarray) -> float:
    """Return the variance that one surrogate adds to its pair's count beyond `LOOKED_AT`."""
    z, share = LOW + WIDTH * (np.arange(N_BINS) - 0.5), histogram / histogram.sum()
    near = np.abs(z - LOOKED_AT) < _WINDOW
    density = share[near].sum() / (WIDTH * near.sum())
    far = z >= LOOKED_AT
    adds = far - density * (z + LOOKED_AT * (z**2 - 1) / 2)
    binomial = (share @ far) * (1 - share @ far)
    # Of a mixture of unlike laws the first is no pair's own variance, and may be very large.
    return float(min(share @ adds**2 - (share @ adds) ** 2, binomial))


def clump(tails: Tails) -> float:
    """Return how many pairs go beyond `LOOKED_AT` in one surrogate because one of them does; 1 if independent.

    The variance over surrogates of the number of pairs beyond, divided by its mean (and at least 1): m for m
    copies of one pair. The N pooled surrogates are worth about N / clump independent ones there, and more
    further out.

    Parameters
    ----------
    tails
        From `put_together`.
    """
    if not tails.together.any():
        return 1.0
    return max(1.0, float(tails.together.var() / tails.together.mean()))


def pooled_p(z: np.ndarray, p: np.ndarray, tails: Tails) -> Pooled:
    """Return p-values counted in all pairs' surrogates at once, if their shapes agree.

        p_pooled = (c + #{surrogates of all pairs >= z}) / (c + N),    c = `clump`

    so that copies of one pair give that pair's own p-value. Bins are counted whole, so it errs
    upwards. Only p-values that are the smallest their pair can count are replaced, and none
    of features whose own surrogates lie beyond `LOOKED_AT` more than 35 % more often than the average.

    Parameters
    ----------
    z
        The data's statistic in standard deviations of its surrogates, ``(n_features, n_channels)``.
    p
        The pairs' own counted p-values, same shape.
    tails
        From `put_together`.
    """
    if tails.n_surrogates < _FEWEST_SURROGATES:
        why = f"{tails.n_surrogates} surrogates are too few to compare the shapes of nulls"
        return _unpooled(p, spread=float("nan"), why=why)
    if z.shape != tails.beyond.shape or z.shape != p.shape:
        raise ShapeMismatch(
            "the statistic and its null must be of the same pairs",
            got=f"{z.shape}, {p.shape}, {tails.beyond.shape}",
            fix="put the blocks together in the order of the features",
        )
    spread = tail_spread(tails)
    if spread > LARGEST_SPREAD:
        why = (
            f"the nulls' tails differ by {100 * spread:.0f} % between pairs (pooled up to {100 * LARGEST_SPREAD:.0f} %)"
        )
        return _unpooled(p, spread=spread, why=why)
    at_least = np.cumsum(tails.histogram[::-1])[::-1]
    bins = np.clip(np.floor((z - LOW) / WIDTH).astype(np.int64) + 1, 0, N_BINS - 1)
    own = clump(tails)
    small = (own + at_least[bins]) / (own + at_least[0])
    least = 1 / (1 + tails.n_surrogates)
    rates = tails.beyond.mean(axis=1, keepdims=True)
    heavy = rates > (1 + LARGEST_SPREAD) * rates.mean()
    # Where a pair's own surrogates can count, they are believed; beyond, never more than they allow.
    found = np.where((p > least * _ROUNDING) | heavy, p, np.minimum(p, small))
    note = _note(tails, n_heavy=int(heavy.sum()), spread=spread)
    return Pooled(found, found < least / _ROUNDING, benjamini_hochberg(found), spread, True, note)


def _note(tails: Tails, *, n_heavy: int, spread: float) -> str:
    n, least = int(tails.histogram.sum()), 1 / (1 + tails.n_surrogates)
    worth = f"and which are worth {n / clump(tails):,.0f} independent ones"
    left = f" Features with heavier tails, left out: {n_heavy}." if n_heavy else ""
    return (
        f"p-values below {least:.2g} are extrapolated: counted among the {n:,} studentised surrogates of all pairs, "
        f"whose tails differ by {100 * spread:.0f} % between pairs {worth}.{left}"
    )


def _unpooled(p: np.ndarray, *, spread: float, why: str) -> Pooled:
    note = f"No p-value is extrapolated: {why}."
    return Pooled(p, np.zeros(p.shape, dtype=bool), benjamini_hochberg(p), spread, False, note)


def pareto_p(surrogates: np.ndarray, observed: np.ndarray, *, share: float = 0.1) -> np.ndarray:
    """Return p-values from a generalised Pareto law fitted to the upper tail (Knijnenburg et al. 2009).

    Shown for comparison: at a nominal 1e-4 from 1,000 normal surrogates it rejects at 5.7e-4, the
    pooled null at 1.0e-4 (tests/calibration/test_tail.py). Its fitted law often has an end, beyond which p is 0.

    Parameters
    ----------
    surrogates
        ``(n_surrogates, ...)``.
    observed
        ``(...)``.
    share
        Of the surrogates, the upper ones that are fitted, by probability-weighted moments (Hosking & Wallis 1987).
    """
    n = len(surrogates)
    n_fitted = int(share * n)
    if n_fitted < 10:
        raise ValueProblem(
            "too few surrogates to fit a tail", got=f"{n_fitted} in the upper {share:.0%}", fix="draw at least 100"
        )
    ordered = np.sort(surrogates, axis=0)
    start = (ordered[-n_fitted] + ordered[-n_fitted - 1]) / 2
    excess = ordered[-n_fitted:] - start
    ranks = (np.arange(1, n_fitted + 1) - 0.35) / n_fitted
    first = excess.mean(axis=0)
    second = np.tensordot(1 - ranks, excess, axes=1) / n_fitted
    shape = first / (first - 2 * second) - 2  # k of Hosking and Wallis: positive for a bounded tail
    scale = 2 * first * second / (first - 2 * second)
    inside = np.clip(1 - shape * (observed - start) / scale, 0, None)
    with np.errstate(divide="ignore"):
        beyond = np.where(
            np.abs(shape) < 1e-9, np.exp(-(observed - start) / scale), inside ** (1 / np.where(shape == 0, 1, shape))
        )
    counted = (1 + (surrogates >= observed).sum(axis=0)) / (1 + n)
    return np.where(observed > start, n_fitted / n * beyond, counted)
