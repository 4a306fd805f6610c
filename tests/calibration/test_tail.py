"""Far tails from a thousand surrogates: the pooled null is near its level, the Pareto law is not."""

import numpy as np
import pytest
from scipy import stats

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


def shared(rng, *, features, channels, between_channels, between_features):
    """Normal nulls in which a surrogate's noise is shared by channels of a feature, and by features."""
    everywhere, here = rng.standard_normal((1, B, 1)), rng.standard_normal((features, B, 1))
    own = np.sqrt(1 - between_channels) * rng.standard_normal((features, B, channels))
    return np.sqrt(between_features) * everywhere + np.sqrt(between_channels - between_features) * here + own


def chance_of(groups, *, level):
    """Return the pairs' chances of a p-value at or below the level, were the data another draw of the normal law."""
    tails = put_together([look(group) for group in groups])
    mean, sd = groups.mean(axis=1), groups.std(axis=1)
    least = np.full(mean.shape, 1 / (1 + B))
    low, high = np.full(mean.shape, 1.0), np.full(mean.shape, 60.0)
    for _ in range(25):  # the smallest z that is rejected, if it is also beyond all of the pair's own
        middle = (low + high) / 2
        rejected = pooled_p(middle, least, tails).p <= level
        low, high = np.where(rejected, low, middle), np.where(rejected, middle, high)
    return stats.norm.sf(np.maximum(mean + sd * high, groups.max(axis=1)))


@pytest.mark.parametrize(
    ("features", "channels", "between_channels", "between_features", "n"),
    [(1, 64, 0.99, 0.0, 60), (20, 32, 0.95, 0.9, 12), (20, 32, 0.8, 0.0, 12), (20, 32, 0.0, 0.0, 8)],
)
def test_pairs_that_share_their_surrogates_do_not_make_p_values_too_small(
    rng, features, channels, between_channels, between_features, n
):
    """Counted as if they were independent, the first two would be rejected 14 and 5 times too often at 3e-5."""
    shape = {"features": features, "channels": channels}
    dependence = {"between_channels": between_channels, "between_features": between_features}
    for level in (1e-4, 3e-5):
        rates = [chance_of(shared(rng, **shape, **dependence), level=level).mean() for _ in range(n)]
        assert np.mean(rates) <= 1.25 * level
        if between_channels == 0:
            assert np.mean(rates) >= 0.7 * level
