"""In how many people is it? From each listener's own test to a share of the population.

A group mean above zero may be the work of a few. Each listener's test at level a has a hit
for certain where there is an effect (at best), and with chance a where there is none; with a
share g of people who have it,

    P(hit) = a + (1 - a) g

so the number of hits among n listeners is binomial and tells about g (Ince et al. 2021). Real
tests miss effects, so what is estimated is the share of people in whom this test finds one: a
lower bound of those who have one. The test of the smallest listener (Allefeld et al. 2016) needs
no level in the listener, but all surrogates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.stats.maxstat import corrected_p

_BLOCK_BYTES = 16_000_000


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
    p
        Of no effect in anyone, each test alone.
    p_global
        The same, corrected over tests by the max-statistic.
    largest_null
        Largest share g such that "at most g of the population has it" is rejected at the level; 0 where none is.
        Where nobody has it, any test's lies above 0 as rarely as the level says; where some do, the level is kept by
        each test on its own.
    n_permutations
        Second-level combinations, the data's own counted in.
    exact
        Whether every combination was used once.
    level
        Of the test.
    """

    p: np.ndarray
    p_global: np.ndarray
    largest_null: np.ndarray
    n_permutations: int
    exact: bool
    level: float


def minimum_test(
    groups: np.ndarray, *, n_permutations: int = 10_000, level: float = 0.05, rng: np.random.Generator
) -> MinimumTest:
    """Test whether more than a share of the population has the effect, by the smallest listener's statistic.

    With u the chance, without any effect, that all n listeners reach the data's minimum (and
    c that any test's minimum reaches it), the null "at most a share g has it" is rejected while

        c + (1 - c) ((1 - g) u^(1/n) + g)^n  <=  level

    Even with u = 0 that needs ``g < level^(1/n)``: no more than 0.61 for 6 listeners. The
    listeners' surrogates must be independent of each other, and tests on one scale (studentise
    them first), or the widest null sets the bar for all. The paper's correction, c, is for the
    null of nobody: where an effect is found in some people all over the map, c is 0 and bounds of m tests err
    together up to m times as often as the level. For bounds that all hold, use ``level / m``.

    Parameters
    ----------
    groups
        Each listener's statistic, data first, ``(n_listeners, 1 + B, ...)``; larger is more. Little is needed beside
        it: see `_BLOCK_BYTES`.
    n_permutations
        Combinations of the listeners' surrogates, the data's own counted in; all ``(1 + B)^n`` if there are no more.
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
    require_finite(groups, name="the listeners' statistics", fix="leave out tests or listeners without a value")
    if not 0 < level < 1 or n_permutations < 2:
        raise ValueProblem(
            "a test of the minimum needs a level between 0 and 1 and two combinations",
            got=f"level={level}, n_permutations={n_permutations}",
            fix="use 0.05 and 10,000",
        )
    n, size = groups.shape[:2]
    members, exact = _combinations(n, size, n_permutations, rng)
    flat = groups.reshape(n, size, -1)
    data = flat[:, 0].min(axis=0)
    alone, maxima = np.empty(len(data)), np.full(len(members), -np.inf)
    width = max(1, _BLOCK_BYTES // (8 * len(members)))
    for part in (slice(start, start + width) for start in range(0, len(data), width)):
        smallest = flat[0, members[:, 0], part]
        for listener in range(1, n):
            np.minimum(smallest, flat[listener, members[:, listener], part], out=smallest)
        alone[part] = (smallest >= data[part]).mean(axis=0)
        np.maximum(maxima, smallest.max(axis=1), out=maxima)
    corrected = corrected_p(data, maxima)
    largest = _largest_null(alone, corrected, n, level)
    shape = groups.shape[2:]
    return MinimumTest(
        alone.reshape(shape), corrected.reshape(shape), largest.reshape(shape), len(members), exact, level
    )


def _combinations(n: int, size: int, n_permutations: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Return a member of each listener's group per combination, the data's first, and whether that is all there are."""
    if n * np.log(size) <= np.log(n_permutations) + 1e-9:
        return np.indices((size,) * n).reshape(n, -1).T, True
    drawn = rng.integers(0, size, size=(n_permutations - 1, n))
    return np.concatenate([np.zeros((1, n), dtype=drawn.dtype), drawn]), False


def _largest_null(alone: np.ndarray, corrected: np.ndarray, n: int, level: float) -> np.ndarray:
    # A global p of 1 leaves nothing to be rejected.
    worth = np.where(corrected < level, (level - corrected) / np.maximum(1 - corrected, 1e-300), 0.0)
    root = np.minimum(alone, 1 - 1e-15) ** (1 / n)
    return np.clip((worth ** (1 / n) - root) / (1 - root), 0, None)


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
