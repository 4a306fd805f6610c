"""What does a joint model predict, trial by trial?"""

from __future__ import annotations

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch
from brainalign.core.joint import JointResult
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory


def predict(result: JointResult, design: Design) -> list[np.ndarray]:
    """Predict each trial's response, with silence around the trial.

    Parameters
    ----------
    result
        From `fit_encoding` or `fit_banded`.
    design
        Trials with the same features.

    Returns
    -------
    list of numpy.ndarray
        One per trial, ``(n_frames, n_channels)``, in the response's unit.
    """
    if (design.features, design.lags.rate) != (result.features, result.lags.rate):
        raise ShapeMismatch(
            "a model predicts from the features and the rate that it was fitted with",
            got=f"{design.n_features} features at {design.lags.rate} Hz",
            fix=f"give the {len(result.features)} features at {result.lags.rate} Hz",
        )
    return [predict_trial(result, trial.x) for trial in design.trials]


def predict_trial(result: JointResult, features: Trajectory) -> np.ndarray:
    """Predict the response to one trial's features, with silence around the trial, ``(n_frames, n_channels)``."""
    return result.intercept.astype(np.float64) + lagged_sum(features, result.lags, result.coef)


def lagged_sum(features: Trajectory, lags: Lags, coef: np.ndarray) -> np.ndarray:
    """Return the features seen through lag functions, with silence around the trial, ``(n_frames, n_columns)``.

    Parameters
    ----------
    features
        One trial's.
    lags
        The lag window.
    coef
        Lag functions, ``(n_features, n_lags, n_columns)``.
    """
    n, coef = features.axis.n, coef.astype(np.float64)
    out = np.zeros((n, coef.shape[2]))
    for i, lag in enumerate(lags.samples):
        if abs(lag) < n:
            low, high = max(0, -lag), min(n, n - lag)
            out[low + lag : high + lag] += features.values[low:high] @ coef[:, i]
    return out


def trial_scores(result: JointResult, design: Design) -> np.ndarray:
    """Return Pearson r of each trial's prediction over its usable frames, ``(n_trials, n_channels)``.

    Its mean over trials is mTRF's score; `JointResult.scores` pools the trials of a fold instead.
    """
    return np.array([
        pearson(predicted[trial.mask], np.asarray(trial.y, dtype=np.float64)[trial.mask])
        for predicted, trial in zip(predict(result, design), design.trials, strict=True)
    ])  # fmt: skip


def pearson(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Pearson r column by column; 0 where either is constant."""
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    scale = np.sqrt(np.square(one).sum(axis=0) * np.square(other).sum(axis=0))
    return np.divide((one * other).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0)
