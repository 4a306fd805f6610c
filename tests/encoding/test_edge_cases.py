"""Features and designs at the edge of sense: a defined result, or a clear error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.errors import BrainalignError, UnknownName, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import LagModel, feature_maps, rotated_scores
from tests.encoding.designs import lagged, make_design

FIT = {"penalties": (0.1, 1.0, 10.0), "n_folds": 4}
EDGES = ("zero", "circular")


def with_features(design, values_of, *, as_csr=False):
    """Replace the features of every trial by ``values_of(old values, trial number)``."""
    trials = []
    for k, t in enumerate(design.trials):
        values = np.asarray(values_of(t.x.block(0, t.x.n_features), k), dtype=np.float32)
        names = tuple(f"f{i}" for i in range(values.shape[1]))
        x = Trajectory(sparse.csr_array(values) if as_csr else values, t.axis, names)
        trials.append(Trial(t.name, x, t.y, t.mask))
    return Design(tuple(trials), design.lags, design.channels, design.positions)


def rotations_of(design, **kwargs):
    shifts = np.vstack([np.zeros((1, 5), dtype=int), np.full((2, 5), [[40], [90]])])
    return np.array(list(rotated_scores(design, shifts, **FIT, **kwargs)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_csr", [False, True])
def test_a_dead_feature_scores_zero_under_every_rotation(rng, dtype, as_csr):
    design = with_features(make_design(rng), lambda x, _: 0 * x, as_csr=as_csr)
    assert np.all(rotations_of(design, dtype=dtype) == 0)
    for edges in EDGES:
        result = feature_maps(design, edges=edges, dtype=dtype, **FIT)
        assert np.all(result.scores == 0)
        assert np.all(result.coef == 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_feature_says_nothing_on_a_ring(rng, dtype):
    design = with_features(make_design(rng), lambda x, _: 0 * x + 0.3)
    assert np.all(rotations_of(design, dtype=dtype) == 0)
    result = feature_maps(design, edges="circular", dtype=dtype, **FIT)
    assert np.all(result.scores == 0)
    assert np.all(result.coef == 0)


def test_a_constant_feature_between_silences_is_its_onset_and_offset(rng):
    """Its lagged columns differ from a constant at the trials' ends only: a defined, finite fit."""
    result = feature_maps(with_features(make_design(rng), lambda x, _: 0 * x + 1), dtype=np.float64, **FIT)
    assert np.isfinite(result.scores).all()
    assert np.isfinite(result.coef).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("edges", EDGES)
