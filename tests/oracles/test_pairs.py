"""Scores under other pairings and other responses against refits with explicit lag matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.design import Trial
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.massunivariate import LagModel, rotated_scores
from brainalign.encoding.pairs import cut_to_one_length, paired_scores
from brainalign.encoding.sparse_moments import is_cheaper_sparse
from brainalign.encoding.surrogates import surrogate_scores
from tests.encoding.designs import lagged, make_design
from tests.oracles.test_sklearn_ridge import PENALTIES, nested_by_hand


def at_its_mean(design):
    """Return responses whose unusable frames are set to the channel's mean over usable ones."""
    mean = np.concatenate([t.y[t.mask] for t in design.trials]).mean(axis=0)
    return [np.where(t.mask[:, None], t.y, mean) for t in design.trials]


def by_hand(design, feature, responses):
    """Refit a feature on given responses; edges closed to rings."""
    folds = assign_folds([trial.name for trial in design.trials], 4)
    x = [t.x.block(feature, feature + 1)[:, 0].astype(float) for t in design.trials]
    pairs = [(lagged(a, design.lags, edges="circular"), b) for a, b in zip(x, responses, strict=True)]
    return nested_by_hand(pairs, folds)[0].mean(axis=0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("as_csr", [False, True])
def test_every_pairing_equals_exchanging_responses_and_fitting_again(rng, masked, as_csr):
    design = make_design(rng, n_channels=3, n_features=2, n_trials=6, masked=masked, as_csr=as_csr)
    trials = list(design.trials)
    trials[4] = Trial(trials[1].name, trials[4].x, trials[4].y, trials[4].mask)
    design = replace(design, trials=tuple(trials))
    pairings = np.vstack([np.arange(6), *(rng.permutation(6) for _ in range(3))])
    whole = cut_to_one_length(design)
    responses = at_its_mean(whole)
    found = list(paired_scores(design, pairings, penalties=PENALTIES, n_folds=4, dtype=np.float64))
    for f, scores in enumerate(found):
        for row, pairing in zip(scores, pairings, strict=True):
            np.testing.assert_allclose(row, by_hand(whole, f, [responses[j] for j in pairing]), atol=1e-8)


def other_responses(design, rng, *, n):
    """Return a function of the surrogate's number: the data, then noise of another scale and offset."""
    drawn = [at_its_mean(design)]
    drawn += [[3e-5 * rng.standard_normal(t.y.shape) + 1e-4 for t in design.trials] for _ in range(n - 1)]
    return drawn.__getitem__


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("density", [None, 0.3, 0.02])
def test_every_surrogate_response_equals_fitting_again(rng, masked, density):
    design = make_design(rng, n_channels=3, n_features=2, masked=masked, as_csr=density is not None)
    if density == 0.02:  # sparse enough for sums over non-zeros
        trials = [replace(t, x=thinned(t.x, rng)) for t in design.trials]
        design = replace(design, trials=tuple(trials))
        assert is_cheaper_sparse(design, n_lags=design.lags.n)
    responses = other_responses(design, rng, n=4)
    found = list(surrogate_scores(design, responses, n=4, penalties=PENALTIES, n_folds=4, dtype=np.float64))
    for f, scores in enumerate(found):
        for i, row in enumerate(scores):
            np.testing.assert_allclose(row, by_hand(design, f, responses(i)), atol=1e-8)


def thinned(x, rng):
    values = x.block(0, x.n_features) * (rng.random((x.axis.n, x.n_features)) < 0.1)
    return replace(x, values=sparse.csr_array(values))


def test_the_three_ways_agree_on_the_data(rng):
    """Rotated by nothing, paired as it was, and beside itself."""
    design = cut_to_one_length(make_design(rng, masked=True))
    model = LagModel(penalty_per="feature", basis="hamming-50ms")
    kwargs = {"n_folds": 4, "dtype": np.float64, "model": model}
    still = list(rotated_scores(design, np.zeros((1, 5), dtype=int), **kwargs))
    paired = list(paired_scores(design, np.arange(5)[None], **kwargs))
    beside = list(surrogate_scores(design, lambda _: at_its_mean(design), n=1, **kwargs))
    np.testing.assert_allclose(paired, still, atol=1e-12)
    np.testing.assert_allclose(beside, still, atol=1e-12)


def test_a_pairing_is_a_surrogate_response(rng):
    """The quick way and the general way give the same numbers."""
    design = cut_to_one_length(make_design(rng, n_trials=7, as_csr=True, masked=True))
    pairings = np.vstack([np.arange(7), *(rng.permutation(7) for _ in range(5))])
    at_mean = at_its_mean(design)
    general = surrogate_scores(
        design, lambda b: [at_mean[j] for j in pairings[b]], n=6, penalties=PENALTIES, n_folds=5, dtype=np.float64
    )
    quick = paired_scores(design, pairings, penalties=PENALTIES, n_folds=5, dtype=np.float64)
    np.testing.assert_allclose(list(quick), list(general), atol=1e-12)
