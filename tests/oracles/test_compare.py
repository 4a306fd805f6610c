"""Intervals of paired differences are SciPy's bootstrap's."""

import numpy as np
import pytest
from scipy import stats

from brainalign.stats.compare import compare_maps


@pytest.mark.parametrize(("kind", "theirs"), [("bca", "BCa"), ("percentile", "percentile")])
def test_bootstrap_intervals(rng, monkeypatch, kind, theirs):
    monkeypatch.setattr("brainalign.stats.compare._N_DRAWS", 200_000)
    differences = rng.exponential(size=12)
    found = compare_maps(differences[:, None], {"c": np.zeros((12, 1, 1))}, interval=kind)
    expected = stats.bootstrap((differences,), np.mean, method=theirs, n_resamples=200_000, rng=rng)
    low, high = expected.confidence_interval
    assert found.low[0, 0] == pytest.approx(low, abs=0.02 * expected.standard_error)
    assert found.high[0, 0] == pytest.approx(high, abs=0.04 * expected.standard_error)


def test_exact_p_values(rng):
    claim, control = rng.standard_normal((7, 3)) + 0.5, rng.standard_normal((7, 3))
    found = compare_maps(claim, {"c": control[:, None]}, n_permutations=127)
    for test in range(3):
        expected = stats.permutation_test(
            (claim[:, test], control[:, test]), lambda a, b: np.mean(a - b), permutation_type="samples",
            n_resamples=np.inf,
        ).pvalue  # fmt: skip
        assert found.p[0, test] == pytest.approx(expected, abs=1e-12)
