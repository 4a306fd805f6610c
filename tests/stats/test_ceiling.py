"""Ceilings from simulated repeats whose truth is known."""

import numpy as np
import pytest

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.stats.ceiling import leave_one_out_bounds, noise_ceiling, share_of_ceiling, spearman_brown, split_half

R, N = 6, 3000
TRUE = np.array([0.4, 0.1, 0.0])


def simulate(rng, *, n_sounds=2, n=N, repeats=R):
    """Return repeats whose single-repeat reliability per channel is TRUE, and the signals."""
    signals = [rng.standard_normal((n, 3)) for _ in range(n_sounds)]
    noises = [rng.standard_normal((repeats, n, 3)) for _ in range(n_sounds)]
    scale = np.sqrt(TRUE), np.sqrt(1 - TRUE)
    return [scale[0] * s + scale[1] * e for s, e in zip(signals, noises, strict=True)], signals


def test_the_truth_is_found_and_is_where_the_best_model_ends(rng):
    responses, signals = simulate(rng)
    found = noise_ceiling(responses, block_frames=100)
    np.testing.assert_allclose(found.reliability, TRUE, atol=0.02)
    for channel in (0, 1):
        signal = np.concatenate([item[:, channel] for item in signals])
        one = np.concatenate([item[0, :, channel] for item in responses])
        mean = np.concatenate([item[:, :, channel].mean(axis=0) for item in responses])
        assert found.single[channel] == pytest.approx(np.corrcoef(signal, one)[0, 1], abs=0.03)
        assert found.average[channel] == pytest.approx(np.corrcoef(signal, mean)[0, 1], abs=0.03)
    np.testing.assert_array_equal(found.exists, [True, True, False])


def test_all_estimates_agree(rng):
    responses, _ = simulate(rng)
    found = noise_ceiling(responses, block_frames=100)
    np.testing.assert_allclose(split_half(responses), spearman_brown(found.reliability, n=R), atol=0.03)
    lower, upper = leave_one_out_bounds(responses)
    assert (lower <= upper).all()
    assert (lower[:2] <= found.single[:2] + 0.02).all()
    assert (found.single[:2] <= upper[:2] + 0.02).all()


def test_a_sounds_mean_level_counts_as_nothing(rng):
    responses, _ = simulate(rng)
    moved = [item + 100 * number for number, item in enumerate(responses)]
    np.testing.assert_allclose(
        noise_ceiling(moved, block_frames=100).reliability, noise_ceiling(responses, block_frames=100).reliability
    )


def test_intervals_cover_the_truth():
    covered = np.zeros(3)
    for seed in range(120):
        responses, _ = simulate(np.random.default_rng(seed), n_sounds=1, n=1200)
        found = noise_ceiling(responses, block_frames=40, n_draws=300, seed=seed)
        covered += (found.low <= TRUE) & (found.high >= TRUE)
    assert (covered / 120 > 0.87).all()


def test_shares_are_given_only_where_there_is_a_ceiling(rng):
    responses, _ = simulate(rng)
    ceiling = noise_ceiling(responses, block_frames=100)
    found = share_of_ceiling(np.array([[0.3, 0.1, 0.05], [-0.1, 0.0, 0.0]]), ceiling)
    np.testing.assert_allclose(found.share[:, :2], found.raw[:, :2] / ceiling.single[:2])
    assert np.isnan(found.share[:, 2]).all()
    ok = slice(0, 2)
    assert (found.low[:, ok] <= found.share[:, ok]).all()
    assert (found.share[:, ok] <= found.high[:, ok]).all()
    average = share_of_ceiling(np.array([0.3, 0.1, 0.0]), ceiling, against="average")
    assert (average.share[:2] < found.share[0, :2]).all()


def test_what_is_refused(rng):
    with pytest.raises(ShapeMismatch, match="at least two repeats"):
        noise_ceiling([rng.standard_normal((1, 100, 2))], block_frames=10)
    with pytest.raises(ShapeMismatch, match="equally many"):
        split_half([rng.standard_normal((3, 100, 2)), rng.standard_normal((4, 100, 2))])
    with pytest.raises(ValueProblem, match="too little time"):
        noise_ceiling([rng.standard_normal((3, 100, 2))], block_frames=50)
    broken = rng.standard_normal((3, 100, 2))
    broken[1, 5] = np.nan
    with pytest.raises(NotFinite):
        leave_one_out_bounds([broken])
    with pytest.raises(ValueProblem, match="single repeats or their average"):
        share_of_ceiling(np.zeros(3), noise_ceiling(simulate(rng)[0], block_frames=100), against="mean")
