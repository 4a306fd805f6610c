"""Gains over a baseline, and their Freedman-Lane null, against explicit refits of both joint models."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.baseline import fit_baseline
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.unique import unique_rotated, unique_scores
from tests.encoding.designs import RATE, lagged

PENALTIES, BASELINE_PENALTIES = (0.03, 1.0, 30.0), (0.01, 0.3)
N_FOLDS = 4


def make_pair(rng, *, n_features=2, n_baseline=2, n_channels=3, as_csr=False):
    """Trials whose features lean on the baseline, which drives the response; feature 0 adds something of its own."""
    trials, baselines = [], []
    for number in range(5):
        n = 240 + 13 * number
        z = rng.standard_normal((n, n_baseline)) + 0.2
        x = rng.standard_normal((n, n_features)) * (rng.random((n, n_features)) < 0.4) + 0.7 * z[:, :1]
        y = rng.standard_normal((n, n_channels)) + np.roll(z[:, :1], 2, axis=0) * [1.0, 0.5, 0.0]
        y[:, 0] += 0.5 * np.roll(x[:, 0], 1)
        axis, values = TimeAxis(RATE, n), x.astype(np.float32)
        features = Trajectory(
            sparse.csr_array(values) if as_csr else values, axis, tuple(f"f{i}" for i in range(n_features))
        )
        trials.append(Trial(f"story-{number}", features, 1e-5 * y, np.ones(n, dtype=bool)))
        baselines.append(Trajectory(z.astype(np.float32), axis, tuple(f"z{i}" for i in range(n_baseline))))
    channels = tuple(f"ch{i}" for i in range(n_channels))
    return Design(tuple(trials), Lags(-1, 4, RATE), channels, np.zeros((n_channels, 3))), baselines


def lag_columns(values, lags):
    return np.concatenate([lagged(values[:, j], lags, edges="circular") for j in range(values.shape[1])], axis=1)


def joint_r(spaces, responses, folds, *, out, test, penalties):
    """Fit by the normal equations: each space with its own relative penalty per feature; return held-out r."""
    train, held = [k for k, f in enumerate(folds) if f not in out], [k for k, f in enumerate(folds) if f == test]
    x, y = (
        np.concatenate([np.concatenate([s[k] for s in part], axis=1) for k in train]) for part in (spaces, [responses])
    )
    widths, at = [], 0
    for space, (penalty, n_lags) in zip(spaces, penalties, strict=True):
        width = space[0].shape[1]
        variance = x[:, at : at + width].var(axis=0).reshape(-1, n_lags).mean(axis=1)
        widths.append(np.repeat(penalty * len(x) * variance, n_lags))
        at += width
    mean, level = x.mean(axis=0), y.mean(axis=0)
    weights = np.linalg.solve((x - mean).T @ (x - mean) + np.diag(np.concatenate(widths)), (x - mean).T @ (y - level))
    x, y = (
        np.concatenate([np.concatenate([s[k] for s in part], axis=1) for k in held]) for part in (spaces, [responses])
    )
    predicted = x @ weights
    return np.array([np.corrcoef(predicted[:, c], y[:, c])[0, 1] for c in range(y.shape[1])])


def gain_by_hand(x, z, responses, folds, alpha, n_lags):
    gains = []
    for outer in range(N_FOLDS):

        def r(test, penalty, outer=outer):
            spaces, chosen = [z], [(alpha[outer], n_lags)]
            if penalty is not None:
                spaces, chosen = [z, x], [*chosen, (penalty, n_lags)]
            return joint_r(spaces, responses, folds, out={outer, test}, test=test, penalties=chosen)

        merit = [sum(r(test, penalty) for test in range(N_FOLDS) if test != outer) for penalty in PENALTIES]
        outers = np.array([r(outer, penalty) for penalty in PENALTIES])
        best = np.argmax(merit, axis=0)
        gains.append(np.take_along_axis(outers, best[None], axis=0)[0] - r(outer, None))
    return np.mean(gains, axis=0)


@pytest.mark.parametrize("as_csr", [False, True])
def test_gains_and_their_null_equal_refitting_both_models(rng, as_csr):
    design, baseline = make_pair(rng, as_csr=as_csr)
    folds, lags = assign_folds([t.name for t in design.trials], N_FOLDS), design.lags
    shifts = np.vstack([np.zeros((1, 5), dtype=int), rng.integers(10, 200, (2, 5))])
    found = unique_rotated(
        design, baseline, shifts, penalties=PENALTIES, baseline_penalties=BASELINE_PENALTIES, n_folds=N_FOLDS,
        dtype=np.float64,
    )  # fmt: skip
    fit = fit_baseline(design, baseline, penalties=BASELINE_PENALTIES, n_folds=N_FOLDS)
    z = [lag_columns(np.asarray(item.values, dtype=float), lags) for item in baseline]
    for f, gains in enumerate(found):
        x = [lag_columns(t.x.block(f, f + 1).astype(float), lags) for t in design.trials]
        for row, shift in zip(gains, shifts, strict=True):
            pairs = zip(fit.fitted, fit.residual, shift, strict=True)
            responses = [fitted + np.roll(residual, -s, axis=0) for fitted, residual, s in pairs]
            np.testing.assert_allclose(row, gain_by_hand(x, z, responses, folds, fit.alpha, lags.n), atol=1e-9)


def test_the_baselines_penalty_is_the_one_that_serves_inner_folds_best(rng):
    design, baseline = make_pair(rng)
    folds, lags = assign_folds([t.name for t in design.trials], N_FOLDS), design.lags
    fit = fit_baseline(design, baseline, penalties=BASELINE_PENALTIES, n_folds=N_FOLDS)
    z = [lag_columns(np.asarray(item.values, dtype=float), lags) for item in baseline]
    y = [np.asarray(t.y, dtype=float) for t in design.trials]
    for outer in range(N_FOLDS):
        merit = [
            sum(
                joint_r([z], y, folds, out={outer, test}, test=test, penalties=[(a, lags.n)]).mean()
                for test in range(N_FOLDS)
                if test != outer
            )
            for a in BASELINE_PENALTIES
        ]
        assert fit.alpha[outer] == BASELINE_PENALTIES[int(np.argmax(merit))]


def test_float32_agrees_with_float64(rng):
    design, baseline = make_pair(rng, as_csr=True)
    single, double = (
        unique_scores(design, baseline, penalties=(1.0,), n_folds=N_FOLDS, dtype=t) for t in (np.float32, np.float64)
    )
    np.testing.assert_allclose(single, double, atol=2e-6)


def test_a_feature_of_the_baseline_adds_next_to_nothing_and_a_silent_one_nothing(rng):
    design, baseline = make_pair(rng)
    trials = []
    for trial, item in zip(design.trials, baseline, strict=True):
        values = np.column_stack([np.asarray(item.values)[:, 0], np.zeros(trial.axis.n, dtype=np.float32)])
        trials.append(Trial(trial.name, Trajectory(values, trial.axis, ("copy", "silent")), trial.y, trial.mask))
    copied = Design(tuple(trials), design.lags, design.channels, design.positions)
    gains = unique_scores(copied, baseline, n_folds=N_FOLDS, dtype=np.float64)
    assert np.abs(gains[0]).max() < 5e-3
    assert np.all(gains[1] == 0)
