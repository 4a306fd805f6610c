"""Would another run have found the same features? Tables over seeds, checkpoints, layers and models, and per feature.

Two views, each beside what chance gives and with dead features left out: *activity*
(`brainalign.sae.overlap`: AudioSAE's coverage) and *directions* (`brainalign.sae.matching`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.core.arrays import read_only
from brainalign.core.errors import MissingPackage, ValueProblem, unknown_name
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.matching import Chance, Matching, match_features
from brainalign.sae.overlap import THETA, Coverage, alive_features, coverage, duplicates

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FeatureStability:
    """How well each feature of one coder is found again by several others.

    Parameters
    ----------
    iou
        Largest intersection over union of its active frames with a feature of each other, ``(n_others, n_features)``.
    chance_share
        Share of living features that are covered by chance, mean over the others.
    cosine
        Absolute cosine to the feature it is paired with in each other; NaN where it is paired with none, or where the
        coders' inputs differ, ``(n_others, n_features)``.
    alive
        Which features are active at all.
    theta
        What counts as covered.
    others
        Names of the others.
    """

    iou: np.ndarray
    chance_share: float
    cosine: np.ndarray
    alive: np.ndarray
    theta: float
    others: tuple[str, ...]

    @property
    def n_covered(self) -> np.ndarray:
        """How many of the others have each feature, shape ``(n_features,)``."""
        return (self.iou > self.theta).sum(axis=0)

    def stable(self, *, at_least: int | None = None) -> np.ndarray:
        """Return the numbers of the living features that at least so many others have (all of them by default)."""
        least = len(self.others) if at_least is None else at_least
        return np.flatnonzero(self.alive & (self.n_covered >= least))

    def rows(self) -> list[Row]:
        """Return one row per feature, JSON values."""
        return [
            {
                "feature": j,
                "alive": bool(self.alive[j]),
                "n_covered": int(self.n_covered[j]),
                "mean_iou": float(self.iou[:, j].mean()),
                "min_iou": float(self.iou[:, j].min()),
                "mean_cosine": _mean(self.cosine[:, j]),
            }
            for j in range(len(self.alive))
        ]

    def to_dataframe(self) -> pandas.DataFrame:
        """Return `rows` as a DataFrame (needs pandas)."""
        return table_of(self.rows())


def feature_stability(
    codes: Sequence[Trajectory],
    others: Mapping[str, Sequence[Trajectory]],
    *,
    coders: tuple[SparseCoder, Mapping[str, SparseCoder]] | None = None,
    theta: float = THETA,
    min_frames: int = 1,
    n_shifts: int = 5,
    seed: int = 0,
) -> FeatureStability:
    """Return for each feature how many other coders have it.

    Parameters
    ----------
    codes
        The coder's features, on sounds that were not trained on.
    others
        Other coders' features of the same sounds, by name.
    coders
        The coder and the others, where directions are to be compared too; others of another width are left out of it.
    theta, min_frames, n_shifts, seed
        As for `brainalign.sae.overlap.coverage`.
    """
    if not others:
        raise ValueProblem("stability needs another coder", got="none", fix="train one with another seed")
    how: Row = {"theta": theta, "min_frames": min_frames, "n_shifts": n_shifts, "seed": seed}
    found = {name: coverage(codes, theirs, **how) for name, theirs in others.items()}
    alive = next(iter(found.values())).alive
    cosine = np.full((len(others), len(alive)), np.nan)
    for i, (name, item) in enumerate(found.items()):
        if coders is not None and name in coders[1] and coders[1][name].d_in == coders[0].d_in:
            living = alive_features(others[name], min_frames=min_frames)
            matched = match_features(coders[0], coders[1][name], alive=(item.alive, living), chance="none")
            cosine[i, matched.first] = matched.cosine
    return FeatureStability(
        read_only(np.array([item.best.iou for item in found.values()])),
        float(np.mean([item.chance.mean() for item in found.values()])) if n_shifts else float("nan"),
        read_only(cosine),
        alive,
        theta,
        tuple(found),
    )


def stability_table(
    codes: Mapping[str, Sequence[Trajectory]],
    coders: Mapping[str, SparseCoder] | None = None,
    *,
    theta: float = THETA,
    min_frames: int = 1,
    n_shifts: int = 5,
    chance: Chance = "permuted",
    seed: int = 0,
) -> list[Row]:
    """Return one row for every ordered pair of coders: coverage and, where they share a space, matched directions.

    Parameters
    ----------
    codes
        Features of the same held-out sounds, by the coder's name (a seed, checkpoint, layer or model).
    coders
        The coders, by the same names; without them only activity is compared.
    theta, min_frames, n_shifts, seed
        As for `brainalign.sae.overlap.coverage`.
    chance
        As for `brainalign.sae.matching.match_features`.

    Returns
    -------
    list of dict
        ``of`` and ``by``, ``n_alive``, ``covered`` (the count), ``coverage`` (its share of those alive),
        ``coverage_chance``, ``duplicates`` and ``duplicates_chance`` (within ``of``), ``matched_cosine``, ``mmcs``
        and their chance levels. Ready for JSON or `table_of`.
    """
    for name in coders or ():
        if name not in codes:
            raise unknown_name(name, among=codes, kind="coder whose features were given")
    how: Row = {"theta": theta, "min_frames": min_frames, "n_shifts": n_shifts, "seed": seed}
    twice = {name: duplicates(items, **how) for name, items in codes.items()}
    rows = []
    for of, by in permutations(codes, 2):
        found = coverage(codes[of], codes[by], **how)
        row = {"of": of, "by": by, "theta": theta, **_activity(found, twice[of])}
        if coders is not None and {of, by} <= coders.keys() and coders[of].d_in == coders[by].d_in:
            living = (twice[of].alive, twice[by].alive)
            row |= _directions(match_features(coders[of], coders[by], alive=living, chance=chance, seed=seed))
        rows.append(row)
    return rows


def _activity(found: Coverage, twice: Coverage) -> Row:
    return {
        "n_features": len(found.alive),
        "n_alive": int(found.alive.sum()),
        "covered": found.count,
        "coverage": found.share,
        "coverage_chance": _mean(found.chance),
        "duplicates": twice.share,
        "duplicates_chance": _mean(twice.chance),
    }


def _directions(matched: Matching) -> Row:
    return {
        "matched_cosine": matched.mean_cosine,
        "matched_cosine_chance": matched.chance_cosine,
        "mmcs": matched.mmcs,
        "mmcs_chance": matched.chance_nearest,
    }


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is known, NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def table_of(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """Return rows as a DataFrame (needs pandas)."""
    try:
        import pandas
    except ImportError as error:
        raise MissingPackage("tables need pandas", got=error, fix="pip install 'brainalign[labels]'") from error

    return pandas.DataFrame(list(rows))
