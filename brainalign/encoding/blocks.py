"""What does a joint model need to know of the data? Block moments of all features, summed within folds.

Columns of the lagged design are feature-major, lag-minor: column ``f * n_lags + i`` is
``x_f(t - lags[i])``. Sums are kept per fold, never per trial (300 trials of 4,000 columns
would be 38 GB), and a training set's moments are the sum over its folds, so that nothing
of a test trial can reach them.

Under zero edges the Gram matrix is block Toeplitz but for rows that do not count: those
before and after the trial, and those masked out. Their products, a few rows' worth, are
taken away. Under circular edges it is block Toeplitz, and an unusable frame counts as one
at which the response is at its mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ValueProblem
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.moments import Edges
from brainalign.encoding.products import LaggedProducts
from brainalign.encoding.standards import Standards, standardise

_CHUNK_BYTES = 1 << 23


@dataclass(frozen=True, eq=False)
class Centred:
    """Moments of one set of trials around their means.

    Attributes
    ----------
    n, n_trials
        Frames and trials.
    x_mean, y_mean
        Means, shapes ``(n_columns,)`` and ``(n_channels,)``.
    sxx, sxy, syy
        Centred products: ``(n_columns, n_columns)``, ``(n_columns, n_channels)``, ``(n_channels,)``.
    """

    n: float
    n_trials: int
    x_mean: np.ndarray
    y_mean: np.ndarray
    sxx: np.ndarray
    sxy: np.ndarray
    syy: np.ndarray


@dataclass(frozen=True, eq=False)
class BlockMoments:
    """Raw moments per fold.

    Attributes
    ----------
    n, n_trials
        Frames and trials, shape ``(n_folds,)``.
    sx, sy
        Sums: ``(n_folds, n_columns)``, ``(n_folds, n_channels)``.
    sxx, sxy, syy
        Products: ``(n_folds, n_columns, n_columns)``, ``(n_folds, n_columns, n_channels)``, ``(n_folds, n_channels)``.
    n_lags
        Columns per feature.
    mean, scale
        The constants by which the responses were standardised, shape ``(n_channels,)``.
    """

    n: np.ndarray
    n_trials: np.ndarray
    sx: np.ndarray
    sy: np.ndarray
    sxx: np.ndarray
    sxy: np.ndarray
    syy: np.ndarray
    n_lags: int
    mean: np.ndarray
    scale: np.ndarray

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.n)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.sx.shape[1] // self.n_lags

    def total(self, folds: Sequence[int]) -> Centred:
        """Return the centred moments of these folds together (summed anew, not subtracted, to keep precision)."""
        first, *others = folds
        sums = {f.name: getattr(self, f.name)[first] for f in fields(self)[:7]}
        sums = {name: value + 0 for name, value in sums.items()}
        for fold in others:
            for name in sums:
                sums[name] += getattr(self, name)[fold]
        n, sx, sy = sums["n"], sums["sx"], sums["sy"]
        return Centred(
            n=float(n),
            n_trials=int(sums["n_trials"]),
            x_mean=sx / n,
            y_mean=sy / n,
            sxx=sums["sxx"] - np.outer(sx, sx / n),
            sxy=sums["sxy"] - np.outer(sx, sy / n),
            syy=sums["syy"] - sy * sy / n,
        )

    def select(self, features: Sequence[int] | np.ndarray) -> BlockMoments:
        """Return the moments of these features only."""
        at = (np.asarray(features, dtype=int)[:, None] * self.n_lags + np.arange(self.n_lags)).ravel()
        return replace(self, sx=self.sx[:, at], sxx=self.sxx[:, at[:, None], at], sxy=self.sxy[:, at])

    def __add__(self, other: BlockMoments) -> BlockMoments:
        summed = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[:7]}
        return replace(self, **summed)


def fold_moments(
    design: Design, folds: np.ndarray, *, edges: Edges = "zero", dtype: type = np.float64, centre_trials: bool = False
) -> BlockMoments:
    """Sum the lagged block moments of all features within folds.

    Parameters
    ----------
    design
        Trials apart.
    folds
        Fold of each trial, shape ``(n_trials,)``.
    edges
        What lies beyond a trial's ends.
    dtype
        Precision of the bulk products; sums are float64.
    centre_trials
        Whether to take each trial's own mean off its responses (else one constant per channel off all).
    """
    require_long_trials(design)
    standards = standardise(design, centre_trials=centre_trials)
    n_folds, width, n_channels = int(folds.max()) + 1, design.n_features * design.lags.n, len(design.channels)
    products = LaggedProducts(design.lags, edges == "circular", dtype)
    sxx, sxy = np.zeros((n_folds, width, width)), np.empty((n_folds, width, n_channels))
    sx, sy, syy = np.empty((n_folds, width)), np.zeros((n_folds, n_channels)), np.zeros((n_folds, n_channels))
    n, n_trials = np.zeros(n_folds), np.bincount(folds, minlength=n_folds)
    for fold in range(n_folds):
        members = np.flatnonzero(folds == fold)
        gram, cross = _fold_products(design, members, products, standards, lost=sxx[fold])
        np.subtract(_block_toeplitz(gram), sxx[fold], out=sxx[fold])
        sxy[fold], sx[fold] = cross[:, :-1], cross[:, -1]
        for k in members:
            n[fold] += design.trials[k].axis.n if products.wrap else standards.n_usable[k]
            sy[fold] += standards.sums[k]
            syy[fold] += standards.squares[k]
    return BlockMoments(n, n_trials, sx, sy, sxx, sxy, syy, design.lags.n, standards.mean, standards.scale)


def require_long_trials(design: Design) -> None:
    """Refuse trials that the lag window covers."""
    shortest = min(design.trials, key=lambda trial: trial.axis.n)
    need = max(2 * design.lags.n, abs(design.lags.first), abs(design.lags.last))
    if shortest.axis.n <= need:
        raise ValueProblem(
            "a trial is too short for the lag window",
            got=f"trial {shortest.name!r}: {shortest.axis.n} frames for {design.lags.n} lags",
            fix="drop the trial, or shorten the lag window",
        )


def _fold_products(
    design: Design,
    members: np.ndarray,
    products: LaggedProducts,
    standards: Standards,
    *,
    lost: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a fold's R and its products with [responses, usable], ``(n_columns, n_channels + 1)``; fill ``lost``."""
    n_x, n_lags, n_columns = design.n_features, design.lags.n, len(design.channels) + 1
    gram, cross = np.zeros((n_lags, n_x, n_x)), np.zeros((n_lags, n_x, n_columns))
    for k in members:
        trial = design.trials[k]
        responses = standards.reader(k, trial, every_frame=products.wrap)
        products.add(trial.x, responses, into=(gram, cross), n_columns=n_columns)
        if not products.wrap:
            _add_lost_rows(trial, design.lags, lost)
    return gram, cross.transpose(1, 0, 2).reshape(-1, n_columns)


