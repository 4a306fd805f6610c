"""Intervals of a model's scores and peaks: what they estimate is what the model reports."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.blocks import fold_moments
from brainalign.encoding.multivariate import fit_encoding, fit_fixed
from brainalign.encoding.peaks import find_peaks
from brainalign.encoding.penalty import Regulariser
from brainalign.intervals import peak_intervals, score_interval
from brainalign.stats.bootstrap import Resampling
from tests.encoding.designs import make_design

BRIEF = Resampling(n_draws=200, method="percentile")


def test_the_interval_of_a_score_is_around_the_score(rng):
    design = make_design(rng, n_trials=6, masked=True)
    result = fit_encoding(design, n_folds=3)
    found = score_interval(result, design)
    np.testing.assert_allclose(found.estimate, result.score, atol=1e-8)
    assert ((found.low < found.estimate) & (found.estimate < found.high)).all()
    assert found.low[0] > 0.2
    assert (found.low[1:] < 0.15).all()


def test_the_interval_of_a_peak_is_around_the_models_peak(rng):
    design = make_design(rng, n_trials=6)
    penalty = [0.1, 1.0, 1.0, 1.0]
    found = peak_intervals(design, penalty, resampling=BRIEF)
    expected = find_peaks(fit_fixed(design, penalty).coef.swapaxes(1, 2), design.lags)
    np.testing.assert_allclose(found.latency.estimate, expected.latency, atol=1e-9)
    np.testing.assert_allclose(found.amplitude.estimate, expected.amplitude, rtol=1e-8)
    assert found.latency.low.shape == found.missing.shape == (3, 4)
    assert found.latency.low[0, 0] <= 0.06 <= found.latency.high[0, 0]
    assert found.latency.high[0, 0] - found.latency.low[0, 0] < 0.01
    assert found.missing[0, 0] == 0


def test_a_window_and_a_polarity_hold_in_every_resample(rng):
    design = make_design(rng, n_trials=6)
    found = peak_intervals(design, 1.0, window=(0.0, 0.04), polarity="negative", resampling=BRIEF)
    assert (found.latency.draws >= -0.01 - 1e-9).all()
    assert (found.latency.draws <= 0.05 + 1e-9).all()
    with pytest.raises(ValueProblem, match="must hold lags of the model"):
        peak_intervals(design, 1.0, window=(2.0, 3.0), resampling=BRIEF)


def test_trials_are_drawn_whole_when_asked(rng):
    design = make_design(rng, n_trials=9)
    found = peak_intervals(design, 1.0, resampling=Resampling(block="trials", n_draws=200))
    assert found.latency.n_blocks == 9
    with pytest.raises(ValueProblem, match="too little time to resample"):
        peak_intervals(make_design(rng, n_trials=1), 1.0, resampling=Resampling(block="trials"))


def test_one_trial_is_cut_into_blocks(rng):
    found = peak_intervals(make_design(rng, n_trials=1), 0.1, resampling=BRIEF)
    assert found.latency.n_blocks >= 8


def test_a_model_fitted_in_another_way_is_found_out(rng):
    design = make_design(rng, n_trials=6)
    result = fit_encoding(design, n_folds=3, regulariser="tikhonov-2", penalties=(1.0, 100.0))
    assert score_interval(result, design, regulariser="tikhonov-2").estimate == pytest.approx(result.score)
    with pytest.raises(ValueProblem, match="not those of its predictions"):
        score_interval(result, design)


def test_blocks_are_chosen_in_the_regularisers_own_units(rng):
    """An absolute penalty of a relative one's size gives the same model, blocks and interval."""
    design = make_design(rng, n_trials=6).select([0])
    moments = fold_moments(design, np.zeros(6, dtype=int)).total([0])
    absolute = 0.1 * float(np.diag(moments.sxx).mean())
    rule = Regulariser("ridge", "absolute")
    one = peak_intervals(design, 0.1, resampling=Resampling("student", n_draws=200))
    other = peak_intervals(design, absolute, regulariser=rule, resampling=Resampling("student", n_draws=200))
    assert one.latency.n_blocks == other.latency.n_blocks
    np.testing.assert_allclose(one.amplitude.estimate, other.amplitude.estimate, rtol=1e-9)


def test_penalties_must_fit_the_channels(rng):
    with pytest.raises(ShapeMismatch, match="one number, or one per channel"):
        peak_intervals(make_design(rng), [1.0, 2.0], resampling=BRIEF)
