"""Were there no effect: does each family's null reject at the nominal rate, where its support is good?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal
from scipy import stats as scipy_stats

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import rotated_scores
from brainalign.encoding.pairs import paired_scores
from brainalign.encoding.surrogates import surrogate_scores
from brainalign.stats.nulls.registry import get_family
from brainalign.stats.support import support

N_WORLDS, N_PERMUTATIONS, N_TRIALS, N_FRAMES = 100, 39, 8, 500
BAND = signal.butter(2, [1, 10], "bandpass", fs=50, output="sos")
FIT = {"penalties": (0.1, 10.0), "n_folds": 4}


def unrelated(rng, *, effect=0.0, names=None, shared=0.0):
    """EEG-like noise beside sparse, bursty features of the same spectrum; lengths differ a little."""
    trials, once = [], {}
    for k in range(N_TRIALS if names is None else len(names)):
        n = N_FRAMES + 3 * (k % 4)
        x, evoked = once.setdefault(names[k] if names else k, (features(rng, N_FRAMES + 9), noise(rng, N_FRAMES + 9)))
        y = noise(rng, n) + shared * evoked[:n] + effect * x[:n]
        trajectory = Trajectory(x[:n].astype(np.float32), TimeAxis(50, n), tuple("abc"))
        trials.append(Trial(names[k] if names else f"t{k}", trajectory, 1e-5 * y, np.ones(n, dtype=bool)))
    return Design(tuple(trials), Lags(0, 7, 50), tuple("xyz"), np.zeros((3, 3)))


def noise(rng, n):
    """Band-passed brown noise of unit variance, three channels, a part of it shared by all."""
    values = rng.standard_normal((2 * n, 3)) + 0.5 * rng.standard_normal((2 * n, 1))
    values = signal.sosfiltfilt(BAND, values.cumsum(axis=0), axis=0)[n // 2 : n // 2 + n]
    return values / values.std()


def features(rng, n):
    """Sparse and bursty: non-zeros come in runs, with an exponential size."""
    bursts = signal.lfilter([1], [1, -0.8], rng.random((n, 3)) < 0.02, axis=0) > 0.3
    return bursts * rng.exponential(size=(n, 3))


def scores_of(design, key, seed, n=N_PERMUTATIONS):
    family = get_family(key)
    values = family.draw(design, n_permutations=n, seed=seed).values
    if family.kind == "rotations":
        return rotated_scores(design, values, **FIT)
    if family.kind == "pairings":
        return paired_scores(design, values, **FIT)
    return surrogate_scores(design, family.responses(design, values), n=1 + n, **FIT)


def p_values(design, key, seed):
    """Return p of feature i with channel i: nearly independent tests."""
    return [(s[:, i] >= s[0, i]).mean() for i, s in enumerate(scores_of(design, key, seed))]


@pytest.mark.parametrize("key", ["circular-shift", "pairing", "phase", "blocks"])
class TestFamilies:
    """One by one."""

    def test_p_is_uniform_without_an_effect(self, key):
        rng = np.random.default_rng(20260404)
        designs = [unrelated(rng) for _ in range(N_WORLDS)]
        assert support(designs[0], key).level == "good"
        p = np.array([p_values(design, key, seed) for seed, design in enumerate(designs)]).ravel()
        low, high = scipy_stats.binom.interval(0.99, p.size, 0.05)
        assert low <= np.sum(p <= 0.05 + 1e-9) <= high
        spread = p - np.random.default_rng(1).random(p.size) / (N_PERMUTATIONS + 1)
        assert scipy_stats.kstest(spread, "uniform").pvalue > 0.01

    def test_an_effect_is_found(self, key):
        rng = np.random.default_rng(7)
        p = np.array([p_values(unrelated(rng, effect=0.6), key, seed) for seed in range(6)])
        assert np.mean(p <= 0.05) > 0.9


@pytest.mark.parametrize("key", ["circular-shift", "pairing"])
def test_what_a_story_evokes_again_and_again_is_no_effect(key):
    """Parting the repeats of a story would find one in 15 to 20 % of these tests."""
    rng = np.random.default_rng(5)
    names = [f"s{k % 5}" for k in range(25)]
    worlds = [unrelated(rng, names=names, shared=0.5) for _ in range(40)]
    p = np.array([p_values(design, key, seed) for seed, design in enumerate(worlds)]).ravel()
    low, high = scipy_stats.binom.interval(0.99, p.size, 0.05)
    assert low <= np.sum(p <= 0.05 + 1e-9) <= high
