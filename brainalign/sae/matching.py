"""Which feature of one coder is which of another? One-to-one by the decoders' directions.

Directions are compared by the absolute cosine: a feature that a coder writes with the other
sign (a basis may) is the same feature. What chance gives is measured on the same numbers of
features: the largest of thousands of random cosines is far from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from brainalign.core.arrays import read_only, require_shape
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.seeds import generator
from brainalign.sae.coder import SparseCoder
from brainalign.sae.units import unit_rows

Chance = Literal["permuted", "random", "none"]


@dataclass(frozen=True, eq=False)
class Matching:
    """Two coders' features, paired one-to-one.

    Parameters
    ----------
    first, second
        Numbers of the paired features, shape ``(n_pairs,)``.
    cosine
        Their absolute cosine.
    nearest
        For each living feature of the first coder, its largest absolute cosine with any of the second, whoever else
        has the same one, shape ``(n_alive,)``.
    alive
        Numbers of the first coder's living features.
    chance_cosine, chance_nearest
        Means of ``cosine`` and ``nearest`` by chance; NaN where it was not measured.
    """

    first: np.ndarray
    second: np.ndarray
    cosine: np.ndarray
    nearest: np.ndarray
    alive: np.ndarray
    chance_cosine: float
    chance_nearest: float

    @property
    def mean_cosine(self) -> float:
        """Mean absolute cosine of the pairs (MCC)."""
        return float(self.cosine.mean())

    @property
    def mmcs(self) -> float:
        """Mean over living features of the largest absolute cosine (MMCS), not one-to-one and not symmetric."""
        return float(self.nearest.mean())


def match_features(
    first: SparseCoder,
    second: SparseCoder,
    *,
    alive: tuple[np.ndarray, np.ndarray] | None = None,
    chance: Chance = "permuted",
    seed: int = 0,
) -> Matching:
    """Pair the features of two coders so that the sum of their decoders' absolute cosines is largest.

    Takes memory for the square of the number of features (6,144: 300 MB), and some seconds.

    Parameters
    ----------
    first, second
        Coders of the same inputs: other seeds or checkpoints, or layers that share their units.
    alive
        Which features of each to look at, as masks or numbers (`Coverage.alive`); all by default. Directions of
        features that never fire are where the start of training left them, and only blur the mean.
    chance
        ``"permuted"``: the second coder's inputs are shuffled, all features alike, which keeps what its features are
        to one another. ``"random"``: as many random directions. ``"none"``: not measured.
    seed
        Of the chance level.
    """
    if first.d_in != second.d_in:
        raise ShapeMismatch(
            "directions can be compared in one space only",
            got=f"{first.d_in} and {second.d_in} inputs",
            fix="compare the features' activity instead (brainalign.sae.overlap.coverage)",
        )
    if chance not in CHANCES:
        raise unknown_name(chance, among=CHANCES, kind="chance level")
    chosen = [_chosen(coder, None if alive is None else alive[i]) for i, coder in enumerate((first, second))]
    left, right = (unit_rows(coder.W_dec[kept]) for coder, kept in zip((first, second), chosen, strict=True))
    cosines = np.abs(left @ right.T)
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    by_chance = float("nan"), float("nan")
    if chance != "none":
        other = np.abs(left @ CHANCES[chance](right, generator(seed, "match-features", chance)).T)
        pairs = linear_sum_assignment(other, maximize=True)
        by_chance = float(other[pairs].mean()), float(other.max(axis=1).mean())
    return Matching(
        read_only(chosen[0][rows]),
        read_only(chosen[1][columns]),
        read_only(cosines[rows, columns]),
        read_only(cosines.max(axis=1)),
        read_only(chosen[0]),
        *by_chance,
    )


def _permuted(directions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return directions[:, rng.permutation(directions.shape[1])]


def _random(directions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return unit_rows(rng.standard_normal(directions.shape).astype(np.float32))


CHANCES = {"permuted": _permuted, "random": _random, "none": _permuted}


def _chosen(coder: SparseCoder, alive: np.ndarray | None) -> np.ndarray:
    if alive is None:
        return np.arange(coder.d_sae)
    given = np.asarray(alive)
    if given.dtype == bool:
        require_shape(given.shape, (coder.d_sae,), name="a mask of living features", axes="features")
        given = np.flatnonzero(given)
    if given.size == 0 or given.min() < 0 or given.max() >= coder.d_sae or np.unique(given).size != given.size:
        raise ValueProblem(
            "features to be matched are numbers of the coder's, each once",
            got=f"{given.size} of {coder.d_sae}, such as {given[:3].tolist()}",
            fix="give a mask, or numbers from 0 to d_sae - 1",
        )
    return given.astype(np.intp)
