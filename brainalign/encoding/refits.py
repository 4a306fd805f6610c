"""What would the response function have been, had other time been recorded? Refits on weighted blocks of time.

A block's moments are those of its own frames, with lags reaching into its neighbours as they do in the
trial. Moments add up, so a resample of blocks is a weighted sum of their moments and one small solution
serves all channels; data are read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.joint import JointResult
from brainalign.encoding.blocks import BlockMoments, Centred, fold_moments
from brainalign.encoding.crossval import MomentProblem, Path
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.multivariate import NUMERICS, Numerics, fit_fixed, ridge_path
from brainalign.encoding.penalty import Regulariser, as_regulariser, check_penalties
from brainalign.encoding.prediction import lagged_sum, predict

_BLOCK_BYTES = 64_000_000
Span = tuple[int, int, int]


def span_moments(design: Design, spans: Sequence[Span]) -> BlockMoments:
    """Return the moments of stretches of trials, as if each were a fold of its own (silence beyond trials).

    Holds ``8 n_columns (n_columns + n_channels)`` bytes per stretch.

    Parameters
    ----------
    design
        Trials apart.
    spans
        Trial, first frame and the frame after the last of each stretch; together all usable frames, once each.
    """
    parts = replace(design, trials=tuple(_part(design, span) for span in spans))
    return fold_moments(parts, np.arange(len(spans)))


def _part(design: Design, span: Span) -> Trial:
    """Return a stretch with the neighbourhood that its lags reach, which may be read but does not count."""
    number, start, stop = span
    trial, lags = design.trials[number], design.lags
    low, high = max(0, start - max(lags.last, 0)), min(trial.axis.n, stop + max(-lags.first, 0))
    # Longer than a lag window twice over, as moments of trials require.
    need = max(2 * lags.n, abs(lags.first), abs(lags.last)) + 1 - (high - low)
    low = max(0, low - max(0, need))
    high = min(trial.axis.n, max(high, low + need + (high - low))) if need > 0 else high
    mask: np.ndarray = np.zeros(high - low, dtype=bool)
    mask[start - low : stop - low] = trial.mask[start:stop]
    return Trial(trial.name, trial.x.frames(low, high), trial.y[low:high], mask)


@dataclass(frozen=True, eq=False)
class Refits:
    """Response functions under any weighting of blocks, with penalties that stay as they are.

    Attributes
    ----------
    moments
        Per block.
    n_trials
        Trials of the whole.
    path
        Turns moments into weights, candidate by candidate.
    choice
        Candidate of each channel.
    """

    moments: BlockMoments
    n_trials: int
    path: Path
    choice: np.ndarray

    def responses(self, counts: np.ndarray) -> Iterator[np.ndarray]:
        """Yield response functions in the response's unit, ``(n, n_features, n_channels, n_lags)``, in portions.

        Parameters
        ----------
        counts
            Weight of each block, ``(n_resamples, n_blocks)``.
        """
        width = self.moments.sx.shape[1]
        step = max(1, _BLOCK_BYTES // (8 * width * (width + len(self.choice))))
        for start in range(0, len(counts), step):
            yield np.array([self._response(train) for train in self.weighted(counts[start : start + step])])

    def weighted(self, counts: np.ndarray) -> Iterator[Centred]:
        """Yield each resample's moments around its own means."""
        m = self.moments
        n = counts @ m.n
        sx, sy, syy = counts @ m.sx, counts @ m.sy, counts @ m.syy
        sxx, sxy = (np.tensordot(counts, part, axes=1) for part in (m.sxx, m.sxy))
        for i, frames in enumerate(n):
            yield Centred(
                n=float(frames),
                n_trials=self.n_trials,
                x_mean=sx[i] / frames,
                y_mean=sy[i] / frames,
                sxx=sxx[i] - np.outer(sx[i], sx[i] / frames),
                sxy=sxy[i] - np.outer(sx[i], sy[i] / frames),
                syy=syy[i] - sy[i] * sy[i] / frames,
            )

    def _response(self, train: Centred) -> np.ndarray:
        weights = MomentProblem(self.moments, self.path).chosen(train, self.choice) * self.moments.scale
        return weights.reshape(self.moments.n_features, self.moments.n_lags, -1).swapaxes(1, 2)


