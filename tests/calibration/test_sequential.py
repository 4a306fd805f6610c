"""Without effect, p-values of tests that stop early are uniform or larger."""

import numpy as np

from brainalign.stats.binomial import binomial_interval
from brainalign.stats.sequential import expected_draws, sequential_p

H, B, N = 10, 999, 60_000


def test_rates_at_the_usual_levels_and_the_saving(rng):
    p = np.concatenate([sequential_p(rng.standard_normal((1 + B, 6000)), stop_hopeless=H) for _ in range(N // 6000)])
    for level in (0.05, 0.01, 0.001):
        low, high = binomial_interval(int((p <= level + 1e-12).sum()), N, level=0.99)
        assert low <= level <= high  # these levels can be reached exactly: neither more nor less
    for level in np.geomspace(0.0015, 0.9, 40):
        assert binomial_interval(int((p <= level).sum()), N, level=0.9999)[0] <= level
    assert expected_draws(stop_hopeless=H, n_permutations=B) < B / 17