def test_a_feature_dead_in_one_fold_scores_zero_there(rng, dtype, edges):
    design = with_features(make_design(rng, n_trials=4), lambda x, k: x * (k != 2))
    result = feature_maps(design, edges=edges, dtype=dtype, **FIT)
    assert np.all(result.scores[2] == 0)
    assert np.all(result.scores[0] != 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_csr", [False, True])
@pytest.mark.parametrize("edges", EDGES)
def test_one_active_sample_in_all_is_never_in_training_and_test_at_once(rng, dtype, as_csr, edges):
    def once(x, k):
        values = np.zeros((len(x), 1))
        values[100] = k == 1
        return values

    design = with_features(make_design(rng), once, as_csr=as_csr)
    result = feature_maps(design, edges=edges, dtype=dtype, **FIT)
    assert np.all(result.scores == 0)
    assert np.isfinite(result.coef).all()
    assert np.any(result.coef != 0)
    if edges == "circular":
        assert np.all(rotations_of(design, dtype=dtype) == 0)


def test_duplicated_features_get_the_same_bytes(rng):
    design = with_features(make_design(rng), lambda x, _: x[:, [0, 0, 1]])
    result = feature_maps(design, **FIT)
    assert result.scores[:, 0].tobytes() == result.scores[:, 1].tobytes()
    rotated = rotations_of(design)
    assert rotated[0].tobytes() == rotated[1].tobytes()


@pytest.mark.parametrize("edges", EDGES)
def test_nearly_collinear_lags_stay_exact(rng, edges):
    """A very smooth feature: neighbouring lags correlate above 0.9999, the Gram matrix spans eight decades."""

    def smooth(x, _):
        kernel = np.hanning(61)
        return np.apply_along_axis(lambda c: np.convolve(c, kernel, "same"), 0, x[:, :1] - x[:, :1].mean())

    design = with_features(make_design(rng, n_trials=4), smooth)
    result = feature_maps(design, edges=edges, penalties=(1e-4,), n_folds=4, dtype=np.float64)
    for fold in range(4):
        np.testing.assert_allclose(result.scores[fold, 0], held_out_r(design, fold, 1e-4, edges), atol=1e-9)
    single = feature_maps(design, edges=edges, penalties=(1e-4,), n_folds=4)
    np.testing.assert_allclose(single.scores, result.scores, atol=3e-4)


def held_out_r(design, fold, penalty, edges):
    pairs = [(lagged(t.x.block(0, 1)[:, 0].astype(float), design.lags, edges=edges), t.y) for t in design.trials]
    x, y = (np.vstack([pair[i] for k, pair in enumerate(pairs) if k != fold]) for i in (0, 1))
    mean, unit = x.mean(axis=0), len(x) * x.var(axis=0).mean()
    gram = (x - mean).T @ (x - mean) + penalty * unit * np.eye(x.shape[1])
    predicted = pairs[fold][0] @ np.linalg.solve(gram, (x - mean).T @ (y - y.mean(axis=0)))
    return np.array([np.corrcoef(predicted[:, c], pairs[fold][1][:, c])[0, 1] for c in range(y.shape[1])])


@pytest.mark.parametrize("edges", EDGES)
def test_no_penalty_is_least_squares_and_a_huge_one_is_correlation(rng, edges):
    design = make_design(rng, n_trials=4, n_features=1)
    for penalty in (0.0, 1e12):
        for dtype, atol in ((np.float64, 1e-9), (np.float32, 1e-5)):
            result = feature_maps(design, edges=edges, penalties=(penalty,), n_folds=4, dtype=dtype)
            expected = [held_out_r(design, fold, penalty, edges) for fold in range(4)]
            np.testing.assert_allclose(result.scores[:, 0], expected, atol=atol)
            assert np.isfinite(result.coef).all()
    assert np.abs(result.coef).max() < 1e-12 * 1e-3


def test_no_penalty_on_a_singular_feature_is_defined(rng):
    """A sine has two dimensions, whatever the number of lags."""
    design = with_features(make_design(rng), lambda x, _: np.sin(np.arange(len(x)) / 5)[:, None])
    for dtype in (np.float32, np.float64):
        result = feature_maps(design, penalties=(0.0, 1.0), n_folds=4, dtype=dtype)
        assert np.isfinite(result.scores).all()
        assert np.isfinite(result.coef).all()
        assert np.abs(result.scores).max() <= 1


@pytest.mark.parametrize("penalties", [(), (-1.0,), (np.nan,), (np.inf, 1.0)])
def test_impossible_penalties_are_refused(rng, penalties):
    with pytest.raises(ValueProblem, match="penalties must be finite"):
        feature_maps(make_design(rng), penalties=penalties, n_folds=4)


def test_not_a_number_is_refused_at_the_door(rng):
    values = np.ones((300, 1), dtype=np.float32)
    values[7] = np.nan
    with pytest.raises(BrainalignError, match="features of trial"):
        Trial("a", Trajectory(values, TimeAxis(50, 300), ("f",)), np.ones((300, 1)), np.ones(300, dtype=bool))


@pytest.mark.parametrize("n", [5, 16])
def test_trials_shorter_than_two_lag_windows_are_refused(rng, n):
    design = make_design(rng)
    short = Trial("short", design.trials[0].x.frames(0, n), design.trials[0].y[:n], design.trials[0].mask[:n])
    broken = Design((*design.trials, short), design.lags, design.channels, design.positions)
    with pytest.raises(ValueProblem, match="too short for the lag window"):
        feature_maps(broken, **FIT)
    with pytest.raises(ValueProblem, match="too short for the lag window"):
        next(rotated_scores(broken, np.zeros((1, 6), dtype=int), **FIT))


def test_one_trial_cannot_be_held_out(rng):
    with pytest.raises(ValueProblem, match="number of folds"):
        feature_maps(make_design(rng, n_trials=1), n_folds=3)


@pytest.mark.parametrize("lags", [(0, 0), (3, 3), (-4, -1)])
def test_one_channel_one_lag(rng, lags):
    design = make_design(rng, n_channels=1, n_features=1, n_trials=4, lags=lags)
    for edges in EDGES:
        result = feature_maps(design, edges=edges, penalties=(0.5,), n_folds=4, dtype=np.float64)
        expected = [held_out_r(design, fold, 0.5, edges) for fold in range(4)]
        np.testing.assert_allclose(result.scores[:, 0], expected, atol=1e-9)


def test_a_channel_silent_in_one_fold_scores_zero_there(rng):
    design = make_design(rng, n_trials=4)
    trials = [Trial(t.name, t.x, t.y * ([0, 1, 1, 1] if k == 3 else 1), t.mask) for k, t in enumerate(design.trials)]
    result = feature_maps(Design(tuple(trials), design.lags, design.channels, design.positions), **FIT)
    assert np.isfinite(result.scores).all()
    assert result.scores[3, 0, 0] == 0


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("edges", EDGES)
def test_features_of_any_size_are_handled_in_float32(rng, scale, edges):
    design = make_design(rng)
    other = with_features(design, lambda x, _: x * scale)
    one, two = (feature_maps(d, edges=edges, **FIT) for d in (design, other))
    np.testing.assert_allclose(two.scores, one.scores, atol=1e-5)
    np.testing.assert_allclose(two.coef * scale, one.coef, rtol=1e-3, atol=1e-4 * np.abs(one.coef).max())


def test_who_shares_a_penalty(rng):
    design = make_design(rng, n_features=4)
    alone, per_feature, shared = (
        feature_maps(design, dtype=np.float64, model=LagModel(penalty_per=per), **FIT)
        for per in ("channel", "feature", "all")
    )
    assert (alone.alpha != alone.alpha[:, :, :1]).any()
    assert (per_feature.alpha == per_feature.alpha[:, :, :1]).all()
    assert (shared.alpha == shared.alpha[:, :1, :1]).all()
    assert (shared.coef_alpha == shared.coef_alpha[0, 0]).all()
    same = per_feature.alpha == alone.alpha
    np.testing.assert_array_equal(per_feature.scores[same], alone.scores[same])


def test_one_penalty_for_all_is_the_best_on_average(rng):
    """With one candidate at a time, inner merits are outer scores of the other folds' models: check against refits."""
    design = make_design(rng, n_features=2, n_trials=3)
    shared = feature_maps(
        design, penalties=(1e-3, 1e3), n_folds=3, dtype=np.float64, edges="circular", model=LagModel(penalty_per="all")
    )
    pairs = [
        [lagged(t.x.block(f, f + 1)[:, 0].astype(float), design.lags, edges="circular") for t in design.trials]
        for f in (0, 1)
    ]
    y = [np.asarray(t.y) for t in design.trials]

    def inner(f, train, test, penalty):
        x, mean = pairs[f][train], pairs[f][train].mean(axis=0)
        gram = (x - mean).T @ (x - mean) + penalty * len(x) * x.var(axis=0).mean() * np.eye(x.shape[1])
        predicted = pairs[f][test] @ np.linalg.solve(gram, (x - mean).T @ (y[train] - y[train].mean(axis=0)))
        return np.mean([np.corrcoef(predicted[:, c], y[test][:, c])[0, 1] for c in range(4)])

    for outer in range(3):
        a, b = (k for k in range(3) if k != outer)
        merit = [sum(inner(f, i, j, p) for f in (0, 1) for i, j in ((a, b), (b, a))) for p in (1e-3, 1e3)]
        assert shared.alpha[outer, 0, 0] == np.float32((1e-3, 1e3)[int(np.argmax(merit))])


def test_unknown_ways_are_refused(rng):
    with pytest.raises(UnknownName, match="share penalties"):
        LagModel(penalty_per="chanel")
    with pytest.raises(ValueProblem, match="feature by feature"):
        next(rotated_scores(make_design(rng), np.zeros((1, 5), dtype=int), model=LagModel(penalty_per="all"), **FIT))