def make_refits(
    design: Design,
    penalty: float | Sequence[float] | np.ndarray,
    *,
    spans: Sequence[Span],
    regulariser: str | Regulariser = "ridge",
) -> Refits:
    """Prepare refits of the joint model of all features on blocks of time.

    Parameters
    ----------
    design
        Trials apart.
    penalty
        One number, or one per channel.
    spans
        As in `span_moments`.
    regulariser
        As in `fit_encoding`, MNE's convention excepted.
    """
    rule, values = as_regulariser(regulariser), check_penalties(penalty)
    if rule.convention == "mne":
        raise ValueProblem("models are not refitted in MNE's convention", got=rule, fix="use 'relative'")
    if len(values) not in (1, len(design.channels)):
        raise ShapeMismatch(
            "a penalty is one number, or one per channel", got=values.shape, fix=f"give 1 or {len(design.channels)}"
        )
    grid, choice = np.unique(np.broadcast_to(values, len(design.channels)), return_inverse=True)
    path = ridge_path(design, grid, regulariser=rule)
    return Refits(span_moments(design, spans), len(design.trials), path, choice)


def influence(
    design: Design,
    penalty: float | Sequence[float] | np.ndarray,
    *,
    at: Sequence[int],
    regulariser: str | Regulariser = "ridge",
) -> list[np.ndarray]:
    """Return per trial what each frame adds to the error of some weights, ``(n_frames, n_features * n_channels)``.

    To first order a weight errs by the sum of ``(H (x(t) - mean)) e(t)``, with residuals e and H the inverse of
    the penalised Gram matrix. How long that series remembers tells how long blocks of time must be.

    Parameters
    ----------
    design
        Trials apart.
    penalty
        One number, or one per channel.
    at
        Which lag is looked at, for each feature.
    regulariser
        As in `make_refits`.
    """
    fitted = fit_fixed(design, penalty, regulariser=regulariser)
    moments = fold_moments(design, np.zeros(len(design.trials), dtype=int))
    columns = np.arange(design.n_features) * design.lags.n + np.asarray(at)
    train = moments.total([0])
    typical = np.median(check_penalties(penalty), keepdims=True)
    path = ridge_path(design, typical, regulariser=as_regulariser(regulariser))
    (filters,) = path(replace(train, sxy=np.eye(len(train.sxx))[:, columns]))
    shape = (design.n_features, design.lags.n, -1)
    series = []
    for trial, predicted in zip(design.trials, predict(fitted, design), strict=True):
        filtered = lagged_sum(trial.x, design.lags, filters.reshape(shape)) - train.x_mean @ filters
        left = np.where(trial.mask[:, None], (trial.y - predicted) / moments.scale, 0)
        series.append((filtered[:, :, None] * left[:, None, :]).reshape(len(left), -1))
    return series


def held_out_predictions(
    result: JointResult, design: Design, *, regulariser: str | Regulariser = "ridge", numerics: Numerics = NUMERICS
) -> tuple[list[np.ndarray], np.ndarray]:
    """Predict every trial by the model of the folds that it is not in, with that fold's own penalties.

    Parameters
    ----------
    result
        From `fit_encoding` on this design (without ``pca``), whose scores these predictions have.
    design
        The design it was fitted to.
    regulariser, numerics
        As it was fitted with.

    Returns
    -------
    predictions : list of numpy.ndarray
        Per trial, ``(n_frames, n_channels)``, in the response's unit, with silence around the trial.
    folds : numpy.ndarray
        Fold of each trial.
    """
    if len(result.scores) < 2 or np.ptp(result.alpha, axis=1).any():
        raise ValueProblem(
            "held-out predictions need a cross-validated model with one penalty for all features",
            got=f"{len(result.scores)} folds, {len(result.bands)} bands",
            fix="fit it with fit_encoding",
        )
    if (result.features, result.channels, result.lags) != (design.features, design.channels, design.lags):
        raise ShapeMismatch("result and design differ", got=design.subject or "another design", fix="give its own")
    folds = assign_folds([trial.name for trial in design.trials], len(result.scores))
    grid, choice = np.unique(result.alpha[:, 0], return_inverse=True)
    choice = choice.reshape(result.scores.shape)
    moments = fold_moments(design, folds, edges=numerics.edges, dtype=numerics.dtype)
    problem = MomentProblem(moments, ridge_path(design, grid, regulariser=as_regulariser(regulariser)))
    models = []
    for fold in range(problem.n_folds):
        train = problem.train((fold,))
        weights = problem.chosen(train, choice[fold])
        models.append((weights * moments.scale, moments.mean + moments.scale * (train.y_mean - train.x_mean @ weights)))
    shape = (design.n_features, design.lags.n, -1)
    return [
        models[fold][1] + lagged_sum(trial.x, design.lags, models[fold][0].reshape(shape))
        for trial, fold in zip(design.trials, folds, strict=True)
    ], folds
