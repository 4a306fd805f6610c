"""Joint models against scikit-learn, mtrf and MNE, with their own lag matrices and predictions."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from brainalign.core.design import Design
from brainalign.core.time import Lags
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.multivariate import Numerics, fit_encoding
from brainalign.encoding.penalty import Regulariser, to_mne, to_mtrf
from brainalign.encoding.prediction import predict, trial_scores
from tests.encoding.designs import lagged, make_design

PENALTIES = (0.01, 0.3, 3.0, 30.0)


def rows_of(design, *, edges="zero"):
    """Return per-trial (X, y) with explicit lag columns, feature-major; unusable rows left out."""
    pairs = []
    for trial in design.trials:
        x = lagged(trial.x.block(0, design.n_features).astype(float), design.lags, edges=edges)
        x, y = x.reshape(len(x), -1), np.asarray(trial.y, dtype=float)
        pairs.append((x[trial.mask], y[trial.mask]) if edges == "zero" else (x, y))
    return pairs


def stack(pairs, folds, kept):
    part = [pair for pair, fold in zip(pairs, folds, strict=True) if fold in kept]
    return np.vstack([pair[0] for pair in part]), np.concatenate([pair[1] for pair in part])


def ridge(x, y, penalty, *, bands, n_lags):
    """Fit scikit-learn's Ridge on columns scaled to each band's mean variance."""
    width = np.ones(x.shape[1])
    for features in bands:
        at = (np.asarray(features)[:, None] * n_lags + np.arange(n_lags)).ravel()
        width[at] = np.sqrt(len(x) * x[:, at].var(axis=0).mean())
    model = Ridge(alpha=penalty, solver="svd").fit(x / width, y)
    model.coef_ = model.coef_ / width
    return model


def correlations(one, other):
    return np.array([np.corrcoef(one[:, c], other[:, c])[0, 1] for c in range(one.shape[1])])


def nested_by_hand(pairs, folds, *, bands, n_lags):
    n_folds, everything = folds.max() + 1, range(folds.max() + 1)
    merit = np.zeros((n_folds, len(PENALTIES), pairs[0][1].shape[1]))
    for pair in combinations(everything, 2):
        train = stack(pairs, folds, set(everything) - set(pair))
        for a, penalty in enumerate(PENALTIES):
            model = ridge(*train, penalty, bands=bands, n_lags=n_lags)
            for tried, outer in (pair, pair[::-1]):
                x, y = stack(pairs, folds, {tried})
                merit[outer, a] += correlations(model.predict(x), y)
    choice, scores = merit.argmax(axis=1), np.empty((n_folds, pairs[0][1].shape[1]))
    for fold in everything:
        train, (x, y) = stack(pairs, folds, set(everything) - {fold}), stack(pairs, folds, {fold})
        models = [ridge(*train, penalty, bands=bands, n_lags=n_lags) for penalty in PENALTIES]
        tried = np.array([correlations(model.predict(x), y) for model in models])
        scores[fold] = np.take_along_axis(tried, choice[fold][None], axis=0)[0]
    return scores, np.array(PENALTIES)[choice]


@pytest.mark.parametrize("solver", ["cholesky", "eigen", "kernel"])
@pytest.mark.parametrize(("as_csr", "masked"), [(False, False), (True, True)])
@pytest.mark.parametrize("bands", [{}, {"one": (0, 2), "two": (1,)}])
def test_nested_scores_penalties_weights_and_predictions(rng, solver, as_csr, masked, bands):
    design = replace(make_design(rng, as_csr=as_csr, masked=masked), bands=bands)
    found = fit_encoding(design, penalties=PENALTIES, n_folds=4, numerics=Numerics(solver=solver))
    folds = assign_folds([trial.name for trial in design.trials], 4)
    pairs, groups = rows_of(design), list(bands.values()) or [range(3)]
    scores, alpha = nested_by_hand(pairs, folds, bands=groups, n_lags=design.lags.n)
    np.testing.assert_allclose(found.scores, scores, atol=1e-10)
    np.testing.assert_array_equal(found.alpha, np.repeat(alpha[:, None], max(len(bands), 1), axis=1))
    x, y = stack(pairs, folds, range(4))
    predicted = predict(found, design)
    for c, penalty in enumerate(found.coef_alpha[0]):
        model = ridge(x, 1e5 * y, penalty, bands=groups, n_lags=design.lags.n)
        np.testing.assert_allclose(1e5 * found.coef[:, :, c].ravel(), model.coef_[c], atol=1e-9)
        np.testing.assert_allclose(1e5 * found.intercept[c], model.intercept_[c], atol=1e-9)
        whole = lagged(design.trials[1].x.block(0, 3).astype(float), design.lags, edges="zero")
        expected = model.predict(whole.reshape(len(whole), -1))[:, c]
        np.testing.assert_allclose(1e5 * predicted[1][:, c], expected, atol=1e-9)


def test_circular_edges(rng):
    design = make_design(rng)
    found = fit_encoding(design, penalties=PENALTIES, n_folds=4, numerics=Numerics(edges="circular"))
    folds = assign_folds([trial.name for trial in design.trials], 4)
    scores, _ = nested_by_hand(rows_of(design, edges="circular"), folds, bands=[range(3)], n_lags=design.lags.n)
    np.testing.assert_allclose(found.scores, scores, atol=1e-10)


def outward(design, start, stop):
    """Return the design with a lag window in seconds that mTRF rounds outward (3 lags before, 6 after)."""
    lags = Lags.from_seconds(start, stop, rate=design.lags.rate, rounding="outward")
    return Design(design.trials, lags, design.channels, design.positions)


def as_lists(design):
    x = [trial.x.block(0, design.n_features).astype(float) for trial in design.trials]
    return x, [np.asarray(trial.y, dtype=float) for trial in design.trials]


@pytest.mark.parametrize(("kind", "method", "n_features"), [("ridge", "ridge", 3), ("tikhonov-1", "tikhonov", 1)])
def test_mtrf_weights_predictions_and_scores_on_ragged_trials(rng, kind, method, n_features):
    mtrf = pytest.importorskip("mtrf")
    design = outward(make_design(rng, n_features=n_features, n_trials=4), -0.05, 0.11)
    grid = np.array([1e-3, 1e-1, 1e1, 1e3])
    rule = Regulariser(kind, "mtrf")
    found = fit_encoding(design, penalties=grid, n_folds=4, nested=False, regulariser=rule)
    x, y = as_lists(design)
    peer = mtrf.TRF(method=method)
    r = peer.train(x, y, 50, -0.05, 0.11, grid, reg_per_y_channel=True, verbose=False)
    np.testing.assert_array_equal(found.coef_alpha[0], grid[r.argmax(axis=0)])
    np.testing.assert_allclose(found.score, r.max(axis=0), atol=1e-8)
    weights, bias = to_mtrf(found)
    np.testing.assert_allclose(weights, peer.weights, atol=1e-8 * np.abs(peer.weights).max())
    np.testing.assert_allclose(bias, peer.bias, atol=1e-8 * np.abs(peer.bias).max())
    predicted, r = peer.predict(x, y, average=False)
    np.testing.assert_allclose(trial_scores(found, design).mean(axis=0), r, atol=1e-8)
    for own, theirs in zip(predict(found, design), predicted, strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-8 * np.abs(theirs).max())


def equal_trials(rng, n=260):
    """Return a design of equally long trials, as MNE's epochs must be."""
    design = make_design(rng, n_trials=4)
    trials = [replace(t, x=t.x.frames(0, n), y=t.y[:n], mask=t.mask[:n]) for t in design.trials]
    return replace(design, trials=tuple(trials))


