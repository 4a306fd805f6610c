"""What do other toolboxes do in each task? Their own calls, with the conventions that make the mathematics the same.

Every function returns what it found and which part of the task it did: slow ones are given a slice. What a toolbox does
once whatever the slice (lag matrices, say) is told apart, so that it is not multiplied.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from benchmarks._engine_data import RATE, Data
from benchmarks._engine_job import Outcome, seconds, since

Lists = tuple[list[np.ndarray], list[np.ndarray], Data]


def _as_lists(data: Data) -> Lists:
    """Return features and responses per trial, float64, as the toolboxes take them."""
    x = [np.ascontiguousarray(item, dtype=np.float64) for item in data.x]
    return x, list(data.y), Data((), data.y, data.lags)


def _as_epochs(data: Data) -> Lists:
    x, y, _ = _as_lists(data)
    return [np.stack(x, axis=1)], [np.stack(y, axis=1)], Data((), (), data.lags)


def _as_ndvars(data: Data) -> tuple[Any, Any, Data]:
    from eelbrain import UTS, Case, NDVar, Scalar, Sensor

    time = UTS(0, 1 / RATE, len(data.y[0]))
    n_features, n_channels = data.x[0].shape[1], data.y[0].shape[1]
    features = Scalar("feature", np.arange(n_features))
    sensors = Sensor(np.random.default_rng(0).standard_normal((n_channels, 3)))
    x = NDVar(np.stack([item.T for item in data.x]).astype(np.float64), (Case, features, time), "x")
    y = NDVar(np.stack([item.T for item in data.y]), (Case, sensors, time), "y")
    return x, y, Data((), (), data.lags)


prepare = dict.fromkeys(
    ("mtrf", "mtrf_nested", "mtrf_fixed", "sklearn", "himalaya", "fftrf", "rotated_by_hand"), _as_lists
)
prepare |= {"mne": _as_epochs, "eelbrain": _as_ndvars}


def _window(data: Data) -> tuple[float, float]:
    return data.lags.first / RATE, data.lags.last / RATE


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    return (one * other).sum(axis=0) / np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))


def _lagged(x: np.ndarray, data: Data, *, circular: bool = False) -> np.ndarray:
    """Return the lag matrix, feature-major, between silences or on the ring."""
    out = np.zeros((len(x), x.shape[1], data.lags.n))
    for i, lag in enumerate(data.lags.samples):
        if circular:
            out[:, :, i] = np.roll(x, lag, axis=0)
        elif lag >= 0:
            out[lag:, :, i] = x[: len(x) - lag]
        else:
            out[:lag, :, i] = x[-lag:]
    return out.reshape(len(x), -1)


def mtrf(lists: Lists, *, penalties: list[float], shift: int = 0) -> Outcome:
    """Train mTRFpy over all penalties, one per channel; on a stimulus that was really rotated, if asked."""
    from mtrf import TRF

    x, y, data = lists
    x = [np.roll(item, shift, axis=0) for item in x] if shift else x
    model, grid = TRF(), np.asarray(penalties)
    r = model.train(list(x), list(y), RATE, *_window(data), grid, reg_per_y_channel=True, verbose=False)
    return Outcome({"r": r.max(axis=0), "alpha": grid[r.argmax(axis=0)], "weights": model.weights})


def mtrf_nested(lists: Lists, *, penalties: list[float], shift: int = 0) -> Outcome:
    """Hold each trial out once and train mTRFpy on the others, which chooses a penalty per channel among them.

    Its own ``nested_crossval`` knows no penalty per channel; this is what it does, with one.
    """
    from mtrf import TRF

    x, y, data = lists
    x = [np.roll(item, shift, axis=0) for item in x] if shift else x
    r = np.empty((len(x), y[0].shape[1]))
    for out in range(len(x)):
        kept, model = [k for k in range(len(x)) if k != out], TRF()
        model.train(
            [x[k] for k in kept], [y[k] for k in kept], RATE, *_window(data), np.asarray(penalties),
            reg_per_y_channel=True, verbose=False,
        )  # fmt: skip
        r[out] = _correlation(model.predict([x[out]])[0], y[out])
    return Outcome({"r": r.mean(axis=0)})


def mtrf_fixed(lists: Lists, *, relative: float) -> Outcome:
    """Train mTRFpy on single features with the penalty that ``relative`` amounts to in each training set."""
    from mtrf import TRF

    x, y, data = lists
    n, n_features, n_channels = len(x), x[0].shape[1], y[0].shape[1]
    r, weights = np.empty((n, n_features, n_channels)), np.empty((n_features, data.lags.n, n_channels))
    for f in range(n_features):
        own = [item[:, f : f + 1] for item in x]
        for out in (*range(n), None):
            kept = [k for k in range(n) if k != out]
            rows = np.concatenate([_lagged(own[k], data) for k in kept])
            unit = len(rows) * rows.var(axis=0).mean()
            model, penalty = TRF(), relative * unit / RATE / len(kept)
            model.train([own[k] for k in kept], [y[k] for k in kept], RATE, *_window(data), penalty, verbose=False)
            if out is None:
                weights[f] = model.weights[0] / RATE
            else:
                r[out, f] = _correlation(model.predict([own[out]])[0], y[out])
    return Outcome({"r": r, "weights": weights})


def sklearn(lists: Lists, *, penalties: list[float], n_measured: int) -> Outcome:
    """Fit scikit-learn's Ridge on explicit lag matrices, fold by fold and penalty by penalty."""
    from sklearn.linear_model import Ridge

    x, y, data = lists
    start = seconds()
    rows = [_lagged(item, data) for item in x]
    fixed, n, measured = since(start), len(rows), penalties[:n_measured]
    r = np.empty((len(measured), n, y[0].shape[1]))
    for k in range(n):
        train, response = np.vstack(rows[:k] + rows[k + 1 :]), np.vstack(y[:k] + y[k + 1 :])
        for a, penalty in enumerate(measured):
            model = Ridge(alpha=penalty, solver="cholesky").fit(train, response)
            r[a, k] = _correlation(model.predict(rows[k]), y[k])
    del train, response
    model = Ridge(alpha=measured[0], solver="cholesky").fit(np.vstack(rows), np.vstack(y))
    weights = model.coef_.T.reshape(x[0].shape[1], data.lags.n, -1)
    part = (len(measured) * n + 1) / (len(penalties) * n + 1)
    return Outcome({"r": r, "weights": weights}, part=part, fixed=fixed)


