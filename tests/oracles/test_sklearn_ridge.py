"""Every number of the mass-univariate engine against scikit-learn, with explicit lag matrices and predictions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from brainalign.encoding.folds import assign_folds
from brainalign.encoding.joint import unique_contributions
from brainalign.encoding.massunivariate import feature_maps, rotated_scores
from tests.encoding.designs import lagged, make_design

PENALTIES = (0.01, 0.3, 3.0, 30.0)


def rows_of(design, feature, edges, *, shifts=None):
    """Return per-trial (X, y) with explicit lag columns; unusable rows left out (zero edges only)."""
    pairs = []
    for k, trial in enumerate(design.trials):
        x = trial.x.block(feature, feature + 1)[:, 0].astype(float)
        x = np.roll(x, 0 if shifts is None else shifts[k])
        columns, y = lagged(x, design.lags, edges=edges), np.asarray(trial.y, dtype=float)
        pairs.append((columns[trial.mask], y[trial.mask]) if edges == "zero" else (columns, y))
    return pairs


def fit(pairs, folds, out, penalty):
    kept = [pair for pair, fold in zip(pairs, folds, strict=True) if fold not in out]
    x, y = np.vstack([pair[0] for pair in kept]), np.concatenate([pair[1] for pair in kept])
    unit = len(x) * x.var(axis=0).mean()
    return Ridge(alpha=penalty * unit, solver="cholesky").fit(x, y)


def score(model, pairs, folds, fold):
    held = [pair for pair, k in zip(pairs, folds, strict=True) if k == fold]
    x, y = np.vstack([pair[0] for pair in held]), np.concatenate([pair[1] for pair in held])
    predicted = model.predict(x)
    return np.array([np.corrcoef(predicted[:, c], y[:, c])[0, 1] for c in range(y.shape[1])])


def nested_by_hand(pairs, folds):
    n_folds = folds.max() + 1
    merit = np.zeros((n_folds, len(PENALTIES), pairs[0][1].shape[1]))
    for pair in combinations(range(n_folds), 2):
        for a, penalty in enumerate(PENALTIES):
            model = fit(pairs, folds, pair, penalty)
            merit[pair[0], a] += score(model, pairs, folds, pair[1])
            merit[pair[1], a] += score(model, pairs, folds, pair[0])
    choice = merit.argmax(axis=1)
    scores = np.empty(choice.shape)
    for fold in range(n_folds):
        by_penalty = [score(fit(pairs, folds, (fold,), penalty), pairs, folds, fold) for penalty in PENALTIES]
        scores[fold] = np.take_along_axis(np.array(by_penalty), choice[fold][None], axis=0)[0]
    return scores, np.array(PENALTIES)[choice]


@pytest.mark.parametrize(("edges", "masked"), [("zero", False), ("zero", True), ("circular", False)])
@pytest.mark.parametrize("as_csr", [False, True])
def test_nested_scores_penalties_and_weights(rng, edges, masked, as_csr):
    design = make_design(rng, masked=masked, as_csr=as_csr)
    result = feature_maps(design, penalties=PENALTIES, n_folds=4, edges=edges, dtype=np.float64)
    folds = assign_folds([trial.name for trial in design.trials], 4)
    for f in range(design.n_features):
        pairs = rows_of(design, f, edges)
        scores, alpha = nested_by_hand(pairs, folds)
        np.testing.assert_allclose(result.scores[:, f], scores, atol=2e-7)
        np.testing.assert_array_equal(result.alpha[:, f], alpha.astype(np.float32))
        for c in range(2):
            model = fit(pairs, folds, (), float(result.coef_alpha[f, c]))
            np.testing.assert_allclose(result.coef[f, :, c], model.coef_[c], rtol=1e-4, atol=1e-10)


def test_float32_agrees_with_float64(rng):
    design = make_design(rng, as_csr=True)
    single, double = (feature_maps(design, penalties=(1.0,), n_folds=4, dtype=t) for t in (np.float32, np.float64))
    np.testing.assert_allclose(single.scores, double.scores, atol=2e-6)


def test_every_rotation_equals_rolling_the_stimulus_and_fitting_again(rng):
    design = make_design(rng, n_channels=3, n_features=2)
    folds = assign_folds([trial.name for trial in design.trials], 4)
    shifts = np.vstack([np.zeros(5, dtype=int), rng.integers(20, 280, (3, 5))])
    for f, scores in enumerate(rotated_scores(design, shifts, penalties=PENALTIES, n_folds=4, dtype=np.float64)):
        for row, shift in zip(scores, shifts, strict=True):
            expected, _ = nested_by_hand(rows_of(design, f, "circular", shifts=shift), folds)
            np.testing.assert_allclose(row, expected.mean(axis=0), atol=1e-9)


def test_the_identity_is_the_data_itself(rng):
    design = make_design(rng)
    result = feature_maps(design, n_folds=4, edges="circular")
    identity = np.array([s[0] for s in rotated_scores(design, np.zeros((1, 5), dtype=int), n_folds=4)])
    np.testing.assert_allclose(identity, result.score, atol=2e-6)


def joint_by_hand(design, folds, fold, penalty, left_out):
    pairs = []
    kept = [f for f in range(design.n_features) if f not in left_out]
    for trial in design.trials:
        x = trial.x.block(0, design.n_features)[:, kept].astype(float)
        y = np.asarray(trial.y, dtype=float)
        pairs.append((lagged(x, design.lags, edges="circular").reshape(len(x), -1), y - y.mean(axis=0)))
    train = [pair for pair, k in zip(pairs, folds, strict=True) if k != fold]
    x, y = np.vstack([pair[0] for pair in train]), np.concatenate([pair[1] for pair in train])
    unit = len(x) * x.var(axis=0).reshape(len(kept), -1).mean(axis=1)
    width = np.sqrt(np.repeat(penalty * unit, design.lags.n))
    model = Ridge(alpha=1.0, solver="cholesky").fit(x / width, y)
    held = [pair for pair, k in zip(pairs, folds, strict=True) if k == fold]
    return score(model, [(pair[0] / width, pair[1]) for pair in held], np.zeros(len(held), dtype=int), 0)


def test_leaving_a_feature_out_equals_fitting_without_it(rng):
    design = make_design(rng, n_features=4)
    found = unique_contributions(design, kept=1, penalties=(0.1, 1.0), n_folds=4)
    folds = assign_folds([trial.name for trial in design.trials], 4)
    full = [joint_by_hand(design, folds, k, found.alpha[k], ()) for k in range(4)]
    np.testing.assert_allclose(found.full, np.mean(full, axis=0), atol=1e-9)
    for i in range(3):
        reduced = [joint_by_hand(design, folds, k, found.alpha[k], (1 + i,)) for k in range(4)]
        np.testing.assert_allclose(found.unique[i], np.mean(full, axis=0) - np.mean(reduced, axis=0), atol=1e-9)
