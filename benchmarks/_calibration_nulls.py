"""What does each null say of a world? Scores of the data and of all surrogates, and what corrections make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse, stats

from benchmarks._calibration_worlds import KINDS, N_FRAMES, N_TRIALS, World, first_features
from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import child_seed, generator
from brainalign.encoding.massunivariate import feature_maps, rotated_scores
from brainalign.encoding.pairs import paired_scores
from brainalign.encoding.surrogates import surrogate_scores
from brainalign.encoding.unique import unique_rotated
from brainalign.stats.cluster import cluster_test
from brainalign.stats.graph import over_lags
from brainalign.stats.hierarchy import hierarchical_fdr
from brainalign.stats.maxstat import corrected_p, step_down_p
from brainalign.stats.multiple import CORRECTIONS
from brainalign.stats.nulls.registry import get_family
from brainalign.stats.permutation import permutation_p, studentised
from brainalign.stats.signflip import flipped, sign_flips
from brainalign.stats.tfce import tfce_test

LEVELS = (0.05, 0.01, 0.001)
FIT: dict[str, Any] = {"penalties": (0.1, 1.0, 10.0), "n_folds": 4}
ROUNDING = 1e-9
N_CENTRING = 40
FAMILY = 12
"""Features that are corrected together: with four channels 48 tests, of which 999 surrogates can support Holm's."""
SIGN_FLIP = "sign-flip"


def scores(world: World, key: str, *, n_permutations: int, seed: int) -> np.ndarray:
    """Return scores of the data and its surrogates, ``(n_features, 1 + B, n_channels)``."""
    design, family = world.design, get_family(key)
    values = family.draw(design, n_permutations=n_permutations, seed=seed).values
    if key == "freedman-lane":
        found = unique_rotated(design, world.baseline, values, baseline_penalties=FIT["penalties"], **FIT)
    elif family.kind == "rotations":
        found = rotated_scores(design, values, **FIT)
    elif family.kind == "pairings":
        found = paired_scores(design, values, **FIT)
    elif family.responses is None:
        raise ValueProblem("a null must make surrogates", got=key, fix="give it responses")
    else:
        found = surrogate_scores(design, family.responses(design, values), n=len(values), **FIT)
    return np.array(list(found), dtype=np.float64)


def listeners_scores(world: World, *, n_listeners: int, seed: int) -> np.ndarray:
    """Return every listener's Fisher-transformed r less the mean of that listener's null.

    Returns
    -------
    numpy.ndarray
        ``(n_listeners, n_features, n_channels)``.
    """
    z = np.arctanh(scores(world, "circular-shift", n_permutations=N_CENTRING, seed=seed))
    centred = z[:, 0] - z[:, 1:].mean(axis=1)
    return np.moveaxis(centred.reshape(len(centred), n_listeners, -1), 1, 0)


def flips(values: np.ndarray, *, n_permutations: int, seed: int, name: str = "flips") -> np.ndarray:
    """Return t under every pattern of signs, as `scores` returns scores: ``(n_features, 1 + B, n_channels)``."""
    signs, _ = sign_flips(len(values), n_permutations=n_permutations, rng=generator(seed, name))
    return np.moveaxis(flipped(values, signs), 0, 1)


def single_p(groups: np.ndarray) -> np.ndarray:
    """Return one uncorrected p per feature, on another channel each: features are independent, channels are not."""
    n_features, _, n_channels = groups.shape
    return np.array([permutation_p(groups[f])[f % n_channels] for f in range(n_features)])


def naive_p(groups: np.ndarray) -> np.ndarray:
    """Return p of the data's held-out r as if every held-out frame were an independent sample (Fisher's z)."""
    n_features, _, n_channels = groups.shape
    r = np.array([groups[f, 0, f % n_channels] for f in range(n_features)])
    n_free = N_TRIALS * N_FRAMES - 3 * FIT["n_folds"]
    return stats.norm.sf(np.arctanh(r) * np.sqrt(n_free))


def ring(n: int) -> sparse.csr_array:
    """Return the adjacency of channels on a ring, as `benchmarks._calibration_worlds` mixes them."""
    near = np.roll(np.eye(n), 1, axis=1)
    return sparse.csr_array(near + near.T > 0)


@dataclass(frozen=True, eq=False)
class Family:
    """What corrections look at: the statistic of the data and its surrogates for every test of a family.

    Attributes
    ----------
    z
        Comparable between tests, ``(1 + B, n_features, n_channels)``.
    p
        Uncorrected, ``(n_features, n_channels)``.
    layers
        Each feature's branch of the tree.
    """

    z: np.ndarray
    p: np.ndarray
    layers: tuple[str, ...]

    @classmethod
    def of(cls, groups: np.ndarray, kinds: np.ndarray, *, standard: bool = False) -> Family:
        """Take groups as `scores` gives them; studentise them unless they are on one scale already."""
        p = np.array([permutation_p(_tied(group)) for group in groups])
        z = np.moveaxis(groups if standard else np.array([studentised(group) for group in groups]), 1, 0)
        return cls(z, p, tuple(KINDS[kind] for kind in kinds))

    @property
    def flat(self) -> np.ndarray:
        """The statistics with all tests side by side."""
        return self.z.reshape(len(self.z), -1)