def _add_lost_rows(trial: Trial, lags: Lags, lost: np.ndarray) -> None:
    n = trial.axis.n
    before, after = np.arange(min(lags.first, 0), 0), np.arange(n, n + max(lags.last, 0))
    frames = np.concatenate([before, np.flatnonzero(~trial.mask), after])
    step = max(1, _CHUNK_BYTES // (8 * len(lost)))
    for start in range(0, len(frames), step):
        rows = lagged_rows(trial.x, frames[start : start + step], lags)
        lost += rows.T @ rows


def lagged_rows(features: Trajectory, frames: np.ndarray, lags: Lags) -> np.ndarray:
    """Return rows of the zero-padded lagged design (for a few frames, not for all), float64."""
    at = frames[:, None] - lags.samples[None, :]
    inside = (at >= 0) & (at < features.axis.n)
    rows = features.values[np.clip(at, 0, features.axis.n - 1).ravel()]
    values = (rows if isinstance(rows, np.ndarray) else rows.toarray()).reshape(*at.shape, -1)
    columns = np.where(inside[:, :, None], values, 0.0).transpose(0, 2, 1)
    return columns.reshape(len(frames), -1).astype(np.float64)


def _block_toeplitz(gram: np.ndarray) -> np.ndarray:
    """Lay out ``R[d]`` as the matrix whose block (f, i; g, j) is ``R[i - j, f, g]``."""
    n_lags, n_x, _ = gram.shape
    out = np.empty((n_x, n_lags, n_x, n_lags))
    at = np.arange(n_lags)
    for d, product in enumerate(gram):
        low = at[: n_lags - d]
        out[:, low + d, :, low] = product
        out[:, low, :, low + d] = product.T
    return out.reshape(n_x * n_lags, -1)
