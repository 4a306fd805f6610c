"""Band penalties: gradients, what refinement gains, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.banded import Search, fit_banded
from brainalign.encoding.bands import BandedRidge, channel
from brainalign.encoding.blocks import fold_moments
from brainalign.encoding.multivariate import fit_encoding
from brainalign.encoding.penalty import Regulariser, lagged_columns
from brainalign.encoding.prediction import predict, trial_scores
from tests.encoding.designs import make_design

BANDS = {"driving": (0,), "idle": (1, 2, 3)}


@pytest.fixture
def design(rng):
    return replace(make_design(rng, n_features=4, signal=0.15), bands=BANDS)


@pytest.mark.parametrize("merit", ["r", "r2"])
def test_the_gradient_is_the_derivative(design, merit):
    moments = fold_moments(design, np.arange(5) % 3)
    model = BandedRidge(Regulariser(), lagged_columns({k: np.array(v) for k, v in BANDS.items()}, design.lags.n), 50.0)
    pair, at, step = (moments.total([0, 1]), moments.total([2])), np.log([0.3, 2.0]), 1e-5
    _, slope = model.gradient(pair, at, merit=merit)
    for band, move in enumerate(step * np.eye(2)):
        ahead, behind = (model.gradient(pair, at + sign * move, merit=merit)[0] for sign in (1, -1))
        assert slope[band] == pytest.approx((ahead - behind) / (2 * step), rel=1e-6, abs=1e-10)


def test_one_channels_gradient_is_part_of_alls(design):
    moments = fold_moments(design, np.arange(5) % 3)
    model = BandedRidge(Regulariser(), lagged_columns({"all": np.arange(4)}, design.lags.n), 50.0)
    pair = (moments.total([0, 1]), moments.total([2]))
    whole = model.gradient(pair, np.zeros(1), merit="r")
    parts = [model.gradient(tuple(channel(m, c) for m in pair), np.zeros(1), merit="r") for c in range(4)]
    assert whole[0] == pytest.approx(sum(value for value, _ in parts))
    assert whole[1][0] == pytest.approx(sum(slope[0] for _, slope in parts))


def test_refinement_reaches_what_a_dense_search_finds(design):
    moments = fold_moments(design, np.arange(5) % 3)
    groups = lagged_columns({k: np.array(v) for k, v in BANDS.items()}, design.lags.n)
    model = BandedRidge(Regulariser(), groups, 50.0)
    pairs = [(moments.total([k for k in range(3) if k != j]), moments.total([j])) for j in range(3)]
    pairs = [tuple(channel(m, 0) for m in pair) for pair in pairs]

    def merit(log_penalties):
        return np.mean([model.gradient(pair, log_penalties, merit="r2")[0] for pair in pairs])

    grid = np.log(10.0) * np.linspace(-3, 5, 17)
    dense = max(merit(np.array([one, two])) for one in grid for two in grid)
    found = model.refine(pairs, np.array([1.0, 1.0]), merit="r2", n_steps=50)
    assert merit(np.log(found)) >= dense


def test_equal_weights_are_plain_ridge(design):
    plain = fit_encoding(design, penalties=(0.2, 2.0), n_folds=4)
    banded = fit_banded(design, penalties=(0.1, 1.0), n_folds=4, search=Search(weights=np.array([[0.5, 0.5]])))
    np.testing.assert_allclose(banded.scores, plain.scores, atol=1e-10)
    np.testing.assert_allclose(banded.alpha, plain.alpha)
    np.testing.assert_allclose(banded.coef, plain.coef, atol=1e-14)


def test_an_idle_band_is_silenced(design):
    found = fit_banded(design, n_folds=4, search=Search(n_candidates=20))
    assert found.score[0] > fit_encoding(design, n_folds=4).score[0]
    assert np.median(found.alpha[:, 1, 0]) > 10 * np.median(found.alpha[:, 0, 0])


@pytest.mark.parametrize("per_channel", [True, False])
def test_refinement_improves_the_merit_it_sees(design, per_channel):
    start = Search(weights=np.array([[0.5, 0.5]]))
    coarse = fit_banded(design, penalties=(1.0,), n_folds=4, search=start, per_channel=per_channel)
    search = replace(start, n_steps=20)
    fine = fit_banded(design, penalties=(1.0,), n_folds=4, search=search, per_channel=per_channel)
    assert fine.score[0] > coarse.score[0]
    assert (fine.alpha[:, 1, 0] > fine.alpha[:, 0, 0]).all()
    if not per_channel:
        assert np.ptp(fine.alpha, axis=2).max() == 0


def test_a_band_of_no_weight_drops_out(design):
    only = fit_banded(design, penalties=(1.0,), n_folds=4, search=Search(weights=np.array([[1.0, 0.0]])))
    alone = fit_encoding(design.select(np.array([0])), penalties=(1.0,), n_folds=4)
    np.testing.assert_allclose(only.scores, alone.scores, atol=1e-10)
    assert np.isinf(only.alpha[:, 1]).all()
    assert not only.coef[1:].any()


def test_predictions_come_from_the_coefficients(design):
    found = fit_banded(design, penalties=(1e-3,), n_folds=4, search=Search(n_candidates=3))
    assert predict(found, design)[0].shape == (300, 4)
    assert trial_scores(found, design)[:, 0].mean() > found.score[0]


def test_the_same_seed_draws_the_same_bands():
    one, two, three = (Search(seed=seed).candidates(3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, three)
    np.testing.assert_allclose(one.sum(axis=1), 1)
    np.testing.assert_allclose(one[0], 1 / 3)


def test_what_cannot_be_banded_is_refused(design):
    with pytest.raises(ValueProblem, match="above 0"):
        fit_banded(design, penalties=(0.0, 1.0))
    with pytest.raises(ValueProblem, match="ridge models"):
        fit_banded(design, regulariser="tikhonov-1")
    with pytest.raises(ShapeMismatch, match="candidates by bands"):
        fit_banded(design, search=Search(weights=np.ones((2, 3))))
    with pytest.raises(ValueProblem, match="not all 0"):
        fit_banded(design, search=Search(weights=np.zeros((1, 2))))
