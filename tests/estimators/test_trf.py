"""TRF and BandedTRF against the engine, scikit-learn's Ridge, and each other's containers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from brainalign.core.errors import GridMismatch, ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.time import Lags
from brainalign.encoding.banded import Search, fit_banded, fit_fixed_bands
from brainalign.encoding.cuts import cut_trials
from brainalign.encoding.direction import backward
from brainalign.encoding.multivariate import fit_encoding, fit_fixed
from brainalign.encoding.penalty import Regulariser
from brainalign.encoding.prediction import predict
from brainalign.estimators.reading import Reader
from brainalign.estimators.trf import TRF, BandedTRF
from tests.encoding.designs import RATE, lagged, make_design

PENALTIES = (0.01, 0.3, 3.0)
WINDOW = {"rate": RATE, "lags": (-0.04, 0.1)}  # the window of make_design


@pytest.fixture
def design(rng):
    return make_design(rng)


def sides(design, *, as_csr=False):
    """Return the design's trials as two ragged lists of arrays, responses in units of 10 microvolts."""
    x = [trial.x.block(0, design.n_features).astype(float) for trial in design.trials]
    return [sparse.csr_array(item) if as_csr else item for item in x], [trial.y for trial in design.trials]


def explicit(x, lags):
    return lagged(x, lags, edges="zero").reshape(len(x), -1)


