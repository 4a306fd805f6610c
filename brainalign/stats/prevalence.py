"""In how many people is it? From each listener's own test to a share of the population.

A group mean above zero may be the work of a few. Each listener's test at level a has a hit
for certain where there is an effect (at best), and with chance a where there is none; with a
share g of people who have it,

    P(hit) = a + (1 - a) g

so the number of hits among n listeners is binomial and tells about g (Ince et al. 2021). Real
tests miss effects, so what is estimated is the share of people in whom this test finds one: a
lower bound of those who have one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from brainalign.core.errors import ShapeMismatch, ValueProblem


@dataclass(frozen=True)
class Prevalence:
    """The share of a population in whom the effect shows.

    Attributes
    ----------
    estimate
        Most probable share, 0 to 1.
    low
        Lower confidence bound (Clopper-Pearson, exact): the share is above it with the confidence asked for.
    credible_low
        Lower bound of the posterior under a flat prior.
    hits, n
        Listeners with a hit, and all.
    level, confidence
        Of the listeners' tests, and of the bounds.
    """

    estimate: float
    low: float
    credible_low: float
    hits: int
    n: int
    level: float
    confidence: float


def prevalence(p: np.ndarray, *, level: float = 0.05, confidence: float = 0.95) -> Prevalence:
    """Estimate the share of people in whom the effect shows.

    Parameters
    ----------
    p
        Each listener's p-value, corrected within the listener if many tests were looked at, ``(n_listeners,)``.
    level
        At or below which a listener counts.
    confidence
        Of the lower bounds.

    Examples
    --------
    >>> found = prevalence(np.array([0.01] * 12 + [0.3] * 3))
    >>> round(found.estimate, 3), round(found.low, 3)
    (0.789, 0.537)
    """
    p = _checked(p, level=level, confidence=confidence)
    hits, n = int((p <= level).sum()), len(p)
    bound = float(stats.beta.ppf(1 - confidence, hits, n - hits + 1)) if hits else 0.0
    # The posterior of P(hit) under a flat prior on g is a beta law cut off below the level.
    law = stats.beta(hits + 1, n - hits + 1)
    below = law.cdf(level)
    posterior = float(law.ppf(below + (1 - confidence) * (1 - below)))
    return Prevalence(
        estimate=_share(hits / n, level),
        low=_share(bound, level),
        credible_low=_share(posterior, level),
        hits=hits,
        n=n,
        level=level,
        confidence=confidence,
    )


@dataclass(frozen=True, eq=False)
class MinimumTest:
    """Allefeld, Goergen and Haynes' test of the smallest listener (2016).

    Attributes
    ----------
    p_global
        Of no effect in anyone, per test, corrected over tests.
    largest_null
        Largest share g such that "at most g of the population" is rejected at the level, per test; 0 where none is.
    n_permutations
        Second-level draws.
    """

    p_global: np.ndarray
    largest_null: np.ndarray
    n_permutations: int


def minimum_test(
    groups: np.ndarray, *, n_permutations: int = 10_000, level: float = 0.05, rng: np.random.Generator
) -> MinimumTest:
    """Test whether more than a share of the population has the effect, by the smallest listener's statistic.

    With u the chance, without any effect, that all n listeners reach the data's minimum, the null "at most a share g
    has it" is rejected while ``((1 - g) u^(1/n) + g)^n <= level``.

    Parameters
    ----------
    groups
        Each listener's statistic, data first, ``(n_listeners, 1 + B, ...)``; larger is more.
    n_permutations
        Random combinations of the listeners' surrogates, the data's own counted in.
    level
        Of the test.
    rng
        Draws the combinations.
    """
    groups = np.asarray(groups, dtype=float)
    if groups.ndim < 2 or len(groups) < 2 or groups.shape[1] < 2:
        raise ShapeMismatch(
            "a test of the minimum needs listeners by group members",
            got=groups.shape,
            fix="give (n_listeners, 1 + B, ...), each listener's data first",
        )
    n, size = groups.shape[:2]
    flat = groups.reshape(n, size, -1)
    data = flat[:, 0].min(axis=0)
    reached, beaten = np.ones(flat.shape[2]), np.ones(flat.shape[2])
    for _ in range(n_permutations - 1):
        smallest = flat[np.arange(n), rng.integers(0, size, n)].min(axis=0)
        reached += smallest >= data
        beaten += smallest.max() >= data
    alone, corrected = reached / n_permutations, beaten / n_permutations
    # Of all tests the chance that any reaches its minimum (corrected), then that this one does (alone).
    worth = (level - corrected) / (1 - corrected)
    with np.errstate(invalid="ignore"):
        share = (np.clip(worth, 0, None) ** (1 / n) - alone ** (1 / n)) / (1 - alone ** (1 / n))
    largest = np.where((worth > 0) & (alone < 1), np.clip(share, 0, None), 0.0)
    shape = groups.shape[2:]
    return MinimumTest(corrected.reshape(shape), largest.reshape(shape), n_permutations)


def _share(rate: float, level: float) -> float:
    return float(max(0.0, (rate - level) / (1 - level)))


def _checked(p: np.ndarray, *, level: float, confidence: float) -> np.ndarray:
    p = np.asarray(p, dtype=float)
    if p.ndim != 1 or not len(p) or not np.all((p >= 0) & (p <= 1)):
        raise ValueProblem("prevalence needs one p-value per listener", got=np.shape(p), fix="give (n_listeners,)")
    if not (0 < level < 1 and 0 < confidence < 1):
        raise ValueProblem(
            "level and confidence lie between 0 and 1", got=f"{level}, {confidence}", fix="use 0.05 and 0.95"
        )
    return p
