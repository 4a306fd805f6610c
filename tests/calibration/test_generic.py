"""Listeners with nothing in common: are scores of the others' models 0 on average, and is the group test honest?"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.generic import leave_one_listener_out
from brainalign.encoding.multivariate import fit_encoding
from brainalign.generalise import shared_response_test
from brainalign.stats.binomial import binomial_interval
from brainalign.stats.signflip import sign_flip_test

N_CHANNELS = 80
SETTINGS = {"penalties": (0.1, 10.0), "n_folds": 3}


def make_listeners(rng, *, n=7, shared=0.0, own=0.0):
    """Listeners of the same three sounds; channels are independent studies."""
    sounds = [rng.standard_normal((200, 1)) for _ in range(3)]
    weights = shared + own * rng.standard_normal((n, N_CHANNELS))
    return [_make_listener(rng, sounds, weights[number], str(number)) for number in range(n)]


def _make_listener(rng, sounds, weights, subject):
    trials = []
    for number, x in enumerate(sounds):
        y = weights * np.roll(x, 2, axis=0) + rng.standard_normal((len(x), N_CHANNELS))
        trajectory = Trajectory(x.astype(np.float32), TimeAxis(50, len(x)), ("sound",))
        trials.append(Trial(f"story-{number}", trajectory, y, np.ones(len(x), dtype=bool)))
    channels = tuple(f"c{number}" for number in range(N_CHANNELS))
    return Design(tuple(trials), Lags(0, 4, 50), channels, np.zeros((N_CHANNELS, 3)), subject=subject)


def worlds(n, **effects):
    return [make_listeners(np.random.default_rng([3, number]), **effects) for number in range(n)]


@pytest.mark.parametrize("new_story", [True, False])
def test_r_is_zero_on_average_without_effect(new_story):
    means = [leave_one_listener_out(w, new_story=new_story, **SETTINGS).score.mean(axis=0) for w in worlds(3)]
    assert stats.ttest_1samp(np.concatenate(means), 0).pvalue > 0.01


@pytest.mark.parametrize("effects", [{}, {"own": 0.5}], ids=["nothing", "nothing-shared"])
def test_flipped_listeners_keep_the_level(effects):
    """Whether listeners follow the sound not at all, or each in a way of their own."""
    p = np.concatenate([shared_response_test(world, **SETTINGS).p for world in worlds(4, **effects)])
    low, high = binomial_interval(int((p <= 3 / 64).sum()), p.size, level=0.99)
    assert low <= 3 / 64 <= high


def test_flipped_scores_do_not_keep_it():
    """Scores of listeners who are in each other's models are not independent."""
    scores = [leave_one_listener_out(world, **SETTINGS).score for world in worlds(4)]
    p = np.concatenate([sign_flip_test(np.arctanh(score), statistic="mean").p for score in scores])
    assert binomial_interval(int((p <= 3 / 64).sum()), p.size, level=0.99)[0] > 3 / 64


def test_a_shared_response_is_found():
    (world,) = worlds(1, shared=0.15)
    assert np.mean(shared_response_test(world, **SETTINGS).p <= 3 / 64) > 0.8


def test_what_is_the_same_in_all_listeners_is_predicted_as_well_as_within_one():
    """Without noise of their own, the others are the listener: within-listener r and generic r agree."""
    (world,) = worlds(1, shared=0.3)
    copies = [replace(world[0], subject=str(number)) for number in range(4)]
    within = fit_encoding(world[0], **SETTINGS).score
    np.testing.assert_allclose(leave_one_listener_out(copies, **SETTINGS).score, np.tile(within, (4, 1)), atol=1e-10)
