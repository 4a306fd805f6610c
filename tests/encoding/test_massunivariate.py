"""What the mass-univariate engine promises beyond its arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.design import Design, Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.massunivariate import feature_maps, rotated_scores
from tests.encoding.designs import make_design


def rescaled(design, *, x=1.0, y=1.0, offset=0.0):
    trials = [
        Trial(
            t.name,
            type(t.x)(t.x.block(0, t.x.n_features) * np.float32(x), t.axis, t.x.features),
            t.y * y + offset,
            t.mask,
        )
        for t in design.trials
    ]
    return Design(tuple(trials), design.lags, design.channels, design.positions)


def test_the_planted_response_is_found_at_its_lag(rng):
    result = feature_maps(make_design(rng, signal=2.0), n_folds=5)
    assert result.lags.samples[result.coef[0, :, 0].argmax()] == 3
    assert result.score[0, 0] > 0.5
    assert np.abs(np.delete(result.score.ravel(), 0)).max() < 0.2


def test_units_of_feature_and_response_do_not_change_scores(rng):
    design = make_design(rng)
    one = feature_maps(design, n_folds=4, dtype=np.float64)
    other = feature_maps(rescaled(design, x=1000.0, y=1e6, offset=3.0), n_folds=4, dtype=np.float64)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
    np.testing.assert_allclose(one.coef * 1e3, other.coef, rtol=1e-3, atol=1e-4)


def test_a_test_trial_cannot_change_the_training(rng):
    """Changing the last fold's response changes that fold's own choice and score in no other way than its data."""
    design = make_design(rng, n_trials=4)
    changed = list(design.trials)
    changed[3] = Trial(changed[3].name, changed[3].x, changed[3].y[::-1].copy(), changed[3].mask)
    other = Design(tuple(changed), design.lags, design.channels, design.positions)
    one, two = (feature_maps(d, n_folds=4, dtype=np.float64) for d in (design, other))
    np.testing.assert_array_equal(one.alpha[3], two.alpha[3])


def test_a_silent_feature_scores_zero(rng):
    design = make_design(rng)
    silent = feature_maps(rescaled(design, x=0.0), n_folds=4)
    assert np.all(silent.score == 0)
    assert np.all(silent.coef == 0)


def test_a_constant_channel_is_refused(rng):
    design = make_design(rng)
    flat = [Trial(t.name, t.x, np.where([1, 0, 1, 1], t.y, 0.0), t.mask) for t in design.trials]
    with pytest.raises(ValueProblem, match="a channel is constant"):
        feature_maps(Design(tuple(flat), design.lags, design.channels, design.positions))


def test_shifts_must_name_every_trial(rng):
    with pytest.raises(ShapeMismatch, match="rotations by trials"):
        next(rotated_scores(make_design(rng), np.zeros((3, 2), dtype=int)))


def test_a_stimulus_heard_twice_stays_in_one_fold():
    folds = assign_folds(["a", "b", "c", "b", "a"], 3)
    assert folds[0] == folds[4]
    assert folds[1] == folds[3]


@pytest.mark.parametrize("n_folds", [2, 6])
def test_impossible_folds_are_refused(n_folds):
    with pytest.raises(ValueProblem, match="number of folds"):
        assign_folds(list("abcde"), n_folds)
