"""Were there no effect: p-values are uniform, and corrected ones cry wolf at the nominal rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal
from scipy import stats as scipy_stats

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import rotated_scores
from brainalign.stats.maxstat import corrected_p
from brainalign.stats.nulls.circular import circular_shifts
from brainalign.stats.permutation import summarise

N_FRAMES, N_TRIALS, N_PERMUTATIONS = 600, 4, 99


def unrelated_design(rng, *, n_features=3, n_channels=3):
    """Band-passed noise against a smooth sparse feature: alike in spectrum, unrelated."""
    band = signal.butter(2, [1, 10], "bandpass", fs=50, output="sos")
    trials = []
    for number in range(N_TRIALS):
        y = signal.sosfiltfilt(band, rng.standard_normal((N_FRAMES, n_channels)).cumsum(axis=0), axis=0)
        x = rng.exponential(size=(N_FRAMES, n_features)) * (rng.random((N_FRAMES, n_features)) < 0.05)
        x = signal.lfilter([1], [1, -0.7], x, axis=0).astype(np.float32)
        axis = TimeAxis(50, N_FRAMES)
        trials.append(Trial(f"t{number}", Trajectory(x, axis, tuple("abc")), y, np.ones(N_FRAMES, dtype=bool)))
    return Design(tuple(trials), Lags(0, 10, 50), tuple("xyz"), np.zeros((n_channels, 3)))


def one_study(rng):
    shifts = circular_shifts([N_FRAMES] * N_TRIALS, n_permutations=N_PERMUTATIONS, min_shift=40, rng=rng)
    summary = summarise(rotated_scores(unrelated_design(rng), shifts, penalties=(0.1, 1.0, 10.0), n_folds=4))
    z = (summary.observed - summary.mean) / summary.sd
    return summary.p[0, 0], corrected_p(z, summary.maxima.max(axis=1)).min()


@pytest.fixture(scope="module")
def studies():
    rng = np.random.default_rng(20260101)
    return np.array([one_study(rng) for _ in range(200)])


def test_p_values_are_uniform(studies):
    grid = np.arange(1, N_PERMUTATIONS + 2) / (N_PERMUTATIONS + 1)
    spread = studies[:, 0] - np.random.default_rng(1).random(len(studies)) / (N_PERMUTATIONS + 1)
    assert np.isin(np.round(studies[:, 0], 9), np.round(grid, 9)).all()
    assert scipy_stats.kstest(spread, "uniform").pvalue > 0.01


def test_the_family_wise_error_is_the_nominal_one(studies):
    false_alarms = int((studies[:, 1] <= 0.05).sum())
    assert scipy_stats.binomtest(false_alarms, len(studies), 0.05, alternative="greater").pvalue > 0.01
    assert false_alarms > 0
