"""How well does each feature, alone, predict each channel? Thousands of small ridge models.

`feature_maps` gives held-out scores and response functions. `rotated_scores` gives the
scores of the data and of every rotation of the stimulus at once: a rotation leaves the
circular Gram matrix as it is and moves the cross-covariance by a window, so one inverse
FFT per feature, channel and trial serves all permutations, and the penalty is chosen
anew in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.result import EncodingResult
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.moments import (
    Edges,
    Responses,
    cross_correlation,
    lagged_sums,
    masked_gram,
    prepare_responses,
    ring_correlation,
)
from brainalign.encoding.ridge import FoldMoments, Nest, build_nest, nested_scores, penalty_scores, penalty_unit

PENALTIES = (1e-2, 1e-1, 1e0, 1e1, 1e2)
_COLUMNS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class _Bench:
    """What stays the same for every feature of one listener."""

    design: Design
    responses: Responses
    folds: np.ndarray
    edges: Edges
    dtype: type

    @property
    def n_folds(self) -> int:
        return int(self.folds.max()) + 1

    def by_fold(self, values: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Add a per-trial quantity up within folds."""
        stacked = np.asarray(values)
        return np.array([stacked[self.folds == k].sum(axis=0) for k in range(self.n_folds)])

    @property
    def syy(self) -> np.ndarray:
        """Centred sum of squares per fold and channel."""
        sums, n = self.by_fold(self.responses.sums), self.by_fold(self.responses.n_usable)
        return self.by_fold(self.responses.squares) - np.square(sums) / n[:, None]


def _set_up(design: Design, *, n_folds: int, edges: Edges, dtype: type) -> _Bench:
    folds = assign_folds([trial.name for trial in design.trials], n_folds)
    _require_long_trials(design)
    return _Bench(design, prepare_responses(design, edges=edges, dtype=dtype), folds, edges, dtype)


def _require_long_trials(design: Design) -> None:
    shortest = min(design.trials, key=lambda trial: trial.axis.n)
    if shortest.axis.n <= 2 * design.lags.n:
        raise ValueProblem(
            "a trial is too short for the lag window",
            got=f"trial {shortest.name!r}: {shortest.axis.n} frames for {design.lags.n} lags",
            fix="drop the trial, or shorten the lag window",
        )


def feature_maps(
    design: Design,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    edges: Edges = "zero",
    dtype: type = np.float32,
) -> EncodingResult:
    """Fit one lagged ridge model per feature to every channel.

    Model: ``y_c(t) = b + sum_l w_fc(l) x_f(t - l) + e``, intercept unpenalised.

    Parameters
    ----------
    design
        Trials apart; sparse features stay sparse but for one at a time.
    penalties
        Candidate penalties, as multiples of the feature's own variance times the number
        of frames (so 1 shrinks a white feature's weights by half). Chosen per feature and
        channel by the mean held-out r inside each fold's training trials.
    n_folds
        Folds over stimuli.
    edges
        What lies beyond a trial's ends: silence (``"zero"``) or its other end (``"circular"``).
    dtype
        Precision of the bulk products; the small algebra is always float64.

    Returns
    -------
    EncodingResult
    """
    bench = _set_up(design, n_folds=n_folds, edges=edges, dtype=dtype)
    grid = np.asarray(penalties, dtype=float)
    n_features, n_channels, n_lags = design.n_features, len(design.channels), design.lags.n
    scores = np.empty((bench.n_folds, n_features, n_channels), dtype=np.float32)
    alpha = np.empty_like(scores)
    coef = np.empty((n_features, n_lags, n_channels), dtype=np.float32)
    coef_alpha = np.empty((n_features, n_channels), dtype=np.float32)
    syy: np.ndarray = bench.syy.astype(dtype)
    for f, columns in enumerate(_feature_columns(bench)):
        moments = _moments(bench, columns, _identity_products(bench, columns))
        nest = build_nest(moments, grid, dtype=dtype)
        scores[:, f], choice = nested_scores(nest, moments.sxy.astype(dtype), syy)
        alpha[:, f] = grid[choice]
        coef[f], coef_alpha[f] = _final_weights(moments, nest, syy, scale=bench.responses.scale)
    return EncodingResult(
        scores=scores,
        alpha=alpha,
        coef=coef,
        coef_alpha=coef_alpha,
        lags=design.lags,
        features=design.features,
        channels=design.channels,
        positions=design.positions,
        subject=design.subject,
        provenance=design.provenance.then("feature_maps", penalties=list(penalties), n_folds=n_folds, edges=edges),
    )


