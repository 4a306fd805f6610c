"""What does each feature add to a model that has all the others? Exact drop-one models.

The joint ridge model of m features and L lags is fitted once per training set; leaving
feature f out needs no new fit. With ``H = (Sxx + A)^-1`` the weights without block f are

    w_without = w - H[:, f] H[f, f]^-1 w[f]

so one factorisation serves the full model and every reduced one, and the unique
contribution is the difference of their held-out correlations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import linalg

from brainalign.core.design import Design
from brainalign.encoding.blocks import BlockMoments, fold_moments
from brainalign.encoding.folds import assign_folds

PENALTIES = (1e-2, 1e-1, 1e0, 1e1)


@dataclass(frozen=True, eq=False)
class UniqueContributions:
    """Held-out scores of a joint model and what each feature adds to it.

    Attributes
    ----------
    full
        Held-out r of the joint model, averaged over folds, shape ``(n_channels,)``.
    unique
        Full minus the model without the feature, shape ``(n_features, n_channels)``, in r.
    alpha
        Relative penalty chosen inside each fold's training trials, shape ``(n_folds,)``.
    """

    full: np.ndarray
    unique: np.ndarray
    alpha: np.ndarray


def unique_contributions(
    design: Design, *, kept: int = 0, penalties: Sequence[float] = PENALTIES, n_folds: int = 5
) -> UniqueContributions:
    """Fit all features jointly and measure what each adds.

    Parameters
    ----------
    design
        Trials apart, with a moderate number of features (tens).
    kept
        The first ``kept`` features are a baseline: part of every model, never left out.
    penalties
        Candidates, relative to each feature's own variance; one is chosen per outer fold,
        by the mean held-out r over channels inside its training trials.
    n_folds
        Folds over stimuli.
    """
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    moments = fold_moments(design, folds, edges="circular", centre_trials=True)
    alpha = _choose_penalties(moments, np.asarray(penalties, dtype=float), n_lags=design.lags.n)
    parts = [_one_fold(moments, k, alpha[k], n_lags=design.lags.n, kept=kept) for k in range(n_folds)]
    full, unique = (np.mean(part, axis=0) for part in zip(*parts, strict=True))
    return UniqueContributions(full, unique, alpha)


def _one_fold(
    moments: BlockMoments, fold: int, alpha: float, *, n_lags: int, kept: int
) -> tuple[np.ndarray, np.ndarray]:
    train, held = moments.total([k for k in range(moments.n_folds) if k != fold]), moments.total([fold])
    inverse = linalg.inv(_penalised(train.sxx, alpha, n_lags), assume_a="pos")
    weights = inverse @ train.sxy
    held_xx, held_xy, held_yy = held.sxx, held.sxy, held.syy
    seen = held_xx @ inverse
    seen_weights = held_xx @ weights
    power = np.einsum("xc,xc->c", weights, seen_weights)
    product = np.einsum("xc,xc->c", weights, held_xy)
    full = _r(product, power, held_yy)
    unique = np.empty((moments.n_features - kept, len(full)))
    for i in range(len(unique)):
        block = slice((kept + i) * n_lags, (kept + i + 1) * n_lags)
        step = linalg.solve(inverse[block, block], weights[block], assume_a="pos")
        taken, seen_taken = inverse[:, block], seen[:, block]
        less_product = product - np.einsum("lc,lc->c", step, taken.T @ held_xy)
        cross = np.einsum("lc,lc->c", step, taken.T @ seen_weights)
        square = np.einsum("lc,lc->c", step, (taken.T @ seen_taken) @ step)
        unique[i] = full - _r(less_product, power - 2 * cross + square, held_yy)
    return full, unique


def _r(product: np.ndarray, power: np.ndarray, syy: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.clip(power, 0, None) * syy)
    return np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)


def _penalised(sxx: np.ndarray, alpha: float, n_lags: int) -> np.ndarray:
    """Add the penalty, relative to each feature's own mean variance."""
    variance = np.diag(sxx).reshape(-1, n_lags).mean(axis=1)
    variance = np.maximum(variance, variance.max() * 1e-9)
    return sxx + np.diag(np.repeat(alpha * variance, n_lags))


def _choose_penalties(moments: BlockMoments, penalties: np.ndarray, *, n_lags: int) -> np.ndarray:
    merit = np.zeros((moments.n_folds, len(penalties)))
    for pair in combinations(range(moments.n_folds), 2):
        train = moments.total([k for k in range(moments.n_folds) if k not in pair])
        held = [moments.total([fold]) for fold in pair]
        for a, alpha in enumerate(penalties):
            weights = linalg.solve(_penalised(train.sxx, alpha, n_lags), train.sxy, assume_a="pos")
            for outer, part in zip(pair[::-1], held, strict=True):
                power = np.einsum("xc,xc->c", weights, part.sxx @ weights)
                merit[outer, a] += _r(np.einsum("xc,xc->c", weights, part.sxy), power, part.syy).mean()
    return penalties[merit.argmax(axis=1)]
