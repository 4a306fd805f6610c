"""How well does each penalty predict held-out trials? Nested scores from moments alone.

With training moments ``Sxx = V diag(e) V'`` one small eigendecomposition serves all
penalties, channels and permutations. For penalty a, ``g = 1 / (e + a)`` and
``z = V' Sxy_train``, the weights are ``V (g z)``, and the held-out correlation is

    r = sum_l g z q / sqrt( || R (g z) ||^2 * Syy_test ),   q = V' Sxy_test,  R'R = V' Sxx_test V

No prediction is ever formed. The penalty is chosen inside the training folds, for every
column (channel, or channel of a permutation) on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True, eq=False)
class FoldMoments:
    """Moments of one feature, summed over each fold's trials.

    Attributes
    ----------
    n
        Usable frames, shape ``(n_folds,)``.
    sx, sxx
        Sums and Gram matrix of the lagged feature: ``(n_folds, n_lags)``, ``(n_folds, n_lags, n_lags)``, float64.
    sxy
        Products with the responses, and in the last row the sum of the response:
        ``(n_folds, n_lags + 1, n_columns)``. Carrying the sum as a row makes centring part
        of the same matrix product.
    syy
        Sum of squared responses, ``(n_folds, n_columns)``.
    """

    n: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray
    sxy: np.ndarray
    syy: np.ndarray


@dataclass(frozen=True, eq=False)
class Training:
    """One training set's eigendecomposition, ready for any column.

    Attributes
    ----------
    folds_out
        The folds left out of it.
    basis
        Eigenvectors V, shape ``(n_lags, n_lags)``, float64.
    gains
        ``1 / (eigenvalue + penalty)``, shape ``(n_penalties, n_lags)``, float64.
    project
        Maps augmented, uncentred moments to ``z``: ``(n_lags, n_lags + 1)``.
    """

    folds_out: tuple[int, ...]
    basis: np.ndarray
    gains: np.ndarray
    project: np.ndarray


@dataclass(frozen=True, eq=False)
class Scoring:
    """How to score one training set on one held-out fold (small matrices only).

    Attributes
    ----------
    project
        Maps the held-out fold's augmented moments to ``q``, ``(n_lags, n_lags + 1)``.
    root
        ``R`` with ``R'R = V' Sxx_test V``, ``(n_lags, n_lags)``.
    roots
        ``R diag(g)`` for all penalties, stacked, ``(n_penalties * n_lags, n_lags)``.
    """

    project: np.ndarray
    root: np.ndarray
    roots: np.ndarray


@dataclass(frozen=True, eq=False)
class Nest:
    """All that nested cross-validation of one feature needs, whatever the columns."""

    outer: tuple[Training, ...]
    inner: tuple[Training, ...]
    scorings: dict[tuple[tuple[int, ...], int], Scoring]
    penalties: np.ndarray


def build_nest(moments: FoldMoments, penalties: np.ndarray, *, dtype: type = np.float32) -> Nest:
    """Decompose every training set once.

    Parameters
    ----------
    moments
        One feature's moments (its responses are not looked at).
    penalties
        Relative penalties: multiples of the feature's variance in the training set times
        its number of frames, so that they mean the same for every feature.
    dtype
        Precision of the projections; the decompositions are float64.
    """
    n_folds = len(moments.n)
    outer = tuple(_training(moments, (k,), penalties, dtype=dtype) for k in range(n_folds))
    inner = tuple(_training(moments, pair, penalties, dtype=dtype) for pair in combinations(range(n_folds), 2))
    scorings = {
        (training.folds_out, fold): _scoring(moments, training, fold, dtype=dtype)
        for training in (*outer, *inner)
        for fold in training.folds_out
    }
    return Nest(outer, inner, scorings, penalties)


def _training(moments: FoldMoments, out: tuple[int, ...], penalties: np.ndarray, *, dtype: type) -> Training:
    kept = [k for k in range(len(moments.n)) if k not in out]
    n, sx = moments.n[kept].sum(), moments.sx[kept].sum(axis=0)
    centred = moments.sxx[kept].sum(axis=0) - np.outer(sx, sx) / n
    values, basis = np.linalg.eigh(centred)
    values = np.clip(values, 0, None)
    gains = 1 / (values[None, :] + np.asarray(penalties)[:, None] * penalty_unit(values))
    return Training(out, basis, gains, _projector(basis, sx, n, dtype=dtype))


def penalty_unit(eigenvalues: np.ndarray) -> float:
    """Return what a relative penalty of 1 amounts to: frames times variance (1 for a silent feature)."""
    mean = float(eigenvalues.mean())
    return mean if mean > 0 else 1.0


def _projector(basis: np.ndarray, sx: np.ndarray, n: float, *, dtype: type) -> np.ndarray:
    return np.column_stack([basis.T, -(basis.T @ sx) / n]).astype(dtype)


def _scoring(moments: FoldMoments, training: Training, fold: int, *, dtype: type) -> Scoring:
    n, sx = moments.n[fold], moments.sx[fold]
    held_out = training.basis.T @ (moments.sxx[fold] - np.outer(sx, sx) / n) @ training.basis
    values, vectors = np.linalg.eigh(held_out)
    root = np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
    roots = (root[None] * training.gains[:, None, :]).reshape(-1, root.shape[1])
    return Scoring(_projector(training.basis, sx, n, dtype=dtype), root.astype(dtype), roots.astype(dtype))


def nested_scores(nest: Nest, sxy: np.ndarray, syy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score each fold with the penalty that its training folds chose.

    Parameters
    ----------
    nest
        From `build_nest`.
    sxy
        Augmented moments per fold, ``(n_folds, n_lags + 1, n_columns)``.
    syy
        Centred sum of squares of the response per fold, ``(n_folds, n_columns)``.

    Returns
    -------
    scores, choice : numpy.ndarray
        Held-out r and the number of the chosen penalty, both ``(n_folds, n_columns)``.
    """
    total = sxy.sum(axis=0)
    choice = _choose(nest, sxy, syy, total)
    scores = np.empty(syy.shape, dtype=sxy.dtype)
    for training in nest.outer:
        (fold,) = training.folds_out
        z = training.project @ (total - sxy[fold])
        gains = training.gains.astype(sxy.dtype)[choice[fold]].T
        scores[fold] = _chosen_scores(z * gains, nest.scorings[(fold,), fold], sxy[fold], syy[fold])
    return scores, choice


