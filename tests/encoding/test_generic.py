"""Models of the other listeners: the numbers of explicit fits, listeners and stories held out as said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.design import Trial
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.direction import fit_group
from brainalign.encoding.generic import flipped_listeners, leave_one_listener_out
from brainalign.encoding.generic_maps import flipped_listeners_maps, leave_one_listener_out_maps
from brainalign.encoding.multivariate import fit_encoding
from brainalign.encoding.penalty import Regulariser
from tests.encoding.designs import lagged, make_design

GRID = (0.01, 1.0, 100.0)


def listeners(rng, n=4, **settings):
    """Listeners who heard the same stories, each in an order of their own, with responses of their own."""
    stories = make_design(rng, n_trials=6, **settings)
    return [with_responses(rng, stories, number) for number in range(n)]


def with_responses(rng, stories, number, *, signal=0.5):
    trials = []
    for k in rng.permutation(len(stories.trials)):
        trial = stories.trials[k]
        noise = rng.standard_normal(trial.y.shape)
        noise[3:, 0] += signal * 4 * trial.x.block(0, 1)[:-3, 0]
        trials.append(Trial(trial.name, trial.x, noise, trial.mask))
    return replace(stories, trials=tuple(trials), subject=str(number))


def rows(design, names):
    x, y = [], []
    for trial in design.trials:
        if trial.name in names:
            part = trial.x.block(0, design.n_features).astype(float)
            columns = [lagged(part[:, f], design.lags, edges="zero") for f in range(design.n_features)]
            x.append(np.concatenate(columns, axis=1)[trial.mask])
            y.append(trial.y[trial.mask])
    return np.concatenate(x), np.concatenate(y)


def r_by_hand(designs, left_out, train_names, test_names, penalty):
    """Pool the others' rows, responses in each one's standard units, fit with an intercept, and predict."""
    everything = [np.concatenate([t.y[t.mask] for t in design.trials]) for design in designs]
    pairs = [rows(design, train_names) for i, design in enumerate(designs) if i != left_out]
    levels = [item for i, item in enumerate(everything) if i != left_out]
    x = np.concatenate([pair[0] for pair in pairs])
    y = np.concatenate([(pair[1] - u.mean(axis=0)) / u.std(axis=0) for pair, u in zip(pairs, levels, strict=True)])
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    gram = x.T @ x
    weights = np.linalg.solve(gram + penalty * np.diag(gram).mean() * np.eye(len(gram)), x.T @ y)
    new_x, new_y = rows(designs[left_out], test_names)
    return np.array([np.corrcoef(new_x @ weights[:, c], new_y[:, c])[0, 1] for c in range(new_y.shape[1])])


@pytest.mark.parametrize("new_story", [True, False])
@pytest.mark.parametrize("masked", [False, True])
def test_scores_equal_pooled_rows_of_the_others(rng, new_story, masked):
    designs = listeners(rng, masked=masked)
    found = leave_one_listener_out(designs, penalties=(0.3,), n_folds=3, new_story=new_story)
    names = [trial.name for trial in designs[0].trials]
    for number in range(4):
        for fold in range(3):
            held = names[fold::3]
            train = [name for name in names if name not in held] if new_story else names
            expected = r_by_hand(designs, number, train, held, 0.3)
            np.testing.assert_allclose(found.scores[number, fold], expected, atol=1e-10)


@pytest.mark.parametrize("new_story", [True, False])
@pytest.mark.parametrize("as_csr", [True, False])
def test_single_features_equal_joint_models_of_one(rng, new_story, as_csr, monkeypatch):
    monkeypatch.setattr("brainalign.encoding.generic_maps._FEATURES", 2)
    designs = listeners(rng, masked=True, as_csr=as_csr)
    maps = leave_one_listener_out_maps(designs, penalties=GRID, n_folds=3, new_story=new_story)
    for number in range(3):
        alone = [design.select([number]) for design in designs]
        joint = leave_one_listener_out(alone, penalties=GRID, n_folds=3, new_story=new_story)
        np.testing.assert_allclose(maps.scores[:, :, number], joint.scores, atol=1e-9)
        np.testing.assert_array_equal(maps.alpha[:, :, number], joint.alpha)
    assert maps.score.shape == (4, 3, 4)


@pytest.mark.parametrize("per_channel", [True, False])
def test_new_stories_equal_the_generic_group_model(rng, per_channel):
    designs = listeners(rng)
    settings = {"penalties": GRID, "n_folds": 3, "per_channel": per_channel, "regulariser": "tikhonov-1"}
    ours, group = leave_one_listener_out(designs, **settings), fit_group(designs, generic=True, **settings)
    np.testing.assert_array_equal(ours.scores, group.scores)
    np.testing.assert_array_equal(ours.alpha, group.alpha)
    assert ours.subjects == ("0", "1", "2", "3")


def test_copies_of_a_listener_predict_as_well_as_the_listener(rng):
    """Copies add nothing to what one listener's other stories tell, and no penalty depends on their number."""
    stories = make_design(rng, n_trials=6, signal=1.0)
    copies = [replace(stories, subject=str(number)) for number in range(3)]
    within = fit_encoding(stories, penalties=GRID, n_folds=3)
    found = leave_one_listener_out(copies, penalties=GRID, n_folds=3)
    for number in range(3):
        np.testing.assert_allclose(found.scores[number], within.scores, atol=1e-10)


