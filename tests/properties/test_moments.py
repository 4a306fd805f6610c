"""What must hold of block moments and joint models whatever the data, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.blocks import fold_moments
from brainalign.encoding.crossval import MomentProblem
from brainalign.encoding.multivariate import fit_encoding, ridge_path
from brainalign.encoding.penalty import Regulariser

EDGES = st.sampled_from(["zero", "circular"])
WINDOWS = st.tuples(st.integers(-6, 6), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=25)
PARTS = ("n", "sx", "sy", "sxx", "sxy", "syy")


def draw(seed, *, window=(-2, 3), n_trials=4, n_features=2, n_channels=2):
    rng, trials = np.random.default_rng(seed), []
    for number in range(n_trials):
        n = int(rng.integers(60, 120))
        x = rng.standard_normal((n, n_features)).astype(np.float32)
        y = rng.standard_normal((n, n_channels))
        y[:, 0] += x[:, 0]
        mask = rng.random(n) < 0.9
        features = tuple(f"f{i}" for i in range(n_features))
        trials.append(Trial(f"t{number}", Trajectory(x, TimeAxis(50, n), features), y, mask))
    channels = tuple(f"c{i}" for i in range(n_channels))
    return Design(tuple(trials), Lags(*window, 50), channels, np.zeros((n_channels, 3)))


def assert_same(one, other, *, names=PARTS, tolerance=1e-9):
    for name in names:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=tolerance, rtol=1e-9, err_msg=name)


@FEW
@given(SEEDS, WINDOWS, EDGES)
def test_moments_add_over_trials(seed, window, edges):
    """A sum over frames is the sum of the trials' sums, because lags never reach across a trial's edge."""
    design = draw(seed, window=window)
    apart = fold_moments(design, np.arange(4), edges=edges)
    together = fold_moments(design, np.zeros(4, dtype=int), edges=edges)
    summed = {name: getattr(apart, name).sum(axis=0, keepdims=True) for name in PARTS}
    assert_same(replace(apart, **summed), together)
    one, other = (fold_moments(design, np.arange(4) % 2, edges=edges) for _ in range(2))
    assert_same(one + other, replace(one, **{name: 2 * getattr(one, name) for name in PARTS}))


@FEW
@given(SEEDS, WINDOWS, st.integers(1, 20))
def test_silence_added_to_stimulus_and_response_together_changes_nothing(seed, window, ahead):
    """A joint shift in time moves every product with it; new frames that are masked do not count."""
    design = draw(seed, window=window)
    folds = np.zeros(4, dtype=int)
    assert_same(fold_moments(design, folds), fold_moments(_delayed(design, ahead), folds))


def _delayed(design, ahead):
    def late(values):
        return np.concatenate([np.zeros((ahead, *values.shape[1:]), dtype=values.dtype), values])

    def move(trial):
        x = Trajectory(late(trial.x.values), TimeAxis(50, trial.axis.n + ahead), trial.x.features)
        return Trial(trial.name, x, late(trial.y), late(trial.mask))

    return replace(design, trials=tuple(move(trial) for trial in design.trials))


@FEW
@given(SEEDS, WINDOWS, st.integers(-80, 80))
def test_a_joint_rotation_changes_no_circular_moment(seed, window, shift):
    """On a ring there is no first frame."""
    design, folds = draw(seed, window=window), np.zeros(4, dtype=int)
    turned = replace(
        design,
        trials=tuple(
            Trial(
                t.name,
                replace(t.x, values=np.roll(t.x.values, shift, axis=0)),
                np.roll(t.y, shift, axis=0),
                np.roll(t.mask, shift),
            )
            for t in design.trials
        ),
    )
    assert_same(fold_moments(design, folds, edges="circular"), fold_moments(turned, folds, edges="circular"))


@FEW
@given(SEEDS, st.permutations(range(4)), EDGES)
def test_channels_may_stand_in_any_order(seed, order, edges):
    """Channels do not know of each other."""
    design, index = draw(seed, n_channels=4), np.array(order)
    moved = replace(
        design,
        trials=tuple(replace(t, y=t.y[:, index]) for t in design.trials),
        channels=tuple(design.channels[i] for i in index),
    )
    one, other = (fold_moments(d, np.arange(4), edges=edges) for d in (design, moved))
    np.testing.assert_allclose(one.sxy[..., index], other.sxy, atol=1e-12)
    found = [fit_encoding(d, n_folds=3, penalties=(0.1, 1.0)) for d in (design, moved)]
    np.testing.assert_allclose(found[0].scores[:, index], found[1].scores, atol=1e-10)


@FEW
@given(SEEDS, st.permutations(range(3)), st.sampled_from(["ridge", "tikhonov-1"]))
def test_features_may_stand_in_any_order(seed, order, kind):
    """A sum of squares does not depend on the order of its terms."""
    design, index = draw(seed, n_features=3), np.array(order)
    one, other = (
        fit_encoding(d, n_folds=3, penalties=(1.0,), regulariser=kind) for d in (design, design.select(index))
    )
    np.testing.assert_allclose(one.coef[index], other.coef, atol=1e-10)


def _scaled(design, *, x=1.0, y=1.0):
    return replace(
        design,
        trials=tuple(replace(t, x=replace(t.x, values=t.x.values * np.float32(x)), y=t.y * y) for t in design.trials),
    )


@FEW
@given(SEEDS, st.integers(-20, 20), st.floats(1e-9, 1e9), st.sampled_from(["ridge", "tikhonov-1", "tikhonov-2"]))
def test_relative_penalties_know_no_units(seed, power, gain, kind):
    """Features in other units have weights in other units; powers of two keep single precision exact."""
    design, scale = draw(seed), 2.0**power
    one, other = (
        fit_encoding(d, n_folds=3, penalties=(0.1, 10.0), regulariser=kind)
        for d in (design, _scaled(design, x=scale, y=gain))
    )
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-8)
    np.testing.assert_allclose(other.coef * scale / gain, one.coef, rtol=1e-6, atol=1e-9)


@FEW
@given(SEEDS, st.integers(-6, 6), st.floats(1e-3, 1e3))
def test_absolute_penalties_scale_with_the_square_of_the_features(seed, power, penalty):
    """||y - aXw||^2 + p||w||^2 is, with v = aw, ||y - Xv||^2 + (p / a^2) ||v||^2."""
    design, a, rule = draw(seed), 2.0**power, Regulariser("ridge", "absolute")
    one = fit_encoding(design, n_folds=3, penalties=(penalty,), regulariser=rule)
    other = fit_encoding(_scaled(design, x=a), n_folds=3, penalties=(penalty * a**2,), regulariser=rule)
    np.testing.assert_allclose(other.coef * a, one.coef, rtol=1e-7, atol=1e-10)


@FEW
@given(SEEDS, st.sampled_from(["ridge", "tikhonov-1", "tikhonov-2"]), st.sampled_from([None, 1, 0.8]))
def test_more_penalty_never_means_a_larger_training_fit(seed, kind, pca):
    """The training error of a penalised minimum grows with the penalty."""
    design = draw(seed)
    train = fold_moments(design, np.zeros(4, dtype=int)).total([0])
    path = ridge_path(design, np.array([0.0, 0.1, 1.0, 100.0]), regulariser=Regulariser(kind), pca=pca)
    gains = [2 * (w * train.sxy).sum(axis=0) - (w * (train.sxx @ w)).sum(axis=0) for w in path(train)]
    assert np.all(np.diff(gains, axis=0) <= 1e-8)


@FEW
@given(SEEDS, SEEDS, st.sampled_from([None, 1]))
def test_nothing_of_a_test_trial_reaches_the_training(seed, other, pca):
    """Responses and stimuli of the last trial may be anything: what is learnt without it stays."""
    design = draw(seed)
    strange = draw(other)
    last = replace(strange.trials[3], y=5 + 1e3 * strange.trials[3].y)
    changed = replace(design, trials=(*design.trials[:3], last))
    path = ridge_path(design, np.array([0.1, 1.0]), regulariser=Regulariser(), pca=pca)
    learnt = []
    for d in (design, changed):
        moments = fold_moments(d, np.arange(4))
        train = MomentProblem(moments, path).train((3,))
        learnt.append([w * moments.scale for w in path(train)])
    np.testing.assert_allclose(learnt[0], learnt[1], rtol=1e-7, atol=1e-9)
    one, two = (fit_encoding(d, n_folds=4, penalties=(0.01, 1.0, 100.0), pca=pca) for d in (design, changed))
    np.testing.assert_array_equal(one.alpha[3], two.alpha[3])
