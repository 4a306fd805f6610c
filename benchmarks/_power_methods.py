"""Which features does each method call found? The smallest corrected p of every feature, over its channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse, stats

from benchmarks._calibration_nulls import FIT, ring
from benchmarks._calibration_worlds import Recipe, listeners, make_world
from brainalign.core.design import Design
from brainalign.core.seeds import child_seed, generator
from brainalign.encoding.massunivariate import rotated_listeners
from brainalign.encoding.pairs import paired_listeners
from brainalign.stats.cluster import cluster_test
from brainalign.stats.group import fisher_mean
from brainalign.stats.maxstat import corrected_p
from brainalign.stats.multiple import holm
from brainalign.stats.nulls.registry import get_family
from brainalign.stats.permutation import studentised
from brainalign.stats.signflip import flipped, sign_flip_test, sign_flips

N_LISTENERS, N_FEATURES, N_CHANNELS, PLANTED = 12, 12, 8, 0
PAIRING, CIRCULAR = "re-pairing of stories, max-statistic", "circular shift, max-statistic"
PAIRED_CLUSTERS = "re-pairing of stories, clusters of channels"
CENTRED = "maximum of t, sign flips, r less its null"
T_HOLM, CLUSTERS, MAX_T = (
    "t-test across listeners, Holm",
    "clusters of channels, sign flips",
    "maximum of t, sign flips",
)
OWN, PEERS = (PAIRING, CIRCULAR, PAIRED_CLUSTERS, CENTRED), (T_HOLM, CLUSTERS, MAX_T)
METHODS = (*OWN, *PEERS)
_ENGINES: dict[str, Callable[..., Any]] = {"pairing": paired_listeners, "circular-shift": rotated_listeners}
_CLUSTER_FLIPS = 499


def recipe_of(gain: float, *, responders: int = 0) -> Recipe:
    """Return a study in which a sparse feature drives half of the channels; of one name, so that noise is the same."""
    return Recipe(
        "power",
        n_features=N_FEATURES,
        n_channels=N_CHANNELS,
        n_listeners=N_LISTENERS,
        planted=(PLANTED,) if gain else (),
        gain=gain,
        uneven=0.3,
        responders=responders,
    )


def smallest_p(number: int, *, gain: float, responders: int, n_permutations: int, seed: int) -> dict[str, np.ndarray]:
    """Return method -> every feature's smallest corrected p, ``(n_features,)``, in one study.

    And ``"r"``: the planted feature's held-out r over listeners, mean of the channels that are driven.
    """
    world = make_world(recipe_of(gain, responders=responders), number, seed=seed)
    designs = listeners(world, N_LISTENERS)
    own = child_seed(seed, "power", number)
    turned = _scores(designs, "circular-shift", n_permutations=n_permutations, seed=own)
    paired = _scores(designs, "pairing", n_permutations=n_permutations, seed=own)
    z = np.arctanh(turned)
    data, centred = z[:, :, 0], z[:, :, 0] - z[:, :, 1:].mean(axis=2)
    signs, _ = sign_flips(N_LISTENERS, n_permutations=_CLUSTER_FLIPS, rng=generator(own, "clusters"))
    found = {
        PAIRING: _max_statistic(paired),
        CIRCULAR: _max_statistic(turned),
        PAIRED_CLUSTERS: _clusters(np.moveaxis(_standard(paired), 0, 1), threshold=float(stats.norm.ppf(0.95))),
        CENTRED: sign_flip_test(centred, n_permutations=2**N_LISTENERS - 1).p_corrected,
        T_HOLM: holm(np.asarray(stats.ttest_1samp(data, 0, alternative="greater").pvalue)),
        CLUSTERS: _clusters(flipped(data, signs), threshold=float(stats.t.ppf(0.95, N_LISTENERS - 1))),
        MAX_T: sign_flip_test(data, n_permutations=2**N_LISTENERS - 1).p_corrected,
    }
    r = fisher_mean(list(turned[:, PLANTED, 0, : N_CHANNELS // 2])).mean()
    return {name: p.min(axis=1) for name, p in found.items()} | {"r": np.array(r)}


def _scores(designs: list[Design], key: str, *, n_permutations: int, seed: int) -> np.ndarray:
    """Return all listeners' scores, ``(n_listeners, n_features, 1 + B, n_channels)``."""
    draw = get_family(key).draw
    draws = [
        draw(design, n_permutations=n_permutations, seed=seed, n_listeners=len(designs)).values for design in designs
    ]
    return np.array(list(_ENGINES[key](designs, draws, **FIT)), dtype=np.float64).swapaxes(0, 1)


def _standard(scores: np.ndarray) -> np.ndarray:
    """Return the listeners' Fisher mean, studentised, ``(n_features, 1 + B, n_channels)``."""
    return np.array([studentised(group) for group in fisher_mean(list(scores))])


def _max_statistic(scores: np.ndarray) -> np.ndarray:
    """Return p of the listeners' Fisher mean, corrected over features and channels, ``(n_features, n_channels)``."""
    z = _standard(scores)
    return corrected_p(z[:, 0], z.max(axis=(0, 2)))


def _clusters(group: np.ndarray, *, threshold: float) -> np.ndarray:
    """Return cluster-mass p of ``(1 + B, n_features, n_channels)``; channels are neighbours, features are not."""
    adjacency = sparse.csr_array(sparse.block_diag([ring(N_CHANNELS)] * N_FEATURES))
    return cluster_test(group, adjacency, threshold=threshold, tail="greater").p
