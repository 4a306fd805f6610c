"""Does it hold in the population these listeners come from? Random effects by flipping signs.

Were there no effect, each listener's value would be as likely as its negative. All listeners'
signs are flipped at random, for all tests alike, and the group statistic is formed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.seeds import generator
from brainalign.stats.maxstat import corrected_p, step_down_p

Statistic = Literal["t", "mean"]
Tail = Literal["greater", "less", "two-sided"]
STATISTICS, TAILS = ("t", "mean"), ("greater", "less", "two-sided")
ASSUMPTION = (
    "Were there no effect, a listener's value would be distributed symmetrically about zero, independently of other "
    "listeners'; signs are flipped per listener, for all tests alike."
)
_BLOCK_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class SignFlipTest:
    """A group statistic beside its sign-flip null.

    Attributes
    ----------
    observed
        The statistic, in the shape of one listener's values.
    p, p_corrected
        Alone, and corrected over all tests by the max-statistic, same shape.
    maxima
        Largest statistic over tests of each member of the group, the data's own first, ``(1 + B,)``.
    n_listeners, n_permutations
        Sizes; B is all there are where ``exact``.
    exact
        Whether every pattern of signs was used once.
    statistic, tail
        As asked for.
    assumption
        What the test takes for granted.
    """

    observed: np.ndarray
    p: np.ndarray
    p_corrected: np.ndarray
    maxima: np.ndarray
    n_listeners: int
    n_permutations: int
    exact: bool
    statistic: Statistic
    tail: Tail
    assumption: str = ASSUMPTION

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that this many patterns can give."""
        return 1 / (1 + self.n_permutations)


