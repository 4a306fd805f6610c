"""Scores, response functions and tests, with labels at the edge."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import MissingPackage, ShapeMismatch, UnknownName, ValueProblem


class TestEncodingResult:
    """Scores and response functions."""

    def test_score_is_the_mean_over_folds(self, encoding_result):
        np.testing.assert_allclose(encoding_result.score, encoding_result.scores.sum(axis=0) / 5, rtol=1e-14)

    @pytest.mark.parametrize("name", ["scores", "alpha", "coef", "coef_alpha", "positions"])
    def test_every_array_is_read_only_and_has_its_shape(self, encoding_result, name):
        array = getattr(encoding_result, name)
        assert not array.flags.writeable
        with pytest.raises(ShapeMismatch, match=f"{name} must have shape"):
            replace(encoding_result, **{name: array[..., 1:]})

    def test_a_misspelt_feature_is_met_with_the_nearest(self, encoding_result):
        assert encoding_result.index("f2") == 2
        with pytest.raises(UnknownName, match="there is no feature of that name"):
            encoding_result.index("g2")

    def test_to_evoked_keeps_lags_values_and_places(self, encoding_result):
        evoked = encoding_result.to_evoked("f1")
        np.testing.assert_allclose(evoked.times, encoding_result.lags.seconds, atol=1e-12)
        np.testing.assert_array_equal(evoked.data, encoding_result.coef[1].T)
        assert evoked.ch_names == list(encoding_result.channels)
        assert evoked.comment == "f1"
        places = [channel["loc"][:3] for channel in evoked.info["chs"]]
        np.testing.assert_allclose(places, encoding_result.positions, atol=1e-7)

    def test_to_evoked_at_a_rate_that_is_no_decimal(self, encoding_result):
        evoked = replace(encoding_result, lags=replace(encoding_result.lags, rate="1000/21")).to_evoked("f0")
        np.testing.assert_allclose(evoked.times[0], -2 * 21 / 1000, atol=1e-12)

    def test_to_evoked_does_without_a_place_it_does_not_have(self, encoding_result):
        positions = encoding_result.positions.copy()
        positions[1] = np.nan
        evoked = replace(encoding_result, positions=positions).to_evoked("f1")
        np.testing.assert_allclose(evoked.info["chs"][0]["loc"][:3], positions[0], atol=1e-7)
        assert not np.any(np.nan_to_num(evoked.info["chs"][1]["loc"][:3]))

    def test_to_evoked_can_be_drawn(self, encoding_result):
        figure = encoding_result.to_evoked("f1").plot_topomap(times=[0.0], show=False)
        figure.clear()

    def test_to_xarray_says_what_to_install(self, encoding_result, monkeypatch):
        monkeypatch.setitem(sys.modules, "xarray", None)
        with pytest.raises(MissingPackage, match=r"(?s)need xarray.*pip install 'brainalign\[labels\]'"):
            encoding_result.to_xarray()

    def test_to_xarray_is_labelled(self, encoding_result):
        pytest.importorskip("xarray")
        labelled = encoding_result.to_xarray()
        one = labelled["coef"].sel(feature="f2", channel="Pz")
        np.testing.assert_array_equal(one, encoding_result.coef[2, :, 2])
        np.testing.assert_array_equal(one["lag"], encoding_result.lags.seconds)
        assert labelled["score"].dims == ("fold", "feature", "channel")
        assert labelled.attrs["subject"] == "01"


class TestNullTest:
    """Observed beside null."""

    def test_z_is_the_distance_in_standard_deviations(self, null_test):
        expected = (null_test.observed - null_test.null_mean) / null_test.null_sd
        np.testing.assert_allclose(null_test.z, expected, rtol=1e-14)

    def test_a_null_that_never_moves_gives_z_of_0(self, null_test):
        still = replace(null_test, null_sd=np.zeros((4, 3)))
        np.testing.assert_array_equal(still.z, 0)

    @pytest.mark.parametrize("name", ["p", "p_corrected"])
    @pytest.mark.parametrize("value", [0.0, -0.1, 1.1, np.nan])
    def test_a_p_value_that_no_permutation_gives_is_refused(self, null_test, name, value):
        wrong = getattr(null_test, name).copy()
        wrong[1, 1] = value
        with pytest.raises(ValueProblem, match=f"(?s){name} must lie above 0.*count the identity in"):
            replace(null_test, **{name: wrong})

    def test_maxima_count_the_identity(self, null_test):
        assert not null_test.maxima.flags.writeable
        with pytest.raises(ShapeMismatch, match=r"(?s)maxima must have shape \(10,\).*got: \(9,\)"):
            replace(null_test, maxima=null_test.maxima[1:])