def test_the_listeners_own_responses_to_other_stories_are_never_read(rng):
    designs = listeners(rng)
    spoilt = designs[1].trials[0]
    fold_of = {trial.name: k % 3 for k, trial in enumerate(designs[0].trials)}
    noise = Trial(spoilt.name, spoilt.x, rng.standard_normal(spoilt.y.shape), spoilt.mask)
    changed = [designs[0], replace(designs[1], trials=(noise, *designs[1].trials[1:])), *designs[2:]]
    for new_story in (True, False):
        one, other = (leave_one_listener_out(d, n_folds=3, new_story=new_story) for d in (designs, changed))
        same = [fold for fold in range(3) if fold != fold_of[spoilt.name]]
        np.testing.assert_allclose(one.scores[1][same], other.scores[1][same], atol=1e-9)
        assert np.abs(one.scores[1] - other.scores[1]).max() > 0.01


def test_with_new_stories_no_response_to_a_held_out_story_is_trained_on(rng):
    designs = listeners(rng)
    names = [trial.name for trial in designs[0].trials][0::3]

    def spoil(design):
        trials = [
            Trial(t.name, t.x, rng.standard_normal(t.y.shape) if t.name in names else t.y, t.mask)
            for t in design.trials
        ]
        return replace(design, trials=tuple(trials))

    changed = [designs[0], *map(spoil, designs[1:])]
    settings = {"penalties": (1.0,), "n_folds": 3}
    one, other = (leave_one_listener_out(d, **settings) for d in (designs, changed))
    # Responses are in each listener's standard units, which move a little with the spoilt trials.
    np.testing.assert_allclose(one.scores[0, 0], other.scores[0, 0], atol=0.02)
    one, other = (leave_one_listener_out(d, new_story=False, **settings) for d in (designs, changed))
    assert np.abs(one.scores[0, 0] - other.scores[0, 0]).max() > 0.02


def test_units_of_a_listener_do_not_weigh(rng):
    designs = listeners(rng)
    louder = [Trial(t.name, t.x, 1e6 * t.y - 40, t.mask) for t in designs[2].trials]
    changed = [*designs[:2], replace(designs[2], trials=tuple(louder)), designs[3]]
    one, other = (leave_one_listener_out(d, penalties=GRID, n_folds=3) for d in (designs, changed))
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-8)


def test_listeners_who_cannot_be_left_out_are_refused(rng):
    designs = listeners(rng)
    with pytest.raises(ValueProblem, match="needs other listeners"):
        leave_one_listener_out(designs[:1])
    with pytest.raises(ValueProblem, match="a group needs listeners"):
        leave_one_listener_out_maps([])
    with pytest.raises(ShapeMismatch, match="same features, channels and lags"):
        leave_one_listener_out([designs[0], designs[1].select([0, 1])])
    with pytest.raises(ValueProblem, match="above 0"):
        leave_one_listener_out_maps(designs, penalties=(0.0, 1.0))
    with pytest.raises(ValueProblem, match="MNE's convention"):
        leave_one_listener_out(designs, regulariser=Regulariser("ridge", "mne"))
    with pytest.raises(ValueProblem, match="trials in every fold"):
        leave_one_listener_out([designs[0], replace(designs[1], trials=designs[1].trials[:2])], n_folds=3)


def flip(design, sign):
    return replace(design, trials=tuple(Trial(t.name, t.x, sign * t.y, t.mask) for t in design.trials))


@pytest.mark.parametrize("new_story", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_flipped_listeners_equal_flipped_recordings(rng, new_story, per_channel, monkeypatch):
    designs = listeners(rng)
    signs = np.array([[1, 1, 1, 1], [-1, 1, 1, 1], [1, -1, -1, 1], [-1, -1, -1, -1]])
    settings = {"penalties": GRID, "n_folds": 3, "new_story": new_story}
    joint = settings | {"per_channel": per_channel}
    whole = np.concatenate(list(flipped_listeners(designs, signs, **joint)))
    for row, pattern in enumerate(signs):
        turned = [flip(design, sign) for design, sign in zip(designs, pattern, strict=True)]
        np.testing.assert_allclose(whole[row], leave_one_listener_out(turned, **joint).score, atol=1e-10)
    np.testing.assert_allclose(whole[3], whole[0], atol=1e-10)
    monkeypatch.setattr("brainalign.encoding.generic._BLOCK_BYTES", 1)
    portions = list(flipped_listeners(designs, signs, **joint))
    assert len(portions) == 4
    np.testing.assert_allclose(np.concatenate(portions), whole, atol=1e-10)


@pytest.mark.parametrize("new_story", [True, False])
def test_flipped_maps_equal_flipped_joint_models_of_one_feature(rng, new_story, monkeypatch):
    monkeypatch.setattr("brainalign.encoding.generic_maps._FEATURES", 2)
    monkeypatch.setattr("brainalign.encoding.generic_maps._BLOCK_BYTES", 50_000)
    designs = listeners(rng)
    signs = np.array([[1, 1, 1, 1], [-1, 1, 1, 1], [1, -1, -1, 1]])
    settings = {"penalties": GRID, "n_folds": 3, "new_story": new_story}
    maps = np.concatenate(list(flipped_listeners_maps(designs, signs, **settings)), axis=2)
    assert maps.shape == (3, 4, 3, 4)
    for number in range(3):
        alone = [design.select([number]) for design in designs]
        joint = np.concatenate(list(flipped_listeners(alone, signs, **settings)))
        np.testing.assert_allclose(maps[:, :, number], joint, atol=1e-9)


def test_patterns_are_one_sign_per_listener(rng):
    designs = listeners(rng)
    for signs in (np.ones((2, 3)), np.ones(4), np.zeros((1, 4))):
        with pytest.raises(ShapeMismatch, match="one sign per listener"):
            list(flipped_listeners(designs, signs))
