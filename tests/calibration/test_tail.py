"""Far tails from a thousand surrogates: the pooled null is near its level, the Pareto law is not."""

import numpy as np

from brainalign.stats.permutation import permutation_p
from brainalign.stats.tail import look, pareto_p, pooled_p, put_together

N, B, FEATURES, CHANNELS, LEVEL = 15, 1000, 200, 40, 1e-4


def test_rejections_at_one_in_ten_thousand(rng):
    """120,000 tests without effect; nulls like those of held-out r: nearly normal, in units of their own."""
    alarms = {"pooled": 0, "pareto": 0}
    for _ in range(N):
        scale = rng.uniform(0.01, 0.1, (FEATURES, 1, CHANNELS))
        groups = scale * (rng.standard_normal((FEATURES, 1 + B, CHANNELS)) - 0.2)
        tails = put_together([look(group[1:]) for group in groups])
        own, sd = groups[:, 1:], groups[:, 1:].std(axis=1)
        z = (groups[:, 0] - own.mean(axis=1)) / sd
        p = np.array([permutation_p(group) for group in groups])
        found = pooled_p(z, p, tails)
        assert found.agree
        alarms["pooled"] += int((found.p <= LEVEL).sum())
        alarms["pareto"] += int((pareto_p(groups[:, 1:].swapaxes(0, 1), groups[:, 0]) <= LEVEL).sum())
    expected = LEVEL * N * FEATURES * CHANNELS
    assert alarms["pooled"] <= 1.6 * expected + 3
    assert alarms["pooled"] >= 0.4 * expected
    assert alarms["pareto"] > 2 * expected
