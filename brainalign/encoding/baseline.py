"""What does the baseline explain, and what does it leave? The side of a unique contribution that no feature changes.

Baseline features Z (acoustics, say) with all their lags are fitted to the response on the
ring, with one relative penalty per outer fold, chosen once inside that fold's training
trials. For every training set ``(Szz + A)^-1`` is kept, so that each of thousands of
features can be joined to the baseline by elimination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.folds import assign_folds, by_fold
from brainalign.encoding.moments import standardised


@dataclass(frozen=True)
class Combination:
    """One model to fit and score: train without ``out``, score on ``test``, with the penalties of ``outer``."""

    out: tuple[int, ...]
    test: int
    outer: int


def combinations_of(n_folds: int) -> tuple[Combination, ...]:
    """Return every outer model and, for every outer fold, every inner one.

    >>> len(combinations_of(3))
    9
    """
    folds = range(n_folds)
    return tuple(
        Combination(tuple(sorted({outer, test})), test, outer)
        for outer in folds
        for test in (outer, *_others(outer, n_folds))
    )


def _others(fold: int, n_folds: int) -> list[int]:
    return [k for k in range(n_folds) if k != fold]


@dataclass(frozen=True, eq=False)
class Baseline:
    """A fitted baseline.

    Attributes
    ----------
    z
        Per trial, the baseline's features less their means, ``(n_frames, n_baseline)``, float64.
    folds, lags
        Fold of each trial; lag numbers.
    n, sz, szz
        Frames, sums ``(n_folds, m)`` and Gram matrices ``(n_folds, m, m)``; m = features x lags, lag-minor.
    combinations, inverses
        The models, and ``(Szz + A)^-1`` of each, ``(n_combinations, m, m)``.
    alpha
        Chosen relative penalty per outer fold, and (last) for all trials, ``(n_folds + 1,)``.
    fitted, residual
        Per trial, the fit of all trials and what it leaves of the standardised response, ``(n_frames, n_channels)``.
    """

    z: tuple[np.ndarray, ...]
    folds: np.ndarray
    lags: np.ndarray
    n: np.ndarray
    sz: np.ndarray
    szz: np.ndarray
    combinations: tuple[Combination, ...]
    inverses: np.ndarray
    alpha: np.ndarray
    fitted: tuple[np.ndarray, ...]
    residual: tuple[np.ndarray, ...]

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.n)

    def whole(self) -> Baseline:
        """Return the same baseline with the residual put back: for the data as they are, nothing needs turning."""
        pairs = zip(self.fitted, self.residual, strict=True)
        return replace(
            self,
            fitted=tuple(one + other for one, other in pairs),
            residual=tuple(np.zeros_like(item) for item in self.residual),
        )

    def kept(self, out: tuple[int, ...]) -> list[int]:
        """Return the folds a model is trained on."""
        return [k for k in range(self.n_folds) if k not in out]


def fit_baseline(
    design: Design, baseline: Sequence[Trajectory], *, penalties: Sequence[float], n_folds: int
) -> Baseline:
    """Fit the baseline and choose its penalties.

    Parameters
    ----------
    design
        Gives the responses, the trials and the lags.
    baseline
        One trajectory per trial, on the trial's clock.
    penalties
        Candidates, relative to each baseline feature's own variance; the choice goes by the
        mean held-out r over channels.
    n_folds
        Folds over stimuli.
    """
    _require_beside(design, baseline)
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    values = [item.block(0, item.n_features).astype(np.float64) for item in baseline]
    mean = sum(item.sum(axis=0) for item in values) / sum(len(item) for item in values)
    z = tuple(item - mean for item in values)
    y, _ = standardised(design.trials)
    lags = design.lags.samples
    n = by_fold(np.array([float(len(item)) for item in z]), folds)
    sz = by_fold([np.repeat(item.sum(axis=0), len(lags)) for item in z], folds)
    szz = by_fold([_ring_gram(item, len(lags)) for item in z], folds)
    szy = by_fold([_ring_products(item, part, lags) for item, part in zip(z, y, strict=True)], folds)
    sy = by_fold([item.sum(axis=0) for item in y], folds)
    syy = by_fold([np.square(item).sum(axis=0) for item in y], folds)
    fold_moments = _Moments(n, sz, szz, szy, sy, syy, len(lags))
    alpha = _choose(fold_moments, np.asarray(penalties, dtype=float))
    models = combinations_of(n_folds)
    kept = [[k for k in range(n_folds) if k not in model.out] for model in models]
    inverses = np.array([fold_moments.inverse(k, alpha[m.outer]) for k, m in zip(kept, models, strict=True)])
    every = list(range(n_folds))
    weights = fold_moments.inverse(every, alpha[-1]) @ fold_moments.centred(every)[1]
    fitted = tuple(_ring_prediction(item, weights, lags) for item in z)
    residual = tuple(part - item for part, item in zip(y, fitted, strict=True))
    return Baseline(z, folds, lags, n, sz, szz, models, inverses, alpha, fitted, residual)


def _require_beside(design: Design, baseline: Sequence[Trajectory]) -> None:
    if [item.axis for item in baseline] != [trial.axis for trial in design.trials]:
        raise ShapeMismatch(
            "the baseline needs one trajectory per trial, on the trial's clock",
            got=f"{len(baseline)} trajectories for {len(design.trials)} trials",
            fix="resample the baseline onto each trial's axis",
        )


def _ring_gram(z: np.ndarray, n_lags: int) -> np.ndarray:
    m = z.shape[1]
    out = np.empty((m, n_lags, m, n_lags))
    for distance in range(n_lags):
        product = np.roll(z, distance, axis=0).T @ z
        for i in range(n_lags - distance):
            out[:, i + distance, :, i] = product
            out[:, i, :, i + distance] = product.T
    return out.reshape(m * n_lags, m * n_lags)


def _ring_products(z: np.ndarray, y: np.ndarray, lags: np.ndarray) -> np.ndarray:
    return np.stack([np.roll(z, lag, axis=0).T @ y for lag in lags], axis=1).reshape(-1, y.shape[1])


def _ring_prediction(z: np.ndarray, weights: np.ndarray, lags: np.ndarray) -> np.ndarray:
    by_lag = weights.reshape(z.shape[1], len(lags), -1)
    return sum(np.roll(z, lag, axis=0) @ by_lag[:, i] for i, lag in enumerate(lags))


@dataclass(frozen=True, eq=False)
class _Moments:
    n: np.ndarray
    sz: np.ndarray
    szz: np.ndarray
    szy: np.ndarray
    sy: np.ndarray
    syy: np.ndarray
    n_lags: int

    def centred(self, folds: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Szz, Szy and Syy of these folds together."""
        n, sz, sy = self.n[folds].sum(), self.sz[folds].sum(axis=0), self.sy[folds].sum(axis=0)
        szz = self.szz[folds].sum(axis=0) - np.outer(sz, sz) / n
        return szz, self.szy[folds].sum(axis=0) - np.outer(sz, sy) / n, self.syy[folds].sum(axis=0) - sy**2 / n

    def inverse(self, folds: list[int], alpha: float) -> np.ndarray:
        """Return ``(Szz + A)^-1``; a silent baseline feature gets a penalty of its own."""
        szz = self.centred(folds)[0]
        unit = np.diag(szz).reshape(-1, self.n_lags).mean(axis=1)
        unit = np.where(unit > 1e-9 * max(unit.max(), 1e-300), unit, 1.0)
        return np.linalg.inv(szz + np.diag(np.repeat(max(alpha, 1e-12) * unit, self.n_lags)))

    def r(self, kept: list[int], test: int, alpha: float) -> float:
        """Return the mean held-out r over channels."""
        weights = self.inverse(kept, alpha) @ self.centred(kept)[1]
        szz, szy, syy = self.centred([test])
        power = np.einsum("zc,zc->c", weights, szz @ weights)
        scale = np.sqrt(np.clip(power, 0, None) * syy)
        return float(np.divide((weights * szy).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0).mean())


def _choose(moments: _Moments, penalties: np.ndarray) -> np.ndarray:
    n_folds = len(moments.n)
    merit = np.zeros((n_folds + 1, len(penalties)))
    for model in combinations_of(n_folds):
        kept = [k for k in range(n_folds) if k not in model.out]
        row = n_folds if model.test == model.outer else model.outer
        merit[row] += [moments.r(kept, model.test, float(alpha)) for alpha in penalties]
    return penalties[merit.argmax(axis=1)]
