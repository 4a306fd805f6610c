"""Which worlds are made for which null, and what is asked of each? The jobs, one world at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy import stats

from benchmarks._calibration_nulls import (
    FAMILY,
    LEVELS,
    SIGN_FLIP,
    Family,
    false_shares,
    flips,
    listeners_scores,
    naive_p,
    neighbours,
    ring,
    scores,
    seed_of,
    single_p,
    smallest,
    weights_neighbours,
)
from benchmarks._calibration_worlds import Recipe, World, make_world
from brainalign.core.errors import ValueProblem
from brainalign.stats.permutation import studentised
from brainalign.stats.support import support

Found = dict[str, Any]
N_LISTENERS = 12
ALL_PATTERNS = 2**N_LISTENERS - 1
PLANTED = (0, 3, 1)  # two sparse features and a bursty one; no envelope
QUIET, MANY = Recipe("quiet"), Recipe("many", n_features=72)
SOME = Recipe("some", n_features=FAMILY, planted=PLANTED, gain=0.07)
RECIPES: dict[str, tuple[Recipe, Recipe]] = {
    "circular-shift": (QUIET, SOME),
    "pairing": (QUIET, SOME),
    # Responses are slow to make, and serve as many features as one likes.
    "phase": (MANY, SOME),
    "blocks": (MANY, SOME),
    "freedman-lane": (
        Recipe("led", led=0.5),
        Recipe("led-some", n_features=FAMILY, led=0.5, planted=PLANTED, gain=0.2),
    ),
    SIGN_FLIP: (
        Recipe("listeners", n_listeners=N_LISTENERS, n_channels=8),
        Recipe("listeners-some", n_features=FAMILY, n_listeners=N_LISTENERS, n_channels=8, planted=PLANTED, gain=0.025),
    ),
}
"""Null -> worlds without any effect, and worlds with some."""
HARD: dict[str, tuple[Recipe, str]] = {
    "slow drifts on both sides, no high-pass": (Recipe("drifting", drifting=True), "envelope"),
    "alpha that waxes in bursts": (Recipe("waxing", waxing=True), "bursty"),
    "an acoustic baseline drives the response": (RECIPES["freedman-lane"][0], "all"),
}
"""Worlds that ask too much of some nulls, and the features that are looked at."""


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Attributes
    ----------
    quiet, some
        Worlds per null, without and with effects.
    hard
        Worlds for nulls that turn stimuli; those that make responses get a quarter.
    n_permutations
        Surrogates.
    every
        In every so manieth world clusters and TFCE are worked out.
    judged
        Whether claims are judged; small runs say what they found and no more.
    """

    quiet: dict[str, int]
    some: dict[str, int]
    hard: int
    n_permutations: int = 999
    every: dict[str, int] = field(default_factory=dict)
    judged: bool = True


FULL = Size(
    quiet={"circular-shift": 500, "pairing": 500, "phase": 40, "blocks": 40, "freedman-lane": 150, SIGN_FLIP: 200},
    some={"circular-shift": 200, "pairing": 200, "phase": 24, "blocks": 24, "freedman-lane": 80, SIGN_FLIP: 120},
    hard=64,
    every={"circular-shift": 5, "pairing": 5, "freedman-lane": 2, SIGN_FLIP: 2},
)
QUICK = Size(
    quiet={"circular-shift": 8, "pairing": 8, "phase": 2, "blocks": 2, "freedman-lane": 4, SIGN_FLIP: 3},
    some={"circular-shift": 3, "pairing": 3, "phase": 2, "blocks": 2, "freedman-lane": 2, SIGN_FLIP: 2},
    hard=2,
    n_permutations=59,
    every={"circular-shift": 8, "pairing": 8, "phase": 2, "blocks": 2, "freedman-lane": 4, SIGN_FLIP: 3},
    judged=False,
)


def scaled(size: Size, share: float) -> Size:
    """Return a size with this share of the worlds, two of each at least.

    >>> scaled(FULL, 0.1).quiet["phase"], scaled(FULL, 0.001).hard
    (4, 2)
    """
    fewer = {name: {key: max(2, round(share * n)) for key, n in vars(size)[name].items()} for name in ("quiet", "some")}
    return replace(size, **fewer, hard=max(2, round(share * size.hard)))


def quiet(number: int, *, key: str, size: Size, seed: int) -> Found:
    """Test a world without any effect: single features, families of twelve, and neighbours."""
    world = make_world(RECIPES[key][0], number, seed=seed)
    own = seed_of(seed, key, number)
    near = number % size.every.get(key, 1) == 0
    if key == SIGN_FLIP:
        values = listeners_scores(world, n_listeners=N_LISTENERS, seed=own)
        groups = flips(values, n_permutations=ALL_PATTERNS, seed=own)
        found: Found = {"support": "good", "t": parametric_p(values)}
        found["neighbours"] = [listeners_neighbours(world, values, size=size, seed=own)] if near else []
    else:
        groups = scores(world, key, n_permutations=size.n_permutations, seed=own)
        found = {"support": support(world.design, key).level, "naive": naive_p(groups)}
        found["neighbours"] = [channels_neighbours(group) for group in groups[::FAMILY]] if near else []
    found["p"] = single_p(groups)
    starts = range(0, len(groups), FAMILY)
    found["families"] = [smallest(family_of(groups, world, key=key, start=start)) for start in starts]
    return found


