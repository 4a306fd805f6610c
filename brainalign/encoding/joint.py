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

from brainalign.core.design import Design, Trial
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


@dataclass(frozen=True, eq=False)
class _Moments:
    """Centred-able moments summed within folds; columns are feature-major, lag-minor."""

    n: np.ndarray
    sx: np.ndarray
    sy: np.ndarray
    sxx: np.ndarray
    sxy: np.ndarray
    syy: np.ndarray

    def total(self, folds: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return centred Sxx, Sxy and Syy of these folds together."""
        index = list(folds)
        n, sx, sy = self.n[index].sum(), self.sx[index].sum(axis=0), self.sy[index].sum(axis=0)
        sxx = self.sxx[index].sum(axis=0) - np.outer(sx, sx) / n
        sxy = self.sxy[index].sum(axis=0) - np.outer(sx, sy) / n
        return sxx, sxy, self.syy[index].sum(axis=0) - sy**2 / n


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
    moments = _fold_moments(design, folds)
    alpha = _choose_penalties(moments, np.asarray(penalties, dtype=float), n_lags=design.lags.n)
    parts = [_one_fold(moments, k, alpha[k], n_lags=design.lags.n, kept=kept) for k in range(n_folds)]
    full, unique = (np.mean(part, axis=0) for part in zip(*parts, strict=True))
    return UniqueContributions(full, unique, alpha)


def _one_fold(moments: _Moments, fold: int, alpha: float, *, n_lags: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
    sxx, sxy, _ = moments.total([k for k in range(len(moments.n)) if k != fold])
    inverse = linalg.inv(_penalised(sxx, alpha, n_lags), assume_a="pos")
    weights = inverse @ sxy
    held_xx, held_xy, held_yy = moments.total([fold])
    seen = held_xx @ inverse
    seen_weights = held_xx @ weights
    power = np.einsum("xc,xc->c", weights, seen_weights)
    product = np.einsum("xc,xc->c", weights, held_xy)
    full = _r(product, power, held_yy)
    unique = np.empty((len(sxx) // n_lags - kept, len(full)))
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


def _choose_penalties(moments: _Moments, penalties: np.ndarray, *, n_lags: int) -> np.ndarray:
    n_folds = len(moments.n)
    merit = np.zeros((n_folds, len(penalties)))
    for pair in combinations(range(n_folds), 2):
        sxx, sxy, _ = moments.total([k for k in range(n_folds) if k not in pair])
        held = [moments.total([fold]) for fold in pair]
        for a, alpha in enumerate(penalties):
            weights = linalg.solve(_penalised(sxx, alpha, n_lags), sxy, assume_a="pos")
            for outer, (held_xx, held_xy, held_yy) in zip(pair[::-1], held, strict=True):
                power = np.einsum("xc,xc->c", weights, held_xx @ weights)
                merit[outer, a] += _r(np.einsum("xc,xc->c", weights, held_xy), power, held_yy).mean()
    return penalties[merit.argmax(axis=1)]


def _fold_moments(design: Design, folds: np.ndarray) -> _Moments:
    parts = [_trial_moments(design, trial) for trial in design.trials]

    def summed(name: int) -> np.ndarray:
        values = [part[name] for part in parts]
        return np.array([sum(values[i] for i in np.flatnonzero(folds == k)) for k in range(folds.max() + 1)])

    return _Moments(*(summed(name) for name in range(6)))


def _trial_moments(design: Design, trial: Trial) -> tuple[np.ndarray, ...]:
    """Moments under circular edges; responses at unusable frames count as at their mean."""
    lags, x = design.lags, trial.x.block(0, trial.x.n_features).astype(np.float64)
    y = np.asarray(trial.y, dtype=np.float64)
    y = np.where(trial.mask[:, None], y - y[trial.mask].mean(axis=0), 0.0)
    sxx = _block_gram(x, lags.n)
    sxy = np.stack([np.roll(x, lag, axis=0).T @ y for lag in lags.samples], axis=1).reshape(-1, y.shape[1])
    sx = np.repeat(x.sum(axis=0), lags.n)
    return np.array(float(len(x))), sx, y.sum(axis=0), sxx, sxy, np.square(y).sum(axis=0)


def _block_gram(x: np.ndarray, n_lags: int) -> np.ndarray:
    """Return the circular lagged Gram matrix of all features: its blocks are Toeplitz."""
    m = x.shape[1]
    out = np.empty((m, n_lags, m, n_lags))
    for distance in range(n_lags):
        product = np.roll(x, distance, axis=0).T @ x
        for i in range(n_lags - distance):
            out[:, i + distance, :, i] = product
            out[:, i, :, i + distance] = product.T
    return out.reshape(m * n_lags, m * n_lags)
