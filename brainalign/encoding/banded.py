"""Which penalty does each band of features need? Random search over the simplex, then descent.

The objective is himalaya's: with band weights g on the simplex and a common penalty a, band
b is punished by ``a / g_b`` (times its unit, see `brainalign.encoding.penalty`). Candidates
are all pairs of a drawn g and a given a; every channel takes the one with the best merit
inside its training trials. On request the logarithms of its penalties are then refined by
L-BFGS along the analytic gradient (`brainalign.encoding.bands`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from brainalign.core.arrays import require_shape
from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.joint import JointResult
from brainalign.core.seeds import generator
from brainalign.encoding.bands import BandedRidge, channel
from brainalign.encoding.blocks import fold_moments
from brainalign.encoding.crossval import MomentProblem, choose, path_scores
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.multivariate import NUMERICS, Numerics, joint_result
from brainalign.encoding.penalty import (
    PENALTIES,
    Regulariser,
    as_regulariser,
    band_columns,
    check_penalties,
    lagged_columns,
)
from brainalign.encoding.solve import correlation, fit_of

CONCENTRATIONS = (0.1, 1.0)


@dataclass(frozen=True, eq=False)
class Search:
    """How the bands' penalties are looked for.

    Parameters
    ----------
    n_candidates
        Band weights to draw, from Dirichlet distributions of concentration 0.1 and 1 in turn; the first
        candidate is equal weights.
    weights
        Band weights to try instead of drawn ones, ``(n_candidates, n_bands)``.
    n_steps
        Largest number of L-BFGS iterations afterwards; 0 for none. Each takes one factorisation per inner
        fold, outer fold and channel (or per inner and outer fold where channels share their penalties).
    merit
        By which candidates are judged: ``"r"`` or ``"r2"``.
    seed
        Of the drawing.
    """

    n_candidates: int = 30
    weights: np.ndarray | None = None
    n_steps: int = 0
    merit: str = "r"
    seed: int = 0

    def candidates(self, n_bands: int) -> np.ndarray:
        """Return band weights, ``(n_candidates, n_bands)``."""
        if self.weights is not None:
            return _checked_weights(np.asarray(self.weights, dtype=float), n_bands)
        rng, n = generator(self.seed, "band weights"), self.n_candidates
        rows = [rng.dirichlet(np.full(n_bands, CONCENTRATIONS[i % len(CONCENTRATIONS)])) for i in range(n)]
        return np.array([np.full(n_bands, 1 / n_bands), *rows[1:]])


def _checked_weights(weights: np.ndarray, n_bands: int) -> np.ndarray:
    if weights.ndim != 2 or weights.shape[1] != n_bands:
        raise ShapeMismatch(
            "weights must be candidates by bands", got=weights.shape, fix=f"give {n_bands} weights in each row"
        )
    if not np.all(np.isfinite(weights) & (weights >= 0)) or not weights.any(axis=1).all():
        raise ValueProblem(
            "band weights must be finite, not negative, and not all 0", got=weights.min(), fix="correct the rows"
        )
    return weights


def fit_banded(
    design: Design,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    per_channel: bool = True,
    regulariser: str | Regulariser = "ridge",
    search: Search | None = None,
    numerics: Numerics = NUMERICS,
) -> JointResult:
    """Fit one lagged model of all features, with a penalty for each band of features.

    Parameters
    ----------
    design
        Trials apart, with bands; features of no band form one more.
    penalties
        Common penalties, above 0; a band's own is this divided by the band's weight.
    n_folds
        Folds over stimuli; penalties are chosen inside each fold's training trials.
    per_channel
        Whether every channel has its own penalties.
    regulariser
        Ridge, in any convention but MNE's.
    search
        How penalties are looked for.
    numerics
        Edges and precision.

    Returns
    -------
    JointResult
        The penalty of a band that was left out is infinite.
    """
    search, rule, grid = search or Search(), as_regulariser(regulariser), check_penalties(penalties)
    _require_plain_ridge(rule, grid)
    bands = band_columns(design)
    model = BandedRidge(rule, lagged_columns(bands, design.lags.n), float(design.lags.rate))
    draws = search.candidates(len(bands))
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    moments = fold_moments(design, folds, edges=numerics.edges, dtype=numerics.dtype)
    problem = MomentProblem(moments, model.paths(draws, grid))
    found = path_scores(problem, merit=search.merit)
    inner = choose(found.inner, per_channel=per_channel)
    last = choose(found.outer[search.merit].mean(axis=0), per_channel=per_channel)
    with np.errstate(divide="ignore"):
        table = (grid / draws[:, :, None]).transpose(0, 2, 1).reshape(-1, len(bands))
    scores, alpha, coef_alpha = found.at(inner), table[inner].transpose(0, 2, 1), table[last].T
    if search.n_steps:
        refine = partial(_refined, problem, model, search=search, per_channel=per_channel)
        alpha = np.array([refine(alpha[k], out=(k,)) for k in range(n_folds)])
        coef_alpha = refine(coef_alpha, out=())
        scores = np.array([_held_out_r(problem, model, alpha[k], fold=k) for k in range(n_folds)])
    train = problem.train(())
    weights = model.at(train, coef_alpha)
    settings = {"penalties": list(grid), "n_folds": n_folds, "per_channel": per_channel, "edges": numerics.edges}
    settings |= {"candidates": len(draws), "steps": search.n_steps, "merit": search.merit, "seed": search.seed}
    return joint_result(
        design,
        scores,
        alpha=alpha,
        coef_alpha=coef_alpha,
        weights=weights * moments.scale,
        intercept=moments.mean + moments.scale * (train.y_mean - train.x_mean @ weights),
        step=("fit_banded", settings | {"convention": rule.convention}),
    )


def fit_fixed_bands(
    design: Design,
    penalties: np.ndarray,
    *,
    regulariser: str | Regulariser = "ridge",
    numerics: Numerics = NUMERICS,
) -> JointResult:
    """Fit all trials with each band's given penalty, without cross-validation.

    Parameters
    ----------
    design
        Trials apart, with bands; one trial is enough.
    penalties
        Shape ``(n_bands, n_channels)``, above 0, such as `JointResult.coef_alpha`; infinite ones leave a band out.
    regulariser, numerics
        As in `fit_banded`.

    Returns
    -------
    JointResult
        Its ``scores`` and ``alpha`` have no folds.
    """
    rule, table, bands = as_regulariser(regulariser), np.asarray(penalties, dtype=float), band_columns(design)
    require_shape(table.shape, (len(bands), len(design.channels)), name="penalties", axes="bands, channels")
    _require_plain_ridge(rule, table)
    model = BandedRidge(rule, lagged_columns(bands, design.lags.n), float(design.lags.rate))
    moments = fold_moments(design, np.zeros(len(design.trials), dtype=int), edges=numerics.edges, dtype=numerics.dtype)
    train = moments.total([0])
    weights = model.at(train, table)
    return joint_result(
        design,
        np.empty((0, len(design.channels))),
        alpha=np.empty((0, *table.shape)),
        coef_alpha=table,
        weights=weights * moments.scale,
        intercept=moments.mean + moments.scale * (train.y_mean - train.x_mean @ weights),
        step=("fit_fixed_bands", {"convention": rule.convention, "edges": numerics.edges}),
    )


def _require_plain_ridge(rule: Regulariser, penalties: np.ndarray) -> None:
    if rule.kind != "ridge" or rule.convention == "mne":
        raise ValueProblem(
            "banded models are ridge models, and not in MNE's convention", got=rule, fix="use fit_encoding"
        )
    if not np.all(penalties > 0):
        raise ValueProblem(
            "the penalties of a banded model must be above 0", got=penalties.min(), fix="give a small one instead"
        )


def _refined(
    problem: MomentProblem,
    model: BandedRidge,
    start: np.ndarray,
    *,
    out: tuple[int, ...],
    search: Search,
    per_channel: bool,
) -> np.ndarray:
    """Improve penalties ``(n_bands, n_channels)`` inside the trials that are not left out."""
    inside = [fold for fold in range(problem.n_folds) if fold not in out]
    pairs = [(problem.train((*out, fold)), problem.moments.total([fold])) for fold in inside]
    step = partial(model.refine, merit=search.merit, n_steps=search.n_steps)
    if not per_channel:
        return np.repeat(step(pairs, start[:, 0])[:, None], start.shape[1], axis=1)
    columns = [
        step([(channel(train, c), channel(held, c)) for train, held in pairs], start[:, c])
        for c in range(start.shape[1])
    ]
    return np.stack(columns, axis=1)


def _held_out_r(problem: MomentProblem, model: BandedRidge, penalties: np.ndarray, *, fold: int) -> np.ndarray:
    train = problem.train((fold,))
    return correlation(fit_of(model.at(train, penalties), train, problem.moments.total([fold])))
