"""Which truth is planted? Sparse causes with known directions, as unlike a toy's as a page of code allows.

Causes are on and off in time (a Gaussian process per cause, above its threshold), their frequencies follow Zipf's law,
some come in groups that are on together, some only while their parent is on, and frames lie far from the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory

RATE = 50
ZIPF = 0.7
MOST = 0.4
SLOW, QUICK_ONES = 0.95, 0.7
TOGETHER, GROUP = 0.6, 4
N_CHILDREN, GIVEN_PARENT = 3, 0.35
OFFSET, NOISE = 2.0, 0.02


@dataclass(frozen=True)
class Size:
    """How large a world is, and how long it is trained on.

    Parameters
    ----------
    d_in, n_atoms
        Inputs and planted directions; coders have ``n_atoms`` features.
    n_active
        Mean number of active causes per frame, and coders' k.
    n_sounds, n_frames
        Training sounds and the frames of each; a quarter as many sounds again are held out.
    n_batch, n_steps
        Of every training.
    """

    d_in: int
    n_atoms: int
    n_active: float
    n_sounds: int
    n_frames: int
    n_batch: int
    n_steps: int


FULL = Size(48, 160, 6.0, 40, 1500, 256, 1500)
QUICK = Size(32, 64, 4.0, 16, 1500, 256, 400)


@dataclass(frozen=True)
class World:
    """What was planted, and frames that hold it.

    Parameters
    ----------
    directions
        Unit vectors, shape ``(n_atoms, d_in)``: parents, then their children, then groups, then loners.
    training, held_out
        Trajectories at 50 Hz.
    kinds
        For each kind of cause, which atoms are of it.
    """

    directions: np.ndarray
    training: tuple[Trajectory, ...]
    held_out: tuple[Trajectory, ...]
    kinds: dict[str, np.ndarray]


def build(size: Size, *, seed: int) -> World:
    """Plant one world."""
    rng = np.random.default_rng([seed, 77])
    kinds = _kinds(size.n_atoms)
    directions = rng.standard_normal((size.n_atoms, size.d_in))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    mean = rng.standard_normal(size.d_in)
    # as far off the origin as a multiple of the frames' spread
    mean *= OFFSET * np.sqrt(size.n_active * 1.25) / np.linalg.norm(mean)
    chance = _chances(size, kinds, rng=rng)
    n_held = size.n_sounds // 4
    sounds = [_sound(size, directions, mean, (chance, kinds), rng=rng) for _ in range(size.n_sounds + n_held)]
    return World(directions, tuple(sounds[: size.n_sounds]), tuple(sounds[size.n_sounds :]), kinds)


def _kinds(n: int) -> dict[str, np.ndarray]:
    """Divide atoms: an eighth are parents, three eighths their children, a quarter in groups, a quarter alone."""
    edges = np.cumsum([n // 8, N_CHILDREN * (n // 8), n // 4])
    parents, children, groups, alone = np.split(np.arange(n), edges)
    return {"parent": parents, "child": children, "in a group": groups, "alone": alone}


def _chances(size: Size, kinds: dict[str, np.ndarray], *, rng: np.random.Generator) -> np.ndarray:
    """Return how often each cause wants to be on (a child is, only while its parent is on as well)."""
    free = np.concatenate([kinds[name] for name in ("parent", "in a group", "alone")])
    weight = np.zeros(size.n_atoms)
    weight[free] = rng.permutation(np.arange(1, len(free) + 1) ** -ZIPF)
    # a parent's children are on in its frames, and count in the mean number of active causes
    cost = weight[free].sum() + N_CHILDREN * GIVEN_PARENT * weight[kinds["parent"]].sum()
    chance = np.minimum(weight * size.n_active / cost, MOST)
    chance[kinds["child"]] = GIVEN_PARENT
    return chance


def _sound(
    size: Size,
    directions: np.ndarray,
    mean: np.ndarray,
    causes: tuple[np.ndarray, dict[str, np.ndarray]],
    *,
    rng: np.random.Generator,
) -> Trajectory:
    chance, kinds = causes
    on = _process(size.n_frames, kinds, rng=rng) > norm.isf(chance)
    on[:, kinds["child"]] &= np.repeat(on[:, kinds["parent"]], N_CHILDREN, axis=1)
    strength = on * (0.5 + rng.exponential(0.5, on.shape))
    x = strength @ directions + mean + NOISE * rng.standard_normal((size.n_frames, size.d_in))
    names = tuple(f"h{i}" for i in range(size.d_in))
    return Trajectory(x.astype(np.float32), TimeAxis(RATE, size.n_frames, 0), names)


def _process(n_frames: int, kinds: dict[str, np.ndarray], *, rng: np.random.Generator) -> np.ndarray:
    """Return a standard Gaussian process for each cause; parents' are slow, groups' go together."""
    n = sum(map(len, kinds.values()))
    memory = np.full(n, QUICK_ONES)
    memory[kinds["parent"]] = SLOW
    fresh = rng.standard_normal((n_frames, n))
    shared = np.repeat(rng.standard_normal((n_frames, len(kinds["in a group"]) // GROUP)), GROUP, axis=1)
    group = kinds["in a group"][: shared.shape[1]]
    fresh[:, group] = np.sqrt(TOGETHER) * shared + np.sqrt(1 - TOGETHER) * fresh[:, group]
    found = np.empty((n_frames, n))
    found[0] = fresh[0]
    for i in range(1, n_frames):
        found[i] = memory * found[i - 1] + np.sqrt(1 - memory**2) * fresh[i]
    return found