@pytest.mark.parametrize(("kind", "reg_type"), [("ridge", "ridge"), ("tikhonov-1", ["laplacian", "ridge"])])
@pytest.mark.parametrize("window", [(-2, 5), (0, 6), (2, 6)])
def test_mne_weights_predictions_and_scores(rng, kind, reg_type, window):
    decoding = pytest.importorskip("mne.decoding")
    design = replace(equal_trials(rng), lags=Lags(*window, 50))
    found = fit_encoding(design, penalties=[3.0], n_folds=4, regulariser=Regulariser(kind, "mne"))
    x, y = (np.stack(values, axis=1) for values in as_lists(design))
    for fold in range(4):
        peer = receptive_field(decoding, window, reg_type)
        kept = np.arange(4) != fold
        peer.fit(x[:, kept], 1e5 * y[:, kept])
        np.testing.assert_allclose(found.scores[fold], peer.score(x[:, [fold]], 1e5 * y[:, [fold]]), atol=1e-9)
    peer = receptive_field(decoding, window, reg_type).fit(x, 1e5 * y)
    np.testing.assert_allclose(1e5 * to_mne(found), peer.coef_, atol=1e-9)
    predicted = np.stack(predict(found, design), axis=1)
    np.testing.assert_allclose(1e5 * predicted, peer.predict(x), atol=1e-9)


def receptive_field(decoding, window, reg_type):
    start, stop = window[0] / 50, window[1] / 50
    ridge = decoding.TimeDelayingRidge(start, stop, 50.0, alpha=3.0, reg_type=reg_type)
    return decoding.ReceptiveField(start, stop, 50.0, estimator=ridge, scoring="corrcoef")


def test_mne_takes_ragged_trials_one_at_a_time_only(rng):
    """MNE has no ragged epochs; what it can do is fit one trial and score another, and there we agree."""
    decoding = pytest.importorskip("mne.decoding")
    from brainalign.encoding.mne_convention import mne_problem
    from brainalign.encoding.multivariate import ridge_path
    from brainalign.encoding.solve import correlation

    design, rule = make_design(rng, n_trials=3), Regulariser("ridge", "mne")
    problem = mne_problem(design, np.arange(3), ridge_path(design, np.array([3.0]), regulariser=rule), dtype=np.float64)
    x, y = as_lists(design)
    peer = receptive_field(decoding, (-2, 5), "ridge").fit(x[2], 1e5 * y[2])
    ((first, second),) = problem.tries((0, 1))
    np.testing.assert_allclose(correlation(first), peer.score(x[0], 1e5 * y[0]), atol=1e-9)
    np.testing.assert_allclose(correlation(second), peer.score(x[1], 1e5 * y[1]), atol=1e-9)
