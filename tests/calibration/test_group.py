"""Three unrelated listeners, one group test: are its p-values uniform?"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from brainalign.api import feature_maps
from tests.calibration.test_circular_shift import unrelated_design

N_STUDIES, N_PERMUTATIONS = 60, 39


def one_study(number, rng):
    """Test what is unrelated; return the uncorrected p of one pair and the smallest corrected p."""
    designs = [replace(unrelated_design(rng), subject=str(subject)) for subject in range(3)]
    maps = feature_maps(designs, n_permutations=N_PERMUTATIONS, seed=number, penalties=(0.1, 10.0), n_folds=4)
    return maps.p[0, 0], maps.p_corrected.min()


@pytest.fixture(scope="module")
def studies():
    rng = np.random.default_rng(20260202)
    return np.array([one_study(number, rng) for number in range(N_STUDIES)])


def test_a_groups_p_values_are_uniform(studies):
    spread = studies[:, 0] - np.random.default_rng(1).random(N_STUDIES) / (N_PERMUTATIONS + 1)
    assert scipy_stats.kstest(spread, "uniform").pvalue > 0.01


def test_a_groups_family_wise_error_is_no_larger_than_it_should_be(studies):
    false_alarms = int((studies[:, 1] <= 0.05).sum())
    assert scipy_stats.binomtest(false_alarms, N_STUDIES, 0.05, alternative="greater").pvalue > 0.01