def himalaya(lists: Lists, *, penalties: list[float], frames: int) -> Outcome:
    """Cross-validate himalaya's ridge over all penalties, one per channel, on explicit lag matrices."""
    from himalaya.ridge import solve_ridge_cv_svd
    from himalaya.scoring import correlation_score
    from sklearn.model_selection import PredefinedSplit

    x, y, data = lists
    rows, responses = np.vstack([_lagged(item, data) for item in x]), np.vstack(y)
    folds = PredefinedSplit(np.repeat(np.arange(len(y)), [len(item) for item in y]))
    alpha, weights, r, _ = solve_ridge_cv_svd(
        rows, responses, alphas=np.asarray(penalties), fit_intercept=True, score_func=correlation_score, cv=folds,
        n_alphas_batch=1, warn=False,
    )  # fmt: skip
    arrays = {"r": r[0], "alpha": alpha, "weights": weights.reshape(x[0].shape[1], data.lags.n, -1)}
    return Outcome(arrays, part=min(1.0, len(y[0]) / frames))


def mne(epochs: Lists, *, penalties: list[float], n_folds: int, n_measured: int) -> Outcome:
    """Fit and score MNE's receptive field, one penalty and fold at a time."""
    from mne.decoding import ReceptiveField, TimeDelayingRidge

    (x,), (y,), data = epochs
    window, r, weights = _window(data), np.full((1, n_folds, y.shape[2]), np.nan), None
    for k in range(n_measured):
        ridge = TimeDelayingRidge(*window, RATE, alpha=penalties[0], reg_type="ridge", n_jobs=1)
        model = ReceptiveField(*window, RATE, estimator=ridge, scoring="corrcoef")
        kept = np.arange(n_folds) != k
        model.fit(x[:, kept], y[:, kept])
        r[0, k] = model.score(x[:, [k]], y[:, [k]])
        weights = model.coef_ if k == 0 else weights
    # The last fit, to all trials, costs about as much as one of a fold.
    return Outcome({"r": r, "weights": weights}, part=n_measured / (n_folds * len(penalties) + 1))


