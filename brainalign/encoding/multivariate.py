"""How well do all features together predict each channel? Joint lagged ridge models.

`fit_encoding` cross-validates the whole path of penalties and fits all trials with the best;
`fit_fixed` fits all trials with penalties that are given.
Scores come from moments; `brainalign.encoding.prediction` gives predictions where they are wanted.

Primal (moments; cost p^3 in p = features x lags) or kernel (cost n^3 in frames): the kernel
is taken where the design has fewer usable frames than lagged columns, the model is plain
ridge between silences, and nothing else forbids it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.joint import JointResult
from brainalign.encoding.blocks import Centred, fold_moments
from brainalign.encoding.crossval import MomentProblem, Path, Problem, choose, path_scores
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.kernel import kernel_problem
from brainalign.encoding.mne_convention import mne_problem
from brainalign.encoding.moments import Edges
from brainalign.encoding.penalty import (
    PENALTIES,
    Regulariser,
    as_regulariser,
    band_columns,
    check_penalties,
    lagged_columns,
)
from brainalign.encoding.reduce import ReducedRidge
from brainalign.encoding.solve import Ridge, Solver


@dataclass(frozen=True)
class Numerics:
    """How the numbers are computed; no choice but ``edges`` changes them beyond rounding.

    Parameters
    ----------
    edges
        What lies beyond a trial's ends: silence (``"zero"``) or its other end (``"circular"``).
    dtype
        Precision of the bulk products; sums and small algebra are float64.
    solver
        ``"cholesky"``, ``"eigen"``, ``"kernel"``, or ``"auto"``: the cheapest.
    """

    edges: Edges = "zero"
    dtype: type = np.float64
    solver: Solver = "auto"


NUMERICS = Numerics()


@dataclass(frozen=True, eq=False)
class _Model:
    design: Design
    penalties: np.ndarray
    regulariser: Regulariser
    pca: int | float | None
    numerics: Numerics

    def problem(self, folds: np.ndarray) -> tuple[Problem, np.ndarray, np.ndarray]:
        """Return what is to be trained, with the constants that standardised the responses."""
        if self._by_kernel():
            return kernel_problem(self.design, folds, regulariser=self.regulariser, penalties=self.penalties)
        if self.regulariser.convention == "mne":
            problem: MomentProblem = mne_problem(self.design, folds, self.path(), dtype=self.numerics.dtype)
            return problem, problem.moments.mean, problem.moments.scale
        moments = fold_moments(self.design, folds, edges=self.numerics.edges, dtype=self.numerics.dtype)
        return MomentProblem(moments, self.path()), moments.mean, moments.scale

    def path(self) -> Path:
        return ridge_path(
            self.design, self.penalties, regulariser=self.regulariser, pca=self.pca, solver=self.numerics.solver
        )

    def _by_kernel(self) -> bool:
        solver, columns = self.numerics.solver, self.design.n_features * self.design.lags.n
        plain = self.regulariser.kind == "ridge" and self.regulariser.convention != "mne" and self.pca is None
        possible = plain and self.numerics.edges == "zero"
        if solver == "kernel" and not possible:
            raise ValueProblem(
                "the kernel solver knows ridge between silences only",
                got=f"{self.regulariser}, pca={self.pca}, edges={self.numerics.edges!r}",
                fix="leave the solver to 'auto'",
            )
        return solver == "kernel" or (solver == "auto" and possible and self.design.n_frames < columns)


def ridge_path(
    design: Design,
    penalties: np.ndarray,
    *,
    regulariser: Regulariser,
    pca: int | float | None = None,
    solver: Solver = "auto",
) -> Path:
    """Return the function that turns training moments into weights, penalty by penalty.

    Parameters
    ----------
    design
        Gives bands, lags and rate.
    penalties
        Candidates.
    regulariser
        What is punished, and in which units.
    pca
        Components per band, or the share of variance to keep; None for the features themselves.
    solver
        As in `Numerics`.
    """
    bands, lags = band_columns(design), design.lags
    ridge = Ridge(regulariser, lagged_columns(bands, lags.n), lags.n, float(lags.rate), solver)
    model = ridge if pca is None else ReducedRidge(ridge, bands, pca)

    def path(train: Centred, numbers: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        return model.path(train, penalties if numbers is None else penalties[list(numbers)])

    return path


def fit_encoding(
    design: Design,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    per_channel: bool = True,
    nested: bool = True,
    regulariser: str | Regulariser = "ridge",
    pca: int | float | None = None,
    numerics: Numerics = NUMERICS,
) -> JointResult:
    """Fit one lagged model of all features to every channel.

    Model: ``y_c(t) = b + sum_f sum_l w_fc(l) x_f(t - l) + e``, the intercept unpenalised.

    Parameters
    ----------
    design
        Trials apart. Its bands set the units of relative penalties, and the parts that `pca` reduces.
    penalties
        Candidates, in the units of the regulariser's convention (see `brainalign.encoding.penalty`).
    n_folds
        Folds over stimuli.
    per_channel
        Whether every channel has its own penalty, or all share the one that is best on average.
    nested
        Whether each fold's penalty is chosen inside its training trials. If not, the penalty with the best
        held-out scores is taken, and these same scores, flattered by the choice, are reported.
    regulariser
        ``"ridge"``, ``"tikhonov-1"``, ``"tikhonov-2"``, or a `Regulariser` with a convention.
    pca
        Components per band (or the share of variance to keep), learnt in training trials.
    numerics
        Edges, precision and solver.

    Returns
    -------
    JointResult
    """
    rule, grid = as_regulariser(regulariser), check_penalties(penalties)
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    problem, mean, scale = _Model(design, grid, rule, pca, numerics).problem(folds)
    scores = path_scores(problem, nested=nested)
    choice = choose(scores.inner, per_channel=per_channel)
    best = choose(scores.outer["r"].mean(axis=0), per_channel=per_channel)
    weights, intercept = problem.final(best)
    settings = {"penalties": list(grid), "n_folds": n_folds, "per_channel": per_channel, "nested": nested}
    settings |= {"regulariser": rule.kind, "convention": rule.convention, "pca": pca, "edges": numerics.edges}
    bands = tuple(band_columns(design))
    return joint_result(
        design,
        scores.at(choice),
        alpha=np.repeat(grid[choice][:, None, :], len(bands), axis=1),
        coef_alpha=np.repeat(grid[best][None], len(bands), axis=0),
        weights=weights * scale,
        intercept=mean + scale * intercept,
        step=("fit_encoding", settings),
    )


def fit_fixed(
    design: Design,
    penalty: float | Sequence[float] | np.ndarray,
    *,
    regulariser: str | Regulariser = "ridge",
    pca: int | float | None = None,
    numerics: Numerics = NUMERICS,
) -> JointResult:
    """Fit one lagged model of all features to all trials, with a given penalty and no cross-validation.

    Parameters
    ----------
    design
        One trial is enough.
    penalty
        One number, or one per channel.
    regulariser, pca, numerics
        As in `fit_encoding`.

    Returns
    -------
    JointResult
        Its ``scores`` and ``alpha`` have no folds.
    """
    rule, values, n_channels = as_regulariser(regulariser), check_penalties(penalty), len(design.channels)
    if len(values) not in (1, n_channels):
        raise ShapeMismatch(
            "a fixed penalty is one number, or one per channel", got=values.shape, fix=f"give 1 or {n_channels} numbers"
        )
    own = np.broadcast_to(values, n_channels)
    grid, choice = np.unique(own, return_inverse=True)
    together = np.zeros(len(design.trials), dtype=int)
    problem, mean, scale = _Model(design, grid, rule, pca, numerics).problem(together)
    weights, intercept = problem.final(choice)
    settings = {"penalty": values.tolist(), "regulariser": rule.kind, "convention": rule.convention}
    n_bands = len(band_columns(design))
    return joint_result(
        design,
        np.empty((0, n_channels)),
        alpha=np.empty((0, n_bands, n_channels)),
        coef_alpha=np.repeat(own[None], n_bands, axis=0),
        weights=weights * scale,
        intercept=mean + scale * intercept,
        step=("fit_fixed", settings | {"pca": pca, "edges": numerics.edges}),
    )


def joint_result(
    design: Design,
    scores: np.ndarray,
    *,
    alpha: np.ndarray,
    coef_alpha: np.ndarray,
    weights: np.ndarray,
    intercept: np.ndarray,
    step: tuple[str, dict[str, object]],
) -> JointResult:
    """Put names to the numbers of a joint model.

    Parameters
    ----------
    design
        Gives the names.
    scores, alpha, coef_alpha, intercept
        As in `JointResult`.
    weights
        Shape ``(n_features * n_lags, n_channels)``, in the response's own unit.
    step
        Name and parameters of what was done, for the provenance.
    """
    name, settings = step
    return JointResult(
        scores=scores,
        alpha=alpha,
        coef=weights.reshape(design.n_features, design.lags.n, -1),
        coef_alpha=coef_alpha,
        intercept=intercept,
        lags=design.lags,
        features=design.features,
        channels=design.channels,
        bands=tuple(band_columns(design)),
        positions=design.positions,
        subject=design.subject,
        provenance=design.provenance.then(name, **settings),
    )
