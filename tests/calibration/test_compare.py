"""Two features that are equally good, or good for nothing: is either called better too often?"""

import numpy as np
import pytest
from scipy import signal
from scipy import stats as scipy_stats

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import rotated_scores
from brainalign.stats.binomial import binomial_interval
from brainalign.stats.compare import compare_groups, compare_maps, represent
from brainalign.stats.nulls.circular import circular_shifts

N, N_TRIALS, N_SURROGATES = 600, 4, 99
BAND = signal.butter(2, [1, 10], "bandpass", fs=50, output="sos")


def make_world(rng, effects, *, alike=0.0):
    """A slow and a fast sparse feature, both in the response with the effects given, in coloured noise."""
    trials = []
    for number in range(N_TRIALS):
        x = rng.exponential(size=(N, 2)) * (rng.random((N, 2)) < 0.05)
        x = np.stack([signal.lfilter([1], [1, -pole], x[:, k]) for k, pole in enumerate((0.9, 0.3))], axis=1)
        x = x / x.std(axis=0) + alike * rng.standard_normal((N, 1))
        x = signal.sosfiltfilt(BAND, x, axis=0)
        noise = signal.sosfiltfilt(BAND, rng.standard_normal(N).cumsum())
        y = np.roll(x / x.std(axis=0), 3, axis=0) @ effects + noise / noise.std()
        axis = TimeAxis(50, N)
        trajectory = Trajectory(x.astype(np.float32), axis, ("slow", "fast"))
        trials.append(Trial(f"t{number}", trajectory, y[:, None], np.ones(N, dtype=bool)))
    return Design(tuple(trials), Lags(0, 10, 50), ("c",), np.zeros((1, 3)))


def p_of_one_listener(rng, effects, **kwargs):
    shifts = circular_shifts([N] * N_TRIALS, n_permutations=N_SURROGATES, min_shift=40, rng=rng)
    slow, fast = rotated_scores(make_world(rng, effects, **kwargs), shifts, penalties=(0.1, 1.0, 10.0), n_folds=4)
    return compare_groups(slow, {"fast": fast[:, None]}).p[0, 0]


def test_one_listener_without_effect(rng):
    p = np.array([p_of_one_listener(rng, (0.0, 0.0)) for _ in range(200)])
    spread = p - rng.random(len(p)) / (1 + N_SURROGATES)
    assert scipy_stats.kstest(spread, "uniform").pvalue > 0.01


@pytest.mark.parametrize(("effect", "alike"), [(0.1, 0.0), (0.3, 0.0), (0.05, 2.0)])
def test_one_listener_with_equal_effects_errs_on_the_safe_side(rng, effect, alike):
    alarms = sum(p_of_one_listener(rng, (effect, effect), alike=alike) <= 0.05 for _ in range(120))
    assert binomial_interval(alarms, 120, level=0.99)[0] <= 0.05


def test_one_listener_with_unequal_effects(rng):
    assert np.mean([p_of_one_listener(rng, (0.6, 0.1)) <= 0.05 for _ in range(20)]) > 0.8


@pytest.mark.parametrize("pick", ["mean", "best", 0.8])
def test_a_group_with_claim_and_control_picked_alike(pick):
    rng = np.random.default_rng(7)
    n, single, family = 400, 0, 0
    for study in range(n):
        own, a, b = rng.standard_t(4, size=(3, 12, 20, 3)) + rng.standard_normal((12, 1, 3))
        found = compare_maps(
            represent(own, pick=pick), {"a": a, "b": b}, pick=pick, n_permutations=199, seed=study
        )  # fmt: skip
        single += found.p[0, 0] <= 0.05
        family += (found.p_corrected <= 0.05).any()
    low, high = binomial_interval(single, n, level=0.99)
    assert low <= 0.05 <= high
    assert binomial_interval(family, n, level=0.99)[0] <= 0.05


def test_intervals_of_the_mean_hold_the_truth(rng):
    claim, control = rng.standard_normal((8, 4000)), rng.standard_normal((8, 1, 4000))
    found = compare_maps(claim, {"c": control}, n_permutations=2)
    covered = ((found.low <= 0) & (found.high >= 0)).sum()
    low, high = binomial_interval(int(covered), 4000, level=0.99)
    assert low <= 0.95 <= high
