"""How small is a p-value that so few surrogates cannot count? The pooled studentised null.

A thousand surrogates count down to 0.001, and thousands of features on dozens of sensors need
less. If the nulls of all pairs of feature and channel have one shape, then each pair's
surrogates, put in their own standard deviations, are draws from one law, and all of them
together count much further. Whether shapes agree is looked at first; each p-value below what its own
surrogates can count is flagged. What is told of a null is small and adds up: blocks of
features in any order give the same numbers.

The surrogates of neighbouring pairs share their rotations, so a million of them are worth
fewer. The pooled p-value is an estimate with that uncertainty, not an exact permutation p-value.
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
# A pair whose tail is that much heavier than the average has p-values that much too small, some more further out.
LARGEST_SPREAD = 0.35
_FEWEST_SURROGATES = 100


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
    """

    histogram: np.ndarray
    beyond: np.ndarray
    n_surrogates: int


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
    histogram = np.bincount(bins[:, sd > 0].ravel(), minlength=N_BINS)
    return Tails(histogram, (z >= LOOKED_AT).sum(axis=0)[None].astype(np.int32), n)


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
    return Tails(histogram, np.concatenate([part.beyond for part in parts]), sizes.pop())


def tail_spread(tails: Tails) -> float:
    """Return how much the pairs' own upper tails differ beyond sampling, as a relative standard deviation.

    With equal shapes each pair's count beyond a fixed point is binomial; what its variance
    over pairs has on top, ``var(count) - B p (1 - p)``, comes from different shapes:

        spread = sqrt(max(0, excess)) / (B p)

    Parameters
    ----------
    tails
        From `put_together`.
    """
    counts = tails.beyond.ravel().astype(float)
    expected = counts.mean()
    if expected == 0:
        return 0.0
    excess = counts.var() - expected * (1 - expected / tails.n_surrogates)
    return float(np.sqrt(max(0.0, excess)) / expected)


def pooled_p(z: np.ndarray, p: np.ndarray, tails: Tails) -> Pooled:
    """Return p-values counted in all pairs' surrogates at once, if their shapes agree.

    ``p_pooled = (1 + #{surrogates of all pairs >= z}) / (1 + N)``; bins are counted whole, so it errs upwards.

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
    n = int(tails.histogram.sum())
    at_least = np.cumsum(tails.histogram[::-1])[::-1]
    bins = np.clip(np.floor((z - LOW) / WIDTH).astype(np.int64) + 1, 0, N_BINS - 1)
    small = (1 + at_least[bins]) / (1 + n)
    least = 1 / (1 + tails.n_surrogates)
    note = (
        f"p-values below {least:.2g} are extrapolated: counted among the {n:,} studentised surrogates of all pairs, "
        f"whose tails differ by {100 * spread:.0f} % between pairs."
    )
    # Where a pair's own surrogates can count, they are believed; beyond, never more than they allow.
    own = np.where(p > least, p, np.minimum(p, small))
    return Pooled(own, own < least, benjamini_hochberg(own), spread, True, note)


def _unpooled(p: np.ndarray, *, spread: float, why: str) -> Pooled:
    note = f"No p-value is extrapolated: {why}."
    return Pooled(p, np.zeros(p.shape, dtype=bool), benjamini_hochberg(p), spread, False, note)


def pareto_p(surrogates: np.ndarray, observed: np.ndarray, *, share: float = 0.1) -> np.ndarray:
    """Return p-values from a generalised Pareto law fitted to the upper tail (Knijnenburg et al. 2009).

    Shown for comparison: at a nominal 1e-4 from 1,000 surrogates it rejects several times too
    often (tests/calibration/test_tail.py measures it), which the pooled null does not.

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