def rotated_scores(
    design: Design,
    shifts: np.ndarray,
    *,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
) -> Iterator[np.ndarray]:
    """Yield, feature by feature, the scores under every rotation of the stimuli.

    Parameters
    ----------
    design
        Trials apart.
    shifts
        Frames by which each trial's stimulus is moved later, circularly within the
        trial, shape ``(n_rotations, n_trials)``. A row of zeros is the data itself.
    penalties, n_folds, dtype
        As in `feature_maps`; the penalty is chosen anew under every rotation.

    Yields
    ------
    numpy.ndarray
        Held-out r averaged over folds, shape ``(n_rotations, n_channels)``, float32.
    """
    if shifts.ndim != 2 or shifts.shape[1] != len(design.trials):
        raise ShapeMismatch(
            "shifts must be rotations by trials",
            got=shifts.shape,
            fix=f"give one shift for each of {len(design.trials)} trials",
        )
    bench = _set_up(design, n_folds=n_folds, edges="circular", dtype=dtype)
    grid = np.asarray(penalties, dtype=float)
    syy: np.ndarray = bench.syy.astype(dtype)
    step = max(1, _COLUMNS_AT_ONCE // len(design.channels))
    for columns in _feature_columns(bench):
        nest = build_nest(_moments(bench, columns, None), grid, dtype=dtype)
        products = [ring_correlation(x, bench.responses, k) for k, x in enumerate(columns)]
        parts = [
            _rotation_scores(bench, nest, products, shifts[start : start + step], syy)
            for start in range(0, len(shifts), step)
        ]
        yield np.concatenate(parts)


def _rotation_scores(
    bench: _Bench, nest: Nest, products: list[np.ndarray], shifts: np.ndarray, syy: np.ndarray
) -> np.ndarray:
    sxy = _windows(bench, products, shifts)
    n_rotations, n_channels = len(shifts), syy.shape[1]
    scores, _ = nested_scores(nest, sxy.reshape(*sxy.shape[:2], -1), np.tile(syy, (1, n_rotations)))
    return scores.mean(axis=0).reshape(n_rotations, n_channels)


def _windows(bench: _Bench, products: list[np.ndarray], shifts: np.ndarray) -> np.ndarray:
    """Gather each rotation's window of the cross-correlation: ``(n_folds, n_lags + 1, n_rotations, n_channels)``."""
    lags, n_channels = bench.design.lags, products[0].shape[1]
    out = np.zeros((bench.n_folds, lags.n + 1, len(shifts), n_channels), dtype=products[0].dtype)
    window = np.empty((lags.n, len(shifts), n_channels), dtype=out.dtype)
    for k, product in enumerate(products):
        at = (shifts[None, :, k] + lags.samples[:, None]) % len(product)
        np.take(product, at, axis=0, out=window, mode="clip")
        out[bench.folds[k], :-1] += window
    out[:, -1] = bench.by_fold(bench.responses.sums)[:, None, :]
    return out


def _feature_columns(bench: _Bench) -> Iterator[list[np.ndarray]]:
    """Yield one feature at a time as a list of its trials' values.

    On a ring, taking a constant off changes no result (the intercept is free) and keeps
    float32 products precise. Between silences it would put the constant in the silence.
    """
    trials = bench.design.trials
    n_frames = sum(trial.axis.n for trial in trials)
    for f in range(bench.design.n_features):
        columns = [trial.x.block(f, f + 1)[:, 0] for trial in trials]
        total = sum(float(column.sum(dtype=np.float64)) for column in columns)
        mean = total / n_frames if bench.edges == "circular" else 0.0
        yield [column.astype(bench.dtype) - bench.dtype(mean) for column in columns]


def _identity_products(bench: _Bench, columns: list[np.ndarray]) -> np.ndarray:
    samples = bench.design.lags.samples
    correlate = ring_correlation if bench.edges == "circular" else cross_correlation
    return np.array([correlate(x, bench.responses, k)[samples] for k, x in enumerate(columns)])


def _moments(bench: _Bench, columns: list[np.ndarray], products: np.ndarray | None) -> FoldMoments:
    lags, trials = bench.design.lags, bench.design.trials
    pairs = list(zip(columns, trials, strict=True))
    sxx = bench.by_fold([masked_gram(x, trial.mask, lags, edges=bench.edges) for x, trial in pairs])
    sx = bench.by_fold([lagged_sums(x, trial.mask, lags, edges=bench.edges) for x, trial in pairs])
    n = [trial.axis.n for trial in trials] if bench.edges == "circular" else bench.responses.n_usable
    sxy = np.empty((bench.n_folds, lags.n + 1, 0))
    if products is not None:
        sxy = np.concatenate([bench.by_fold(products), bench.by_fold(bench.responses.sums)[:, None]], axis=1)
    return FoldMoments(n=bench.by_fold(np.asarray(n, dtype=float)), sx=sx, sxx=sxx, sxy=sxy, syy=bench.syy)


def _final_weights(
    moments: FoldMoments, nest: Nest, syy: np.ndarray, *, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit all trials with the penalty that predicts held-out folds best, per channel."""
    dtype = syy.dtype
    sxy, total = moments.sxy.astype(dtype), moments.sxy.sum(axis=0)
    merit = np.zeros((len(nest.penalties), sxy.shape[2]), dtype=dtype)
    for training in nest.outer:
        (fold,) = training.folds_out
        z = training.project @ (total.astype(dtype) - sxy[fold])
        merit += penalty_scores(z, training, nest.scorings[(fold,), fold], sxy[fold], syy[fold])
    best = merit.argmax(axis=0)
    n, sx = moments.n.sum(), moments.sx.sum(axis=0)
    values, basis = np.linalg.eigh(moments.sxx.sum(axis=0) - np.outer(sx, sx) / n)
    values = np.clip(values, 0, None)
    gains = 1 / (values[:, None] + nest.penalties[best][None, :] * penalty_unit(values))
    centred = total[:-1] - np.outer(sx, total[-1]) / n
    return basis @ (gains * (basis.T @ centred)) * scale, nest.penalties[best]