def fftrf(lists: Lists, *, penalties: list[float], shift: int = 0) -> Outcome:
    """Train ffTRF over all penalties (a ridge at every frequency, one penalty for all channels)."""
    from fftrf import TRF

    x, y, data = lists
    x = [np.roll(item, shift, axis=0) for item in x] if shift else x
    start, stop = _window(data)
    model = TRF()
    # Its window is half open.
    r = model.train(x, y, RATE, start, stop + 1 / RATE, penalties, k="loo", average=False)
    return Outcome({"r": r[r.mean(axis=1).argmax()], "weights": model.weights})


def eelbrain(variables: tuple[Any, Any, Data], *, n_channels: int, n_measured: int, frames: int = 0) -> Outcome:
    """Boost some channels with Eelbrain, each trial held out once (its stopping is nested in the training trials)."""
    from eelbrain import boosting, configure

    configure(n_workers=False, show=False)
    x, y, data = variables
    start, stop = _window(data)
    result = boosting(y.sub(sensor=slice(0, n_measured)), x, start, stop + 1 / RATE, partitions=len(y), test=1)
    r = np.full(n_channels, np.nan)
    r[:n_measured] = np.atleast_1d(result.r.x)[:n_measured]
    share = min(1.0, len(y.time) / frames) if frames else 1.0
    return Outcome({"r": r}, part=min(1.0, n_measured / n_channels) * share)


def rotated_by_hand(lists: Lists, *, penalties: list[float], n_rotations: int, basis: str | None = None) -> Outcome:
    """Score the first feature under really shifted stimuli: lag matrices, scikit-learn's Ridge, nested folds."""
    from brainalign.encoding.basis import lag_basis

    x, y, data = lists
    functions, found = lag_basis(basis, data.lags), []
    for shift in data.shifts(n_rotations):
        turned = [np.roll(item[:, :1], s, axis=0) for item, s in zip(x, shift, strict=True)]
        rows = [_lagged(item, data, circular=True) for item in turned]
        found.append(_nested([row if functions is None else row @ functions for row in rows], y, penalties))
    return Outcome({"r": np.array(found)[None]})


def _nested(rows: list[np.ndarray], y: list[np.ndarray], penalties: list[float]) -> np.ndarray:
    n, merit = len(rows), np.zeros((len(rows), len(penalties), y[0].shape[1]))
    for pair in combinations(range(n), 2):
        for outer, r in zip(pair[::-1], _tried(rows, y, pair, penalties), strict=True):
            merit[outer] += r
    outer = np.array([_tried(rows, y, (k,), penalties)[0] for k in range(n)])
    best = merit.argmax(axis=1)
    return np.take_along_axis(outer, best[:, None], axis=1)[:, 0].mean(axis=0)


def _tried(
    rows: list[np.ndarray], y: list[np.ndarray], out: tuple[int, ...], penalties: list[float]
) -> list[np.ndarray]:
    """Train without some trials; return r of every penalty on each of them, ``(n_penalties, n_channels)``."""
    from sklearn.linear_model import Ridge

    kept = [k for k in range(len(rows)) if k not in out]
    train, response = np.vstack([rows[k] for k in kept]), np.vstack([y[k] for k in kept])
    unit = len(train) * train.var(axis=0).mean()
    models = [Ridge(alpha=penalty * unit, solver="cholesky").fit(train, response) for penalty in penalties]
    return [np.array([_correlation(model.predict(rows[k]), y[k]) for model in models]) for k in out]
