"""Which stimulus would explain this response, and would other listeners' models do? Backward and group models.

A backward model is the same model with the sides exchanged and the lags turned round: the
stimulus at t is predicted from the responses at t + lag. A group model is trained on the sum
of the listeners' moments, a subject-generic one on the sum of the others': data are read
once per listener, and no model is fitted anew from them. Stimuli are held out for all
listeners at once, so that a generic model has heard neither the listener nor the stimulus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.joint import JointResult
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.blocks import BlockMoments, fold_moments
from brainalign.encoding.crossval import MomentProblem, choose, path_scores
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.multivariate import NUMERICS, Numerics, joint_result, ridge_path
from brainalign.encoding.penalty import PENALTIES, Regulariser, as_regulariser, band_columns, check_penalties


def backward(design: Design, *, targets: Sequence[str] | None = None) -> Design:
    """Exchange the sides of a design: channels become features, features become what is predicted.

    Lags of 0 to 250 ms become -250 to 0 ms: the responses that follow the stimulus. A frame is
    usable if every response frame that its lags reach inside the trial is. Any function of this
    room then fits a backward model; its "channels" are the stimulus' features, without a position.

    Parameters
    ----------
    design
        A forward design.
    targets
        The features to reconstruct; all of them if not given.

    Notes
    -----
    Responses become features and are kept in single precision.
    """
    names = design.features if targets is None else tuple(targets)
    unknown = [name for name in names if name not in design.features]
    if unknown:
        raise ValueProblem(
            "a target is not among the features", got=unknown[0], fix=f"choose among {design.features[:6]}"
        )
    columns = np.array([design.features.index(name) for name in names])
    lags = Lags(-design.lags.last, -design.lags.first, design.lags.rate)
    trials = tuple(_exchanged(trial, columns, design.channels, lags) for trial in design.trials)
    return Design(
        trials,
        lags,
        names,
        np.full((len(names), 3), np.nan),
        subject=design.subject,
        provenance=design.provenance.then("backward", targets=list(names)),
    )


def _exchanged(trial: Trial, columns: np.ndarray, channels: tuple[str, ...], lags: Lags) -> Trial:
    n, mask = trial.axis.n, trial.mask.copy()
    bad = np.flatnonzero(~trial.mask)
    touched = (bad[:, None] + lags.samples[None, :]).ravel()
    mask[touched[(touched >= 0) & (touched < n)]] = False
    response = np.where(trial.mask[:, None], trial.y, 0)
    target = trial.x.select(columns)
    return Trial(
        trial.name,
        Trajectory(response, trial.axis, channels),
        target.block(0, len(columns)).astype(np.float64),
        mask,
    )


@dataclass(frozen=True, eq=False)
class GroupResult:
    """A model trained on many listeners, tried on each.

    Attributes
    ----------
    scores
        Held-out r, ``(n_listeners, n_folds, n_channels)``.
    alpha
        Penalty chosen inside the training trials, same shape.
    model
        The model of all listeners' trials. Its response functions are in standard deviations of a
        listener's response per unit of the feature (each listener counts alike), its ``scores`` are means
        over listeners.
    subjects
        One per listener.
    """

    scores: np.ndarray
    alpha: np.ndarray
    model: JointResult
    subjects: tuple[str, ...]


def fit_group(
    designs: Sequence[Design],
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    per_channel: bool = True,
    generic: bool = False,
    regulariser: str | Regulariser = "ridge",
    numerics: Numerics = NUMERICS,
) -> GroupResult:
    """Train on the listeners' summed moments, and try the model on each listener's held-out trials.

    Parameters
    ----------
    designs
        One per listener, with the same features, channels and lags; backward designs are welcome.
    penalties, per_channel, regulariser, numerics
        As in `fit_encoding`.
    n_folds
        Folds over stimuli, the same for all listeners.
    generic
        Whether a listener's own trials are left out of the training: the subject-generic model. If not,
        the group-average model, which has heard the listener on other stimuli.
    """
    require_listeners(designs)
    rule, grid = as_regulariser(regulariser), check_penalties(penalties)
    if rule.convention == "mne":
        raise ValueProblem("group models are not fitted in MNE's convention", got=rule, fix="use 'relative'")
    if generic and len(designs) < 2:
        raise ValueProblem("a generic model needs other listeners", got="one listener", fix="give more designs")
    moments = [_moments(design, folds, numerics) for design, folds in shared_folds(designs, n_folds)]
    path = ridge_path(designs[0], grid, regulariser=rule, solver=numerics.solver)
    whole = reduce(add, moments)
    scores, choices = [], []
    group = path_scores(MomentProblem(whole, path))
    for number, own in enumerate(moments):
        training = reduce(add, [other for i, other in enumerate(moments) if i != number]) if generic else whole
        found = path_scores(MomentProblem(training, path, held=own), nested=generic)
        choice = choose(found.inner if generic else group.inner, per_channel=per_channel)
        scores.append(found.at(choice))
        choices.append(choice)
    best = choose(group.outer["r"].mean(axis=0), per_channel=per_channel)
    weights, intercept = MomentProblem(whole, path).final(best)
    n_bands = len(band_columns(designs[0]))
    settings = {"penalties": list(grid), "n_folds": n_folds, "generic": generic, "listeners": len(designs)}
    alpha = grid[np.array(choices)]
    model = joint_result(
        replace(designs[0], subject="group"),
        np.mean(scores, axis=0),
        alpha=np.repeat(grid[choose(group.inner, per_channel=per_channel)][:, None, :], n_bands, axis=1),
        coef_alpha=np.repeat(grid[best][None], n_bands, axis=0),
        weights=weights,
        intercept=intercept,
        step=("fit_group", settings | {"regulariser": rule.kind, "convention": rule.convention}),
    )
    return GroupResult(np.array(scores), alpha, model, tuple(design.subject for design in designs))


def _moments(design: Design, folds: np.ndarray, numerics: Numerics) -> BlockMoments:
    return fold_moments(design, folds, edges=numerics.edges, dtype=numerics.dtype)


def shared_folds(designs: Sequence[Design], n_folds: int) -> list[tuple[Design, np.ndarray]]:
    """Deal stimuli to folds once for all listeners, whichever order each heard them in; return each with its folds."""
    names = [trial.name for design in designs for trial in design.trials]
    fold_of = dict(zip(names, assign_folds(names, n_folds), strict=True))
    pairs = [(design, np.array([fold_of[trial.name] for trial in design.trials])) for design in designs]
    for design, folds in pairs:
        if len(np.unique(folds)) < n_folds:
            raise ValueProblem(
                "every listener needs trials in every fold",
                got=f"{design.subject or 'a listener'} has {len(np.unique(folds))} of {n_folds}",
                fix="use fewer folds, or listeners who heard the same stimuli",
            )
    return pairs


def require_listeners(designs: Sequence[Design]) -> None:
    """Refuse listeners whose models could not be one: none at all, or with other features, channels or lags."""
    if not designs:
        raise ValueProblem("a group needs listeners", got="no designs", fix="give one design per listener")
    first = designs[0]
    for design in designs[1:]:
        if (design.features, design.channels, design.lags) != (first.features, first.channels, first.lags):
            raise ShapeMismatch(
                "all listeners must have the same features, channels and lags",
                got=f"{design.subject or 'a listener'} differs from {first.subject or 'the first'}",
                fix="interpolate bad channels, do not drop them; give every listener the same features",
            )
