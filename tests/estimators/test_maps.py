"""FeatureMaps against `brainalign.feature_maps`, and as a choice among features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from brainalign.api import feature_maps
from brainalign.core.errors import ValueProblem
from brainalign.estimators.maps import FeatureMaps
from brainalign.estimators.trf import TRF
from tests.encoding.designs import RATE, make_design

WINDOW = {"rate": RATE, "lags": (-0.04, 0.1)}


@pytest.fixture
def design(rng):
    return make_design(rng)


@pytest.fixture
def lists(design):
    return [trial.x.block(0, 3) for trial in design.trials], [trial.y for trial in design.trials]


def test_equals_the_function(design, lists):
    design = replace(design, subject="")  # arrays have no subject, by whom shifts are drawn
    expected = feature_maps(design, n_permutations=19, seed=3)
    for given in ((design, None), lists):
        model = FeatureMaps(**WINDOW, n_permutations=19, seed=3).fit(*given)
        np.testing.assert_array_equal(model.scores_, expected.r)
        np.testing.assert_array_equal(model.coef_, expected.trf.transpose(2, 0, 1))
        np.testing.assert_array_equal(model.p_, expected.p)
        np.testing.assert_array_equal(model.p_corrected_, expected.p_corrected)
        np.testing.assert_array_equal(model.lags_, design.lags.seconds)


def test_significant_features_are_kept(design, lists):
    model = FeatureMaps(**WINDOW, n_permutations=39, level=0.05).fit(*lists)
    np.testing.assert_array_equal(model.get_support(), [True, False, False])
    assert list(model.get_feature_names_out()) == ["x0"]


class TestContainers:
    """Features are kept in the container they come in."""

    @pytest.fixture
    def model(self, design):
        return FeatureMaps(**WINDOW, n_best=1).fit(design)

    def test_designs_and_trajectories(self, model, design):
        assert model.transform(design).features == ("f0",)
        assert model.transform(design.trials[0].x).features == ("f0",)
        assert [part.features for part in model.transform([trial.x for trial in design.trials])] == [("f0",)] * 5

    def test_arrays(self, lists):
        x, y = lists
        model = FeatureMaps(**WINDOW, n_best=1).fit(x, y)
        for one, part in zip(model.transform(x), x, strict=True):
            np.testing.assert_array_equal(one, part[:, :1])
        stack = np.stack([part[:300] for part in x])
        np.testing.assert_array_equal(model.transform(stack), stack[:, :, :1])
        np.testing.assert_array_equal(model.transform(x[0]), x[0][:, :1])
        assert sparse.issparse(model.transform([sparse.csr_array(part) for part in x])[0])

    def test_too_many_best_are_all(self, design):
        assert FeatureMaps(**WINDOW, n_best=7).fit(design).get_support().all()

    def test_nothing_to_choose_by(self, design):
        model = FeatureMaps(**WINDOW).fit(design)
        assert model.p_ is model.p_corrected_ is None
        with pytest.raises(ValueProblem, match="nothing says which features to keep"):
            model.transform(design)


def test_before_a_trf_in_a_pipeline(design, lists):
    x, y = lists
    chain = make_pipeline(FeatureMaps(**WINDOW, n_folds=3, n_best=1), TRF(**WINDOW, penalties=0.1, scoring="r"))
    by_hand = TRF(**WINDOW, penalties=0.1).fit([part[:, :1] for part in x], y)
    np.testing.assert_array_equal(chain.fit(x, y)[-1].coef_, by_hand.coef_)
    assert chain.fit(design, None)[-1].result_.features == ("f0",)
    scores = cross_val_score(chain, x, [part[:, 0] for part in y], cv=5)
    assert (scores > 0.3).all()


def test_one_recording_is_cut_into_trials(lists):
    x, y = lists
    model = FeatureMaps(**WINDOW, n_folds=3).fit(x[0], y[0])
    assert model.scores_.shape == (3, 4)
    assert model.maps_.listeners[0].scores.shape[0] == 3
