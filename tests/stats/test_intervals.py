"""Intervals of r and of its share of the ceiling: equal to explicit resamples, and refused where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.core.seeds import generator
from brainalign.stats.bootstrap import Resampling, draw_counts
from brainalign.stats.ceiling import noise_ceiling
from brainalign.stats.intervals import r_interval, share_interval

LENGTHS = (70, 64, 90, 81)


@pytest.fixture
def pairs(rng):
    predictions = [rng.standard_normal((n, 3)) + 5 for n in LENGTHS]
    responses = [1e-6 * (0.4 * x + rng.standard_normal(x.shape) - 300) for x in predictions]
    return predictions, responses


def copied(values, spans, counts):
    """Copy blocks out as often as they were drawn."""
    return np.concatenate([np.tile(values[k][a:b], (int(n), 1)) for (k, a, b), n in zip(spans, counts, strict=True)])


def plain_r(x, y):
    return np.array([np.corrcoef(x[:, c], y[:, c])[0, 1] for c in range(x.shape[1])])


@pytest.mark.parametrize("folds", [None, np.array([1, 0, 1, 0])])
def test_draws_equal_correlations_of_copied_samples(pairs, folds):
    """Blocks of one atom have one origin only, so the plain cut's draws can be repeated by hand."""
    predictions, responses = pairs
    masks = [np.arange(n) % 7 != 3 for n in LENGTHS]
    found = r_interval(
        predictions, responses, masks=masks, folds=folds, resampling=Resampling(block=1, n_draws=200, seed=3)
    )
    part = np.zeros(4, dtype=int) if folds is None else folds
    order = np.argsort(part, kind="stable")
    spans = [(int(k), t, t + 1) for k in order for t in range(LENGTHS[k])]
    strata = np.array([part[k] for k, _, _ in spans])
    counts = draw_counts(strata, n_draws=200, rng=generator(3, "blocks"))
    for row in (0, 17, 199):
        by_fold = []
        for own in np.unique(part):
            drawn = np.where(strata == own, counts[row], 0)
            kept = copied([m[:, None] for m in masks], spans, drawn)[:, 0]
            by_fold.append(plain_r(*(copied(side, spans, drawn)[kept] for side in pairs)))
        np.testing.assert_allclose(found.draws[row], np.mean(by_fold, axis=0), atol=1e-10)


def test_the_first_cuts_draws_equal_correlations_of_copied_blocks(pairs):
    predictions, responses = pairs
    found = r_interval(predictions, responses, resampling=Resampling(block=16, n_draws=400, seed=1))
    spans = [(k, *map(round, edge)) for k, n in enumerate(LENGTHS) for edge in _edges(n, round(n / 16))]
    counts = draw_counts(np.zeros(len(spans), dtype=int), n_draws=50, rng=generator(1, "blocks"))
    assert found.n_blocks == len(spans)
    for row in (0, 1, 49):
        expected = plain_r(copied(predictions, spans, counts[row]), copied(responses, spans, counts[row]))
        np.testing.assert_allclose(found.draws[row], expected, atol=1e-10)