def family_of(groups: np.ndarray, world: World, *, key: str, start: int = 0) -> Family:
    """Return the tests that are corrected together."""
    part = slice(start, start + FAMILY)
    return Family.of(groups[part], world.kinds[part], standard=key == SIGN_FLIP)


def parametric_p(values: np.ndarray) -> np.ndarray:
    """Return p of the t-test across listeners, of one feature on one channel each, as `single_p` takes them."""
    chosen = np.array([values[:, f, f % values.shape[2]] for f in range(values.shape[1])])
    return np.asarray(stats.ttest_1samp(chosen, 0, axis=1, alternative="greater").pvalue)


def channels_neighbours(group: np.ndarray) -> dict[str, float]:
    """Return smallest p of clusters and TFCE over one feature's channels."""
    threshold = float(stats.norm.ppf(0.95))
    return neighbours(studentised(group), ring(group.shape[1]), threshold=threshold, tail="greater")


def listeners_neighbours(world: World, values: np.ndarray, *, size: Size, seed: int) -> dict[str, float]:
    """Return smallest p of clusters and TFCE for the first feature: over channels, and over lags and channels."""
    group = flips(values[:, :1], n_permutations=size.n_permutations, seed=seed, name="scores")[0]
    threshold = float(stats.t.ppf(0.95, N_LISTENERS - 1))
    maps = neighbours(group, ring(group.shape[1]), threshold=threshold, tail="greater")
    weights = weights_neighbours(world, n_listeners=N_LISTENERS, seed=seed, n_permutations=size.n_permutations)
    return maps | {f"{name}, weights": value for name, value in weights.items()}


def some(number: int, *, key: str, size: Size, seed: int) -> Found:
    """Test a world in which some features have an effect: what is falsely found beside them, and what is found."""
    world = make_world(RECIPES[key][1], number, seed=seed)
    own = seed_of(seed, f"{key}-some", number)
    if key == SIGN_FLIP:
        values = listeners_scores(world, n_listeners=N_LISTENERS, seed=own)
        groups = flips(values, n_permutations=ALL_PATTERNS, seed=own)
    else:
        groups = scores(world, key, n_permutations=size.n_permutations, seed=own)
    family = family_of(groups, world, key=key)
    return {
        "false": [false_shares(family, world.truth, level=level) for level in LEVELS],
        "power": float(np.mean(family.p[world.truth] <= LEVELS[0])),
    }


def hard(number: int, *, key: str, name: str, size: Size, seed: int) -> Found:
    """Test a world that asks too much, and ask what `support` says of it."""
    recipe, kind = HARD[name]
    world = make_world(recipe, number, seed=seed)
    found: Found = {"support": support(world.design, key).level, "p": None, "kind": kind}
    try:
        groups = scores(world, key, n_permutations=size.n_permutations, seed=seed_of(seed, f"{key}-{name}", number))
    except ValueProblem as problem:
        return found | {"refused": problem.args[0] if problem.args else str(problem)}
    return found | {"p": single_p(groups)}


def run_all(job: Callable[[int], Found], n: int, *, n_jobs: int) -> list[Found]:
    """Run worlds 0 to ``n - 1``; the result is the same for any number of workers."""
    if n_jobs == 1:
        return [job(number) for number in range(n)]
    with ProcessPoolExecutor(n_jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(job, range(n), chunksize=max(1, min(8, n // (4 * n_jobs)))))


def plan(size: Size, seed: int) -> Iterator[tuple[str, str, Callable[[int], Found], int]]:
    """Yield task, what it is about, the job of one world, and the number of worlds."""
    for key in RECIPES:
        yield "quiet", key, partial(quiet, key=key, size=size, seed=seed), size.quiet[key]
    for key in RECIPES:
        yield "some", key, partial(some, key=key, size=size, seed=seed), size.some[key]
    for name in HARD:
        for key in nulls_of(name):
            n = size.hard if key in ("circular-shift", "pairing", "freedman-lane") else max(2, size.hard // 4)
            yield f"hard: {name}", key, partial(hard, key=key, name=name, size=size, seed=seed), n


def nulls_of(name: str) -> tuple[str, ...]:
    """Return the nulls that are put to a hard world."""
    everything = ("circular-shift", "pairing", "phase", "blocks")
    return ("circular-shift", "freedman-lane") if HARD[name][0].led else everything