class TestAgainstTheEngine:
    """The same numbers, whichever door they come in by."""

    def test_lists_equal_the_design(self, design):
        x, y = sides(design)
        model, expected = TRF(**WINDOW, penalties=PENALTIES).fit(x, y), fit_encoding(design, penalties=PENALTIES)
        np.testing.assert_array_equal(model.coef_, expected.coef.transpose(2, 0, 1))
        np.testing.assert_array_equal(model.scores_, expected.score)
        np.testing.assert_array_equal(model.alpha_, expected.coef_alpha[0])
        np.testing.assert_array_equal(model.lags_, design.lags.seconds)
        for one, other in zip(model.predict(x), predict(expected, design), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_design_by_itself(self, design):
        model = TRF(**WINDOW, penalties=PENALTIES).fit(design)
        np.testing.assert_array_equal(model.result_.coef, fit_encoding(design, penalties=PENALTIES).coef)
        assert model.result_.channels == design.channels
        assert list(model.feature_names_in_) == list(design.features)
        assert [part.shape for part in model.predict(design)] == [trial.y.shape for trial in design.trials]
        x, y = sides(design)
        assert model.score(design) == pytest.approx(TRF(**WINDOW, penalties=PENALTIES).fit(x, y).score(x, y))

    @pytest.mark.parametrize("whole", [True, False], ids=["design", "lists"])
    def test_backward(self, design, whole):
        expected = fit_encoding(backward(design), penalties=PENALTIES)
        x, y = sides(design)
        model = TRF(**WINDOW, penalties=PENALTIES, direction="backward")
        model.fit(design) if whole else model.fit(y, x)
        np.testing.assert_allclose(model.result_.coef, expected.coef, rtol=1e-12)
        np.testing.assert_allclose(model.scores_, expected.score, atol=1e-12)
        np.testing.assert_allclose(model.lags_, -design.lags.seconds[::-1])
        assert model.n_features_in_ == len(design.channels)
        assert model.predict(design if whole else y)[2].shape == x[2].shape

    def test_sparse_features_stay_sparse(self, design):
        x, y = sides(design, as_csr=True)
        model = TRF(**WINDOW, penalties=1.0)
        pair, _ = Reader(model, design.lags).pair(x, y, reset=True)
        assert all(trial.x.is_sparse for trial in pair.trials)
        dense = clone(model).fit(*sides(design))
        np.testing.assert_allclose(model.fit(x, y).coef_, dense.coef_, rtol=1e-8, atol=1e-14)
        np.testing.assert_allclose(model.predict(x)[0], dense.predict(sides(design)[0])[0], rtol=1e-8, atol=1e-14)

    @pytest.mark.parametrize(("kind", "convention"), [("tikhonov-1", "relative"), ("ridge", "mne"), ("ridge", "mtrf")])
    def test_regularisers_and_conventions(self, design, kind, convention):
        rule = Regulariser(kind, convention)
        model = TRF(**WINDOW, penalties=PENALTIES, regulariser=kind, convention=convention).fit(design)
        np.testing.assert_array_equal(
            model.result_.coef, fit_encoding(design, penalties=PENALTIES, regulariser=rule).coef
        )
        fixed = TRF(**WINDOW, penalties=0.3, regulariser=kind, convention=convention).fit(design)
        np.testing.assert_array_equal(fixed.result_.coef, fit_fixed(design, 0.3, regulariser=rule).coef)

    def test_mtrf_rounds_lags_outward(self, design):
        x, y = sides(design)
        model = TRF(rate=RATE, lags=(-0.05, 0.11), penalties=1.0, convention="mtrf").fit(x, y)
        np.testing.assert_array_equal(model.lags_ * RATE, Lags(-3, 6, RATE).samples)


class TestAgainstRidge:
    """scikit-learn's Ridge with the lag matrix written out."""

    @pytest.mark.parametrize("penalty", [0.5, 20.0])
    def test_weights_intercept_and_predictions(self, design, penalty):
        x, y = sides(design)
        y = [1e5 * part for part in y]
        model = TRF(**WINDOW, penalties=penalty, convention="absolute").fit(x, y)
        columns = [explicit(part, design.lags) for part in x]
        ridge = Ridge(alpha=penalty, solver="cholesky").fit(np.vstack(columns), np.vstack(y))
        np.testing.assert_allclose(model.coef_.reshape(4, -1), ridge.coef_, atol=1e-9)
        np.testing.assert_allclose(model.intercept_, ridge.intercept_, atol=1e-9)
        for one, part in zip(model.predict(x), columns, strict=True):
            np.testing.assert_allclose(one, ridge.predict(part), atol=1e-9)

    def test_relative_penalties(self, design):
        x, y = sides(design)
        columns = np.vstack([explicit(part, design.lags) for part in x])
        ridge = Ridge(alpha=0.3 * len(columns) * columns.var(axis=0).mean(), solver="cholesky")
        ridge.fit(columns, 1e5 * np.vstack(y))
        model = TRF(**WINDOW, penalties=0.3).fit(x, [1e5 * part for part in y])
        np.testing.assert_allclose(model.coef_.reshape(4, -1), ridge.coef_, atol=1e-9)


class TestContainers:
    """What goes in comes out."""

    @pytest.fixture
    def stacked(self, rng):
        x = rng.standard_normal((6, 120, 2)).astype(np.float32)
        return x, x[:, :, :1] + rng.standard_normal((6, 120, 3))

    def test_arrays_of_trials_equal_lists(self, stacked):
        x, y = stacked
        one, other = (TRF(**WINDOW, penalties=PENALTIES) for _ in range(2))
        predicted = one.fit(x, y).predict(x)
        assert predicted.shape == y.shape
        np.testing.assert_array_equal(predicted, np.stack(other.fit(list(x), list(y)).predict(list(x))))

    @pytest.mark.parametrize("wrap", [np.asarray, list], ids=["array", "list"])
    def test_a_single_output_needs_no_axis(self, stacked, wrap):
        x, y = stacked
        flat = TRF(**WINDOW, penalties=1.0).fit(wrap(x), wrap(y[:, :, 0]))
        assert np.shape(flat.predict(wrap(x))) == (6, 120)
        assert flat.coef_.shape == (1, 2, 8)
        full = TRF(**WINDOW, penalties=1.0).fit(x, y[:, :, :1])
        np.testing.assert_array_equal(flat.coef_, full.coef_)
        assert flat.score(wrap(x), wrap(y[:, :, 0])) == pytest.approx(full.score(x, y[:, :, :1]))

    @pytest.mark.parametrize("n_outputs", [None, 1, 3])
    def test_one_recording(self, stacked, n_outputs):
        x, y = stacked[0][0], stacked[1][0]
        y = y[:, 0] if n_outputs is None else y[:, :n_outputs]
        assert TRF(**WINDOW, penalties=1.0).fit(x, y).predict(x[:50]).shape == (50, *y.shape[1:])

    def test_trials_must_agree(self, stacked):
        x, y = stacked
        with pytest.raises(ShapeMismatch, match=r"same trials\n  got: X has 6, y has 5"):
            TRF(**WINDOW).fit(list(x), list(y[:5]))
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            TRF(**WINDOW).fit([x[0], x[1]], [y[0], y[1, :100]])
        with pytest.raises(ValueError, match="X has 1 features, but TRF is expecting 2"):
            TRF(**WINDOW).fit([x[0], x[1, :, :1]], list(y[:2]))
        with pytest.raises(ShapeMismatch, match="every item of a list must be one trial"):
            TRF(**WINDOW).fit([x[0]], [y])

    def test_nan_is_refused(self, stacked):
        x, y = stacked
        broken = np.where(np.arange(120)[:, None] == 7, np.nan, y)
        with pytest.raises(ValueError, match="Input y contains NaN"):
            TRF(**WINDOW).fit(x, broken)


class TestFewTrials:
    """Fewer trials than folds: cut to choose, whole to fit."""

    def test_a_penalty_is_chosen_on_parts_and_the_model_fitted_on_the_whole(self, design):
        two = replace(design, trials=design.trials[:2])
        model = TRF(**WINDOW, penalties=PENALTIES).fit(two)
        parts = cut_trials(two, n_parts=5)
        chosen = fit_encoding(parts, penalties=PENALTIES)
        np.testing.assert_array_equal(model.alpha_, chosen.coef_alpha[0])
        np.testing.assert_array_equal(model.scores_, chosen.score)
        np.testing.assert_array_equal(model.result_.coef, fit_fixed(two, chosen.coef_alpha[0]).coef)

    def test_parts_hold_every_frame_once(self, design):
        parts = cut_trials(design, n_parts=4)
        assert len({trial.name for trial in parts.trials}) == len(parts.trials) == 20
        np.testing.assert_array_equal(np.vstack([t.y for t in parts.trials]), np.vstack([t.y for t in design.trials]))

    def test_trials_too_short_to_be_cut(self, rng):
        x, y = rng.standard_normal((60, 2)), rng.standard_normal(60)
        with pytest.raises(ValueProblem, match=r"too short to be cut\n  got: 1 stimuli for 5 folds.*\n  fix: give one"):
            TRF(**WINDOW).fit(x, y)
        assert TRF(**WINDOW, penalties=1.0).fit(x, y).scores_ is None

    def test_mtrfs_penalties_do_not_survive_cutting(self, rng):
        with pytest.raises(ValueProblem, match="depends on the number of trials"):
            TRF(**WINDOW, convention="mtrf").fit(rng.standard_normal((400, 2)), rng.standard_normal(400))


class TestScikitLearn:
    """Scores, searches and copies."""

    def test_r2_is_scikit_learns(self, design):
        x, y = sides(design)
        model = TRF(**WINDOW, penalties=1.0).fit(x[:3], y[:3])
        assert model.score(x[3:], y[3:]) == r2_score(np.vstack(y[3:]), np.vstack(model.predict(x[3:])))

    def test_r_is_averaged_over_outputs(self, design):
        x, y = sides(design)
        model = TRF(**WINDOW, penalties=1.0, scoring="r").fit(x[:3], y[:3])
        predicted, actual = np.vstack(model.predict(x[3:])), np.vstack(y[3:])
        expected = [np.corrcoef(predicted[:, c], actual[:, c])[0, 1] for c in range(4)]
        assert model.score(x[3:], y[3:]) == pytest.approx(np.mean(expected), abs=1e-12)

    def test_cross_val_score_holds_trials_out(self, design):
        x, y = sides(design)
        model = TRF(**WINDOW, penalties=0.3)
        by_hand = [
            clone(model)
            .fit([x[i] for i in range(5) if i != k], [y[i] for i in range(5) if i != k])
            .score([x[k]], [y[k]])
            for k in range(5)
        ]
        np.testing.assert_allclose(cross_val_score(model, x, y, cv=5), by_hand)

    def test_grid_search_over_lags_and_penalties(self, design):
        x, y = sides(design)
        grid = {"lags": [(0.0, 0.0), (0.0, 0.1)], "penalties": [0.1, 1e3]}
        search = GridSearchCV(TRF(rate=RATE, scoring="r"), grid, cv=5).fit(x, [part[:, 0] for part in y])
        assert search.best_params_ == {"lags": (0.0, 0.1), "penalties": 0.1}
        assert search.predict(x)[1].shape == (len(x[1]),)

    def test_a_second_fit_forgets_the_first(self, design):
        x, y = sides(design)
        model = TRF(**WINDOW, penalties=PENALTIES).fit(design)
        model.set_params(penalties=1.0).fit([part[:, :2] for part in x], y)
        assert model.scores_ is None
        assert model.n_features_in_ == 2
        assert not hasattr(model, "feature_names_in_")

    def test_names_that_are_not_there(self, design):
        for wrong in ({"direction": "sideways"}, {"regulariser": "lasso"}, {"convention": "matlab"}):
            with pytest.raises(UnknownName):
                TRF(**WINDOW, **wrong).fit(design)
        with pytest.raises(UnknownName, match="no scoring"):
            TRF(**WINDOW, penalties=1.0, scoring="mse").fit(design).score(design)


class TestDesigns:
    """A design must be meant for the estimator."""

    def test_other_lags(self, design):
        with pytest.raises(GridMismatch, match=r"design: rate=50, lags=\(-0.04, 0.1\); estimator: rate=100"):
            TRF().fit(design)

    def test_with_a_second_response(self, design):
        with pytest.raises(ValueProblem, match="holds the response already"):
            TRF(**WINDOW).fit(design, np.zeros(3))

    def test_other_features(self, design):
        model = TRF(**WINDOW, penalties=1.0).fit(design)
        with pytest.raises(ShapeMismatch, match="fix: give the 3 features f0, f1, f2"):
            model.predict(design.select(np.array([2, 1, 0])))


class TestBandedTRF:
    """A penalty per band."""

    SEARCH = Search(n_candidates=4)

    @pytest.mark.parametrize("bands", [{"one": [0, 2]}, {"one": slice(0, 3, 2)}, {"one": ["f0", "f2"]}])
    def test_equals_fit_banded(self, design, bands):
        expected = fit_banded(replace(design, bands={"one": (0, 2)}), penalties=PENALTIES, search=self.SEARCH)
        model = BandedTRF(bands, **WINDOW, penalties=PENALTIES, search=self.SEARCH).fit(design)
        np.testing.assert_array_equal(model.result_.coef, expected.coef)
        np.testing.assert_array_equal(model.alpha_, expected.coef_alpha)
        np.testing.assert_array_equal(model.scores_, expected.score)
        assert model.bands_ == ("one", "rest")

    def test_arrays_equal_the_design_and_its_bands_are_kept(self, design):
        x, y = sides(design)
        named = replace(design, bands={"one": (0, 2), "two": (1,)})
        model = BandedTRF({"one": [0, 2], "two": [1]}, **WINDOW, search=self.SEARCH)
        np.testing.assert_array_equal(model.fit(x, y).coef_, BandedTRF(**WINDOW, search=self.SEARCH).fit(named).coef_)

    def test_one_band_is_a_trf(self, design):
        grid = {"penalties": PENALTIES}
        one, other = BandedTRF(**WINDOW, **grid).fit(design), TRF(**WINDOW, **grid).fit(design)
        np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(one.scores_, other.scores_, atol=1e-10)

    def test_fewer_trials_than_folds(self, design):
        two = replace(design, trials=design.trials[:2], bands={"one": (0, 2)})
        model = BandedTRF(**WINDOW, penalties=PENALTIES, search=self.SEARCH).fit(two)
        np.testing.assert_array_equal(model.result_.coef, fit_fixed_bands(two, model.alpha_).coef)
        assert model.scores_.shape == (4,)

    def test_unknown_feature(self, design):
        with pytest.raises(UnknownName, match="did you mean 'f1'"):
            BandedTRF({"one": ["f11"]}, **WINDOW).fit(design)