def sign_flips(n_listeners: int, *, n_permutations: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Return patterns of signs, the data (all +1) first, and whether these are all there are.

    Parameters
    ----------
    n_listeners
        At least 2.
    n_permutations
        Patterns besides the data. Where there are no more than ``1 + n_permutations`` patterns
        in all, each is returned once instead.
    rng
        Draws the patterns, each independently of the others.

    Returns
    -------
    signs : numpy.ndarray
        ``(1 + B, n_listeners)``, int8.
    exact : bool
        Whether every pattern is there.

    Examples
    --------
    >>> sign_flips(2, n_permutations=99, rng=np.random.default_rng(0))
    (array([[ 1,  1],
           [-1,  1],
           [ 1, -1],
           [-1, -1]], dtype=int8), True)
    """
    if n_listeners < 2:
        raise ValueProblem(
            "a group test needs at least two listeners", got=n_listeners, fix="test a single listener by permutation"
        )
    if n_listeners < 63 and 2**n_listeners <= 1 + n_permutations:
        patterns = np.arange(2**n_listeners)[:, None] >> np.arange(n_listeners) & 1
        return (1 - 2 * patterns).astype(np.int8), True
    drawn = rng.integers(0, 2, size=(n_permutations, n_listeners), dtype=np.int8)
    return np.concatenate([np.ones((1, n_listeners), dtype=np.int8), 1 - 2 * drawn]), False


def flipped(values: np.ndarray, signs: np.ndarray, *, statistic: Statistic = "t") -> np.ndarray:
    """Return the group statistic under every pattern of signs, ``(1 + B, ...)``.

    One product with the signs gives all means; the sum of squares does not change, so that
    ``t = mean sqrt(n) / sd`` follows from it. A test without any spread has the statistic 0
    if its mean is 0, else it is infinite.

    Parameters
    ----------
    values
        ``(n_listeners, ...)``.
    signs
        From `sign_flips`.
    statistic
        ``"t"`` or ``"mean"``.
    """
    if statistic not in STATISTICS:
        raise unknown_name(statistic, among=STATISTICS, kind="statistic")
    n = len(values)
    flat = values.reshape(n, -1).astype(float)
    mean = signs.astype(float) @ flat / n
    if statistic == "t":
        total = np.square(flat).sum(axis=0)
        rest = total - n * mean**2
        # What rounding leaves of no spread at all is no spread.
        spread = np.sqrt(np.where(rest > 1e-13 * total, rest, 0) / (n - 1) / n)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(mean == 0, 0.0, mean / spread)
    return mean.reshape(len(signs), *values.shape[1:])


def sign_flip_test(
    values: np.ndarray,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
    statistic: Statistic = "t",
    tail: Tail = "greater",
) -> SignFlipTest:
    """Test whether listeners' values lie above zero in the population they come from.

    Parameters
    ----------
    values
        ``(n_listeners, ...)``, e.g. Fisher-transformed held-out r, ``(n_listeners, n_features, n_channels)``, or
        differences between two models. A value whose expectation without effect is not zero (a score whose null
        mean is negative) must have it taken off first.
    n_permutations
        Patterns of signs; all ``2 ** n_listeners`` if there are no more than ``1 + n_permutations``.
    seed
        Of the patterns.
    statistic
        ``"t"`` puts tests of different spread on one scale; ``"mean"`` keeps the unit.
    tail
        ``"greater"``, ``"less"`` or ``"two-sided"``.
    """
    values = _checked(values, tail=tail)
    signs, exact = sign_flips(len(values), n_permutations=n_permutations, rng=generator(seed, "sign-flips"))
    shape, flat = values.shape[1:], values.reshape(len(values), -1)
    observed, p, maxima = np.empty(flat.shape[1]), np.empty(flat.shape[1]), np.full(len(signs), -np.inf)
    directed = np.empty(flat.shape[1])
    for part in _blocks(flat.shape[1], len(signs)):
        group = flipped(flat[:, part], signs, statistic=statistic)
        observed[part] = group[0]
        group = _directed(group, tail)
        directed[part] = group[0]
        p[part] = (group >= _reached(group[0])).mean(axis=0)
        np.maximum(maxima, group.max(axis=1), out=maxima)
    corrected = corrected_p(_reached(directed), maxima)
    return SignFlipTest(
        observed.reshape(shape), p.reshape(shape), corrected.reshape(shape), maxima,
        n_listeners=len(values), n_permutations=len(signs) - 1, exact=exact, statistic=statistic, tail=tail,
    )  # fmt: skip


def sign_flip_step_down(
    values: np.ndarray, *, n_permutations: int = 1000, seed: int = 0, statistic: Statistic = "t", tail: Tail = "greater"
) -> np.ndarray:
    """Return step-down corrected p-values (see `brainalign.stats.maxstat.step_down_p`), in the shape of one listener.

    Holds the whole null in memory: ``8 (1 + B) n_tests`` bytes.

    Parameters
    ----------
    values, n_permutations, seed, statistic, tail
        As in `sign_flip_test`.
    """
    values = _checked(values, tail=tail)
    signs, _ = sign_flips(len(values), n_permutations=n_permutations, rng=generator(seed, "sign-flips"))
    group = _directed(flipped(values.reshape(len(values), -1), signs, statistic=statistic), tail)
    group[0] = _reached(group[0])
    return step_down_p(group).reshape(values.shape[1:])


def _reached(observed: np.ndarray) -> np.ndarray:
    """Return what counts as reaching a statistic: patterns equal but for rounding are ties."""
    return observed - 1e-12 * np.where(np.isfinite(observed), np.abs(observed), 0)


def _directed(group: np.ndarray, tail: Tail) -> np.ndarray:
    return np.abs(group) if tail == "two-sided" else (-group if tail == "less" else group)


def _blocks(n_tests: int, n_members: int) -> Iterator[slice]:
    size = max(1, _BLOCK_BYTES // (8 * n_members))
    for start in range(0, n_tests, size):
        yield slice(start, start + size)


def _checked(values: np.ndarray, *, tail: str) -> np.ndarray:
    if tail not in TAILS:
        raise unknown_name(tail, among=TAILS, kind="tail")
    values = np.asarray(values, dtype=float)
    if values.ndim < 1 or not values.size:
        raise ShapeMismatch(
            "a group test needs listeners by tests", got=values.shape, fix="give an array of (n_listeners, ...)"
        )
    require_finite(values, name="the listeners' values", fix="leave out listeners or tests without a value")
    return values
