"""Laws of the mass-univariate engine: additivity, invariance, scale, no leakage, rotations of rotations."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import feature_maps, rotated_scores
from brainalign.encoding.segments import autocorrelations, padded_moments, ring_moments
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 1.0, 10.0), "n_folds": 3, "dtype": np.float64}
seeds = st.integers(0, 2**32 - 1)
small = settings(max_examples=12)


def design_of(seed, **kwargs):
    return make_design(np.random.default_rng(seed), n_trials=3, n_features=2, n_channels=3, lags=(-2, 4), **kwargs)


def changed(design, change):
    """Rebuild a design from ``change(trial, number) -> (x values, y)``."""
    trials = []
    for k, t in enumerate(design.trials):
        x, y = change(t, k)
        x = Trajectory(np.asarray(x, dtype=np.float32), TimeAxis(50, len(x)), t.x.features)
        trials.append(Trial(t.name, x, y, t.mask))
    return Design(tuple(trials), design.lags, design.channels, design.positions)


@given(seeds, st.integers(1, 20), st.integers(20, 80))
def test_grams_of_stretches_add_up_when_silence_parts_them(seed, n_lags, n):
    rng, silence = np.random.default_rng(seed), np.zeros((n_lags, 2))
    one, other = rng.standard_normal((n, 2)), rng.standard_normal((n + 7, 2))
    whole = autocorrelations(np.concatenate([one, silence, other]), n_lags, edges="zero")
    parts = autocorrelations(one, n_lags, edges="zero") + autocorrelations(other, n_lags, edges="zero")
    np.testing.assert_allclose(whole, parts, atol=1e-10)


@given(seeds, st.integers(-9, 3), st.integers(0, 9))
def test_unusable_frames_and_usable_ones_add_up(seed, first, width):
    rng, lags = np.random.default_rng(seed), Lags(first, first + width, 50)
    x, mask = rng.standard_normal((50, 2)), rng.random(50) < 0.7
    parts = [padded_moments(x, part, lags) for part in (mask, ~mask)]
    whole = padded_moments(x, np.ones(50, dtype=bool), lags)
    for one, other, both in zip(*parts, whole, strict=True):
        np.testing.assert_allclose(one + other, both, atol=1e-10)


@given(seeds, st.integers(0, 60))
def test_a_ring_has_no_beginning(seed, shift):
    x = np.random.default_rng(seed).standard_normal((60, 2))
    for one, other in zip(ring_moments(x, 9), ring_moments(np.roll(x, shift, axis=0), 9), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


@small
@given(seeds, st.integers(-200, 200))
def test_turning_stimulus_and_response_together_changes_nothing(seed, shift):
    design = design_of(seed)
    turned = changed(design, lambda t, _: (np.roll(t.x.block(0, 2), shift, axis=0), np.roll(t.y, shift, axis=0)))
    one, other = (feature_maps(d, edges="circular", **FIT) for d in (design, turned))
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-9)


@small
@given(seeds, st.integers(-200, 200))
def test_rotating_by_a_shift_is_rolling_by_it_and_rotations_add_up(seed, shift):
    design = design_of(seed)
    rolled = changed(design, lambda t, _: (np.roll(t.x.block(0, 2), shift, axis=0), t.y))
    shifts = np.array([[0, 0, 0], [5, 17, 90]])
    one = np.array(list(rotated_scores(design, shifts + shift, **FIT)))
    other = np.array(list(rotated_scores(rolled, shifts, **FIT)))
    np.testing.assert_allclose(one, other, atol=1e-9)


@small
@given(seeds, st.permutations(range(3)))
def test_channels_are_worked_on_apart(seed, order):
    design = design_of(seed)
    shuffled = changed(design, lambda t, _: (t.x.block(0, 2), t.y[:, list(order)]))
    shifts = np.array([[0, 0, 0], [30, 60, 90]])
    one, other = (np.array(list(rotated_scores(d, shifts, **FIT))) for d in (design, shuffled))
    np.testing.assert_allclose(one[..., list(order)], other, rtol=1e-12, atol=1e-12)


@small
@given(seeds, st.floats(-6, 6), st.floats(-6, 6), st.booleans())
def test_units_do_not_matter_and_weights_follow_them(seed, x_power, y_power, circular):
    design, edges = design_of(seed), "circular" if circular else "zero"
    x_scale, y_scale = np.float32(10.0**x_power), 10.0**y_power
    other = changed(design, lambda t, _: (t.x.block(0, 2) * x_scale, t.y * y_scale))
    one, two = (feature_maps(d, edges=edges, **FIT) for d in (design, other))
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-6)
    np.testing.assert_array_equal(one.alpha, two.alpha)
    expected = one.coef * y_scale / x_scale
    np.testing.assert_allclose(two.coef, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@small
@given(seeds, st.integers(0, 2), st.booleans())
def test_a_held_out_fold_never_changes_what_the_others_learn(seed, fold, circular):
    """The penalty for a fold is the same to the byte whatever stands in it, though the standardisation is not."""
    design, rng, edges = design_of(seed), np.random.default_rng(seed + 1), "circular" if circular else "zero"
    noise = rng.standard_normal(design.trials[fold].y.shape) * design.trials[fold].y.std(axis=0)
    other = changed(design, lambda t, k: (t.x.block(0, 2), noise if k == fold else t.y))
    one, two = (feature_maps(d, edges=edges, **FIT) for d in (design, other))
    np.testing.assert_array_equal(one.alpha[fold], two.alpha[fold])


@small
@given(seeds)
def test_larger_penalties_make_smaller_weights(seed):
    design = design_of(seed)
    sizes = [
        np.square(feature_maps(design, penalties=(a,), n_folds=3, dtype=np.float64).coef).sum(axis=1)
        for a in (0.01, 0.1, 1.0, 10.0)
    ]
    assert np.all(np.diff(sizes, axis=0) < 0)