def _choose(nest: Nest, sxy: np.ndarray, syy: np.ndarray, total: np.ndarray) -> np.ndarray:
    n_folds, n_columns = syy.shape
    merit = np.zeros((n_folds, len(nest.penalties), n_columns), dtype=sxy.dtype)
    for training in nest.inner:
        z = training.project @ (total - sxy[list(training.folds_out)].sum(axis=0))
        for held_out, outer in (training.folds_out, training.folds_out[::-1]):
            scoring = nest.scorings[training.folds_out, held_out]
            merit[outer] += penalty_scores(z, training, scoring, sxy[held_out], syy[held_out])
    return merit.argmax(axis=1)


def penalty_scores(z: np.ndarray, training: Training, scoring: Scoring, sxy: np.ndarray, syy: np.ndarray) -> np.ndarray:
    """Return held-out r for every penalty, ``(n_penalties, n_columns)``."""
    n_lags, n_columns = z.shape
    numerator = training.gains.astype(z.dtype) @ (z * (scoring.project @ sxy))
    spread = (scoring.roots @ z).reshape(-1, n_lags, n_columns)
    return _correlation(numerator, np.einsum("aln,aln->an", spread, spread), syy)


def _chosen_scores(weights: np.ndarray, scoring: Scoring, sxy: np.ndarray, syy: np.ndarray) -> np.ndarray:
    numerator = np.einsum("ln,ln->n", weights, scoring.project @ sxy)
    spread = scoring.root @ weights
    return _correlation(numerator, np.einsum("ln,ln->n", spread, spread), syy)


def _correlation(numerator: np.ndarray, power: np.ndarray, syy: np.ndarray) -> np.ndarray:
    """Return numerator / sqrt(power * syy), and 0 where the prediction is constant."""
    scale = np.sqrt(power * syy)
    return np.divide(numerator, scale, out=np.zeros_like(numerator), where=scale > 0)
