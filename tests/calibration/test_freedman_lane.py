"""Is the test of a unique contribution honest where a plain test is not? p-values under no unique effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import kstest

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import rotated_scores
from brainalign.encoding.unique import unique_rotated

N, N_TRIALS, N_WORLDS = 59, 4, 150
FIT = {"penalties": (0.1, 10.0), "n_folds": 4}


def make_world(rng, *, own=0.0):
    """The baseline drives the response; the feature leans on the baseline and adds ``own`` of itself."""
    trials, baselines = [], []
    for k in range(N_TRIALS):
        n = 400
        z, e, u = (lfilter([1], [1, -0.6], rng.standard_normal(n)) for _ in range(3))
        x = 0.8 * z + 0.6 * u
        y = 0.5 * np.roll(z, 2) + own * np.roll(u, 1) + e
        axis = TimeAxis(50, n)
        trials.append(Trial(f"t{k}", Trajectory(x[:, None], axis, ("x",)), y[:, None], np.ones(n, dtype=bool)))
        baselines.append(Trajectory(z[:, None], axis, ("z",)))
    return Design(tuple(trials), Lags(0, 4, 50), ("c",), np.zeros((1, 3))), baselines


def p_of(group):
    return float((group >= group[0]).mean())


def both_tests(seed, **kwargs):
    rng = np.random.default_rng(seed)
    design, baselines = make_world(rng, **kwargs)
    shifts = np.vstack([np.zeros((1, N_TRIALS), dtype=int), rng.integers(20, 380, (N, N_TRIALS))])
    (gains,) = unique_rotated(design, baselines, shifts, baseline_penalties=(0.01, 1.0), **FIT)
    (scores,) = rotated_scores(design, shifts, **FIT)
    return p_of(gains), p_of(scores)


@pytest.fixture(scope="module")
def null_worlds():
    return np.array([both_tests(seed) for seed in range(N_WORLDS)])


def test_p_is_uniform_without_a_unique_effect(null_worlds):
    p = null_worlds[:, 0]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(p <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / N_WORLDS)


def test_the_plain_test_finds_the_baselines_effect_in_the_same_worlds(null_worlds):
    assert np.mean(null_worlds[:, 1] <= 0.05) > 0.9


def test_a_unique_effect_is_found():
    assert np.mean([both_tests(seed, own=0.25)[0] <= 0.05 for seed in range(12)]) > 0.9