def _edges(n, count):
    parts = min(8, n // count)
    edges = np.round(np.linspace(0, n, count * parts + 1))[::parts]
    return list(zip(edges[:-1], edges[1:], strict=True))


def test_the_estimate_is_the_mean_of_the_folds_r(pairs):
    predictions, responses = pairs
    folds = np.array([0, 1, 1, 0])
    found = r_interval(predictions, responses, folds=folds, resampling=Resampling(block=10))
    expected = [
        plain_r(*(np.concatenate([side[k] for k in np.flatnonzero(folds == fold)]) for side in pairs))
        for fold in (0, 1)
    ]
    np.testing.assert_allclose(found.estimate, np.mean(expected, axis=0), atol=1e-12)
    assert ((found.low < found.estimate) & (found.estimate < found.high)).all()
    assert found.block_frames == pytest.approx(sum(LENGTHS) / found.n_blocks)


def test_units_and_masked_values_change_nothing(pairs):
    predictions, responses = pairs
    masks = [np.arange(n) > 5 for n in LENGTHS]
    settings = Resampling(block=9, n_draws=300)
    plain = r_interval(predictions, responses, masks=masks, resampling=settings)
    spoilt = [np.where(mask[:, None], 40 * y + 2, np.nan) for y, mask in zip(responses, masks, strict=True)]
    other = r_interval(predictions, spoilt, masks=masks, resampling=settings)
    np.testing.assert_allclose(other.draws, plain.draws, atol=1e-9)


def test_many_trials_are_drawn_whole(rng):
    trials = [rng.standard_normal((50, 1)) for _ in range(31)]
    found = r_interval(trials, [x + rng.standard_normal(x.shape) for x in trials])
    assert (found.n_blocks, found.block_frames) == (31, 50)


def test_one_long_trial_is_enough(rng):
    x = rng.standard_normal((2000, 2))
    found = r_interval([x], [x + rng.standard_normal(x.shape)])
    assert found.n_blocks > 50
    assert (found.low > 0.6).all()


def test_r_of_one_is_its_own_interval(rng):
    x = rng.standard_normal((400, 1))
    found = r_interval([x], [3 * x - 1], resampling=Resampling(method="percentile", block=10))
    np.testing.assert_allclose([found.low[0], found.high[0]], 1, atol=1e-9)


def make_repeats(rng, *, n_sounds=6, n_frames=400, n_repeats=4, noise=1.5):
    signals = [rng.standard_normal((n_frames, 2)) for _ in range(n_sounds)]
    responses = [signal + noise * rng.standard_normal((n_repeats, *signal.shape)) for signal in signals]
    predictions = [0.8 * signal + 0.6 * rng.standard_normal(signal.shape) for signal in signals]
    return predictions, responses


def test_a_share_is_the_score_over_the_ceiling(rng):
    """r against single repeats, pooled, over the single ceiling; and against the mean over the mean's ceiling."""
    predictions, responses = make_repeats(rng)
    found = share_interval(predictions, responses, resampling=Resampling(block=20))
    ceiling = noise_ceiling(responses, block_frames=20)
    x = np.concatenate([item - item.mean(axis=0) for item in predictions])
    y = np.concatenate([item - item.mean(axis=1, keepdims=True) for item in responses], axis=1)
    single = np.mean(y * x, axis=(0, 1)) / np.sqrt(np.square(x).mean(axis=0) * np.square(y).mean(axis=(0, 1)))
    np.testing.assert_allclose(found.estimate, single / ceiling.single, atol=1e-12)
    np.testing.assert_allclose(found.estimate, plain_r(x, y.mean(axis=0)) / ceiling.average, atol=1e-10)
    assert found.estimate == pytest.approx(0.8, abs=0.08)
    assert ((found.low < 0.8) & (found.high > 0.8)).all()


def test_draws_of_a_share_equal_those_of_copied_blocks(rng):
    predictions, responses = make_repeats(rng, n_sounds=3, n_frames=60)
    found = share_interval(predictions, responses, resampling=Resampling(block=1, n_draws=200, seed=5))
    spans = [(k, t, t + 1) for k in range(3) for t in range(60)]
    counts = draw_counts(np.zeros(len(spans), dtype=int), n_draws=200, rng=generator(5, "blocks"))
    x = copied([item - item.mean(axis=0) for item in predictions], spans, counts[7])
    centred = [item - item.mean(axis=1, keepdims=True) for item in responses]
    y = np.array([copied([item[i] for item in centred], spans, counts[7]) for i in range(4)])
    power = (4 * np.square(y.mean(axis=0)).mean(axis=0) - np.square(y).mean(axis=(0, 1))) / 3
    expected = (x * y.mean(axis=0)).mean(axis=0) / np.sqrt(np.square(x).mean(axis=0) * power)
    np.testing.assert_allclose(found.draws[7], expected, atol=1e-10)


def test_there_is_no_share_of_a_ceiling_that_may_be_zero(rng):
    predictions, responses = make_repeats(rng, noise=60)
    found = share_interval(predictions, responses, resampling=Resampling(block=20))
    assert np.isnan([found.estimate, found.low, found.high]).all()


SHORT = [np.arange(12.0)[:, None] % 5], [np.arange(12.0)[:, None] % 4]


@pytest.mark.parametrize(
    ("x", "y", "settings", "error", "message"),
    [
        ([np.zeros((40, 1))], [np.zeros((41, 1))], {}, ShapeMismatch, "same frames"),
        ([], [], {}, ShapeMismatch, "same frames"),
        ([np.full((40, 1), np.nan)], [np.zeros((40, 1))], {}, NotFinite, "the predictions"),
        ([np.eye(40, 1)], [np.full((40, 1), np.inf)], {}, NotFinite, "the responses"),
        ([np.eye(40, 1)], [np.ones((40, 1))], {}, ValueProblem, "the responses of a channel are constant"),
        ([np.ones((40, 1))], [np.eye(40, 1)], {}, ValueProblem, "the predictions of a channel are constant"),
        (*SHORT, {}, ValueProblem, "too little time for an autocorrelation"),
        (*SHORT, {"resampling": Resampling(block=3)}, ValueProblem, "too little time to resample"),
        (*SHORT, {"resampling": Resampling(block="trials")}, ValueProblem, "too little time to resample"),
        (*SHORT, {"masks": [np.zeros(12, dtype=bool)]}, ValueProblem, "no frame is usable"),
        (*SHORT, {"folds": np.zeros(3)}, ShapeMismatch, "every trial needs a fold"),
    ],
)
def test_what_has_no_interval_is_refused(x, y, settings, error, message):
    with pytest.raises(error, match=message):
        r_interval(x, y, **settings)


def test_shares_need_repeats_and_no_symmetric_interval(rng):
    predictions, responses = make_repeats(rng)
    with pytest.raises(ShapeMismatch, match="at least two repeats"):
        share_interval(predictions, [item[:1] for item in responses])
    with pytest.raises(ShapeMismatch, match="at least two repeats"):
        share_interval([item[1:] for item in predictions], responses)
    with pytest.raises(ValueProblem, match="may be infinite"):
        share_interval(predictions, responses, resampling=Resampling(method="student"))