def _tied(group: np.ndarray) -> np.ndarray:
    """Lower the data by what rounding may be worth, so that surrogates equal to it count."""
    return np.concatenate([group[:1] - 1e-12 * np.abs(group[:1]), group[1:]])


def _max_statistic(family: Family) -> np.ndarray:
    return corrected_p(family.flat[0], family.flat.max(axis=1)).reshape(family.p.shape)


def _step_down(family: Family) -> np.ndarray:
    return step_down_p(family.flat).reshape(family.p.shape)


CORRECTED: dict[str, Callable[[Family], np.ndarray]] = {
    "max-statistic": _max_statistic,
    "step-down": _step_down,
    **{name: lambda family, name=name: CORRECTIONS[name].adjust(family.p) for name in CORRECTIONS},
}
FAMILY_WISE = ("max-statistic", "step-down", "holm")
HIERARCHICAL = "hierarchical"
NEIGHBOURS = ("cluster mass", "TFCE")


def smallest(family: Family) -> dict[str, float]:
    """Return every correction's smallest adjusted p; the tree's is the largest level at which it finds nothing."""
    found = {name: float(correct(family).min()) for name, correct in CORRECTED.items()}
    levels = [level for level in LEVELS if tree(family, level=level).layer_found.any()]
    return found | {HIERARCHICAL: min(levels, default=1.0)}


def tree(family: Family, *, level: float) -> Any:
    """Return the tree of false-discovery rates over kinds, features and channels."""
    return hierarchical_fdr(family.p, layers=family.layers, level=level)


def neighbours(group: np.ndarray, adjacency: sparse.csr_array, *, threshold: float, tail: Any) -> dict[str, float]:
    """Return the smallest p of clusters' mass and of TFCE; group is ``(1 + B, ...)``."""
    mass = cluster_test(group, adjacency, threshold=threshold, tail=tail)
    return {
        "cluster mass": float(mass.p.min()),
        "TFCE": float(tfce_test(group, adjacency, tail=tail).p_corrected.min()),
    }


def weights_groups(design: Design, *, n_listeners: int, seed: int, n_permutations: int) -> np.ndarray:
    """Return t of one feature's response function over listeners, under sign flips: ``(1 + B, n_lags, n_channels)``."""
    coef = np.asarray(feature_maps(design, edges="circular", **FIT).coef, dtype=float)[0]
    by_listener = np.moveaxis(coef.reshape(coef.shape[0], n_listeners, -1), 1, 0)
    signs, _ = sign_flips(n_listeners, n_permutations=n_permutations, rng=generator(seed, "weights"))
    return flipped(by_listener, signs)


def weights_neighbours(world: World, *, n_listeners: int, seed: int, n_permutations: int) -> dict[str, float]:
    """Return clusters' and TFCE's smallest p over lags and channels of the first feature's response function."""
    group = weights_groups(first_features(world, 1), n_listeners=n_listeners, seed=seed, n_permutations=n_permutations)
    threshold = float(stats.t.ppf(0.975, n_listeners - 1))
    adjacency = over_lags(ring(group.shape[2]), n_lags=group.shape[1])
    return neighbours(group, adjacency, threshold=threshold, tail="two-sided")


def false_shares(family: Family, truth: np.ndarray, *, level: float) -> dict[str, float]:
    """Return per correction the share of false among all discoveries (0 of none), or 1 if any is false.

    Family-wise methods are judged by the latter; the tree by each of its three levels.
    """
    shares = {}
    for name, correct in CORRECTED.items():
        found = correct(family) <= level + ROUNDING
        false = float(np.sum(found & ~truth))
        shares[name] = float(false > 0) if name in FAMILY_WISE else false / max(1, found.sum())
    return shares | _tree_shares(family, truth, level=level)


def _tree_shares(family: Family, truth: np.ndarray, *, level: float) -> dict[str, float]:
    """Return the tree's false shares: of layers, of features in found layers, of channels of found features."""
    found = tree(family, level=level)
    layers = np.array(family.layers)
    true_layer = {name: bool(truth[layers == name].any()) for name in found.layers}
    chosen = [name for name, yes in zip(found.layers, found.layer_found, strict=True) if yes]
    features, channels = [], []
    for name in chosen:
        inside = np.flatnonzero((layers == name) & found.feature_found)
        features.append(np.mean(~truth[inside].any(axis=1)))
        channels.append(np.mean([np.sum(found.found[f] & ~truth[f]) / max(1, found.found[f].sum()) for f in inside]))
    return {
        f"{HIERARCHICAL}: layers": float(np.mean([not true_layer[name] for name in chosen])) if chosen else 0.0,
        f"{HIERARCHICAL}: features": float(np.mean(features)) if features else 0.0,
        f"{HIERARCHICAL}: channels": float(np.mean(channels)) if channels else 0.0,
    }


def seed_of(seed: int, name: str, number: int) -> int:
    """Return a seed for one world's surrogates."""
    return child_seed(seed, "surrogates", name, number)
