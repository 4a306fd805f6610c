"""The chance of any false discovery stays at the level, also beside true effects."""

import numpy as np

from brainalign.stats.binomial import binomial_interval
from brainalign.stats.maxstat import step_down_p
from brainalign.stats.permutation import studentised

N_STUDIES, N_TESTS, B = 600, 10, 99


def studies(rng, *, n_true):
    for _ in range(N_STUDIES):
        group = 0.7 * rng.standard_normal((1 + B, 1)) + rng.standard_normal((1 + B, N_TESTS))
        group[0, :n_true] += 6
        yield step_down_p(studentised(group))


def test_family_wise_error(rng):
    for n_true in (0, 3):
        alarms = sum((p[n_true:] <= 0.05).any() for p in studies(rng, n_true=n_true))
        low, high = binomial_interval(alarms, N_STUDIES, level=0.99)
        assert low <= 0.05
        if n_true == 0:
            assert high >= 0.05  # and it is not wasted


def test_it_finds_what_single_step_misses(rng):
    """Five strong effects set a bar that five weak ones do not reach in one step."""
    found = np.array([(p[:3] <= 0.05).all() for p in studies(rng, n_true=3)])
    assert found.mean() > 0.9
