"""What does each band of features explain alone, and what do several explain in common?

Every set of bands is a model of its own, with its own penalty, scored on held-out trials;
all come from one pass over the data, because a smaller model's moments are part of the
larger's. Commonality analysis takes the explained variance of all 2^B - 1 models apart: the
part that exactly the bands in T share is

    C(T) = sum_{U in T} (-1)^(|U|+1) score((all bands not in T) + U),    score(nothing) = 0

and the parts sum to the full model's score. Parts in R2 are shares of variance; parts in r
are differences of correlations, to be read as such. Held-out parts can be negative, by
noise or by suppression. The product measure takes the full model's score apart among bands
instead: a band's share is its own prediction's product with what is to be explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.encoding.blocks import Centred, fold_moments
from brainalign.encoding.crossval import MomentProblem, choose, path_scores
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.multivariate import NUMERICS, Numerics, ridge_path
from brainalign.encoding.penalty import (
    PENALTIES,
    Regulariser,
    as_regulariser,
    band_columns,
    check_penalties,
    lagged_columns,
)
from brainalign.encoding.solve import fit_of

MAX_BANDS = 4
Subset = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Partition:
    """Explained variance, taken apart among bands of features.

    Attributes
    ----------
    bands
        Names.
    subsets
        Every set of bands, small ones first; the last is all of them.
    r, r2
        Held-out scores of each subset's model, averaged over folds, ``(n_subsets, n_channels)``.
    r_parts, r2_parts
        What exactly the bands of each subset share (a single band: what it alone explains), same shape.
    r_shares, r2_shares
        Product measure: each band's share of the full model's score, ``(n_bands, n_channels)``.
    """

    bands: tuple[str, ...]
    subsets: tuple[Subset, ...]
    r: np.ndarray
    r2: np.ndarray
    r_parts: np.ndarray
    r2_parts: np.ndarray
    r_shares: np.ndarray
    r2_shares: np.ndarray

    def index(self, *bands: str) -> int:
        """Return the row of a set of bands, in any order."""
        return self.subsets.index(tuple(name for name in self.bands if name in bands))

    def unique(self, band: str) -> np.ndarray:
        """Return what a band alone explains, in held-out R2, ``(n_channels,)``."""
        return self.r2_parts[self.index(band)]


def partition_variance(
    design: Design,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    per_channel: bool = True,
    regulariser: str | Regulariser = "ridge",
    merit: str = "r",
    numerics: Numerics = NUMERICS,
) -> Partition:
    """Fit every set of the design's bands and take the held-out scores apart.

    Parameters
    ----------
    design
        Trials apart, with 2 to 4 bands (features of no band form one more).
    penalties, n_folds, per_channel, regulariser, numerics
        As in `fit_encoding`; every model chooses its own penalty.
    merit
        By which penalties are chosen: ``"r"`` or ``"r2"``.
    """
    bands, rule, grid = band_columns(design), as_regulariser(regulariser), check_penalties(penalties)
    _require_bands(bands, rule)
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    moments = fold_moments(design, folds, edges=numerics.edges, dtype=numerics.dtype)
    names = tuple(bands)
    subsets = tuple(subset for size in range(1, len(names) + 1) for subset in combinations(names, size))
    scores: dict[str, list[np.ndarray]] = {"r": [], "r2": []}
    for subset in subsets:
        columns = np.concatenate([bands[name] for name in subset])
        part = _own_bands(design, {name: bands[name] for name in subset}, columns)
        path = ridge_path(part, grid, regulariser=rule, solver=numerics.solver)
        problem = MomentProblem(moments.select(columns), path)
        found = path_scores(problem, merit=merit)
        choice = choose(found.inner, per_channel=per_channel)
        for name, values in scores.items():
            values.append(found.at(choice, score=name).mean(axis=0))
    # The loop ends with the full model, whose bands stand in their own order.
    groups = lagged_columns(band_columns(part), design.lags.n)
    shares = [_shares(problem, choice[fold], fold=fold, groups=groups) for fold in range(n_folds)]
    r, r2 = np.array(scores["r"]), np.array(scores["r2"])
    return Partition(names, subsets, r, r2, commonality(r, subsets), commonality(r2, subsets), *np.mean(shares, axis=0))


def _require_bands(bands: dict[str, np.ndarray], rule: Regulariser) -> None:
    if not 2 <= len(bands) <= MAX_BANDS:
        raise ValueProblem(
            f"variance is parted among 2 to {MAX_BANDS} bands", got=f"{len(bands)} bands", fix="join or drop bands"
        )
    if rule.convention == "mne":
        raise ValueProblem("variance is not parted in MNE's convention", got=rule, fix="use 'relative' or 'absolute'")


def _own_bands(design: Design, bands: dict[str, np.ndarray], columns: np.ndarray) -> Design:
    """Return the design of some features, with their bands under the new column numbers."""
    place = {int(column): i for i, column in enumerate(columns)}
    renumbered = {name: tuple(place[int(column)] for column in own) for name, own in bands.items()}
    return replace(design.select(columns), bands=renumbered)


def commonality(scores: np.ndarray, subsets: Sequence[Subset]) -> np.ndarray:
    """Return what exactly the bands of each subset share.

    Parameters
    ----------
    scores
        One row per subset.
    subsets
        All non-empty sets of the bands, the full one last.

    Examples
    --------
    Two bands that explain 0.3 and 0.2 alone and 0.4 together share 0.1:

    >>> commonality(np.array([[0.3], [0.2], [0.4]]), [("a",), ("b",), ("a", "b")]).round(3).ravel().tolist()
    [0.2, 0.1, 0.1]
    """
    everything = subsets[-1]
    row = {frozenset(subset): i for i, subset in enumerate(subsets)}
    parts = np.zeros_like(scores)
    for i, subset in enumerate(subsets):
        others = [name for name in everything if name not in subset]
        for size in range(len(subset) + 1):
            for chosen in combinations(subset, size):
                model = frozenset((*others, *chosen))
                parts[i] += (-1) ** (size + 1) * (scores[row[model]] if model else 0.0)
    return parts


def _shares(
    problem: MomentProblem, choice: np.ndarray, *, fold: int, groups: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return each band's product measure in r and in R2, ``(n_bands, n_channels)``.

    A mean error that the intercept leaves (next to nothing in high-passed data) is split evenly.
    """
    train, (held,) = problem.train((fold,)), problem.tried((fold,))
    w = problem.chosen(train, choice)
    fit = fit_of(w, train, held)
    product, power = (np.array([part[columns].sum(axis=0) for columns in groups]) for part in _columns(w, held))
    syy = np.where(held.syy > 0, held.syy, np.inf)
    r2 = (2 * product - power - held.n * fit.error**2 / len(groups)) / syy
    length = np.sqrt(np.clip(fit.power, 0, None) * held.syy)
    return product / np.where(length > 0, length, np.inf), r2


def _columns(w: np.ndarray, held: Centred) -> tuple[np.ndarray, np.ndarray]:
    """Return every column's part of w'Sxy and of w'Sxx w."""
    return w * held.sxy, w * (held.sxx @ w)
