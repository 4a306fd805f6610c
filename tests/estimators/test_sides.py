"""Trajectories, recordings and MNE objects give the numbers of the arrays in them, or are refused."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import GridMismatch, ShapeMismatch, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.estimators.trf import TRF

RATE, N = 64, 200
ONE = {"rate": RATE, "lags": (0, 0.05), "penalties": 1.0}


@pytest.fixture
def info():
    info = mne.create_info(["Fz", "EOG", "Cz", "STI"], float(RATE), ["eeg", "eog", "eeg", "stim"], verbose="error")
    with info._unlock():
        info["chs"][0]["loc"][:3] = (0.0, 0.09, 0.05)
    return info


@pytest.fixture
def x(rng):
    return rng.standard_normal((5, N, 2)).astype(np.float32)


@pytest.fixture
def y(rng, x):
    """Channels in MNE's order: trials by channels by times, in volts."""
    return 1e-5 * (rng.standard_normal((5, 4, N)) + x[:, :, 0][:, None])


@pytest.fixture
def epochs(info, y):
    return mne.EpochsArray(y, info, tmin=-0.25, verbose="error")


@pytest.fixture
def raw(info, y):
    return mne.io.RawArray(y[0], info, verbose="error")


@pytest.fixture
def recording(raw):
    return Recording.from_mne(raw)


@pytest.fixture
def features(x):
    return Trajectory(x[0], TimeAxis(RATE, N), ("pitch", "loudness"))


def eeg(y):
    return np.swapaxes(y, -1, -2)[..., [0, 2]]


class TestMne:
    """Data channels, in volts, on the estimator's rate."""

    def test_epochs_equal_arrays(self, x, y, epochs):
        one, other = TRF(**ONE).fit(x, epochs), TRF(**ONE).fit(x, eeg(y))
        np.testing.assert_array_equal(one.coef_, other.coef_)
        assert one.result_.channels == ("Fz", "Cz")
        np.testing.assert_allclose(one.result_.positions[0], (0, 0.09, 0.05), atol=1e-7)
        assert np.isnan(one.result_.positions[1]).all()
        assert one.score(x, epochs) == other.score(x, eeg(y))

    def test_epochs_and_a_list_of_trials(self, x, epochs):
        np.testing.assert_array_equal(TRF(**ONE).fit(list(x), epochs).coef_, TRF(**ONE).fit(x, epochs).coef_)

    def test_raw_equals_an_array(self, x, y, raw):
        np.testing.assert_array_equal(TRF(**ONE).fit(x[0], raw).coef_, TRF(**ONE).fit(x[0], eeg(y)[0]).coef_)

    def test_a_list_of_raws(self, x, y, info):
        raws = [mne.io.RawArray(part, info, verbose="error") for part in y]
        np.testing.assert_array_equal(TRF(**ONE).fit(list(x), raws).coef_, TRF(**ONE).fit(x, eeg(y)).coef_)

    def test_backward(self, x, y, epochs):
        one = TRF(**ONE, direction="backward").fit(epochs, x)
        other = TRF(**ONE, direction="backward").fit(eeg(y), x)
        np.testing.assert_array_equal(one.coef_, other.coef_)
        assert list(one.feature_names_in_) == ["Fz", "Cz"]
        np.testing.assert_array_equal(one.predict(epochs), other.predict(eeg(y)))
        assert one.predict(epochs).shape == x.shape

    def test_other_rates_are_refused(self, x, epochs):
        with pytest.raises(GridMismatch, match=r"data: 64 Hz; estimator: 100 Hz\n  fix: give rate=64"):
            TRF().fit(x, epochs)

    def test_bad_channels_are_refused(self, x, epochs):
        epochs.info["bads"] = ["Cz"]
        with pytest.raises(ValueProblem, match=r"still has bad channels\n  got: Cz"):
            TRF(**ONE).fit(x, epochs)

    def test_a_recording_without_a_brain(self, x, raw):
        with pytest.raises(ValueProblem, match="no brain channels"):
            TRF(**ONE).fit(x[0], raw.copy().pick(["EOG", "STI"]))


class TestClocks:
    """Trajectories and recordings bring their clocks."""

    def test_trajectory_and_recording_on_one_clock(self, x, y, features, recording):
        model = TRF(**ONE).fit(features, recording)
        np.testing.assert_array_equal(model.coef_, TRF(**ONE).fit(x[0], eeg(y)[0]).coef_)
        assert list(model.feature_names_in_) == ["pitch", "loudness"]
        assert model.predict(features).shape == (N, 2)

    def test_a_trajectory_and_a_raw(self, features, raw, recording):
        np.testing.assert_array_equal(TRF(**ONE).fit(features, raw).coef_, TRF(**ONE).fit(features, recording).coef_)

    def test_a_trajectory_and_an_array(self, y, features, recording):
        np.testing.assert_array_equal(
            TRF(**ONE).fit(features, eeg(y)[0]).coef_, TRF(**ONE).fit(features, recording).coef_
        )

    def test_lists_of_both(self, x, y, features):
        trajectories = [Trajectory(part, features.axis, features.features) for part in x]
        model = TRF(**ONE).fit(trajectories, list(eeg(y)))
        np.testing.assert_array_equal(model.coef_, TRF(**ONE).fit(x, eeg(y)).coef_)
        assert len(model.predict(trajectories)) == 5

    def test_epochs_that_begin_before_the_sound(self, x, epochs):
        axis = TimeAxis(RATE, N, "-0.25")
        trajectories = [Trajectory(part, axis, ("pitch", "loudness")) for part in x]
        np.testing.assert_array_equal(TRF(**ONE).fit(trajectories, epochs).coef_, TRF(**ONE).fit(x, epochs).coef_)

    def test_frame_centres_are_not_samples(self, x, recording):
        late = Trajectory(x[0], TimeAxis(RATE, N, "0.0125"), ("pitch", "loudness"))
        with pytest.raises(GridMismatch, match=r"not on one clock(.|\n)*brainalign\.align\("):
            TRF(**ONE).fit(late, recording)

    def test_sparse_trajectories_can_be_reconstructed(self, x, features, recording):
        as_csr = Trajectory(sparse.csr_array(x[0]), features.axis, features.features)
        one = TRF(**ONE, direction="backward").fit(recording, as_csr)
        np.testing.assert_array_equal(one.coef_, TRF(**ONE, direction="backward").fit(recording, features).coef_)
        assert one.result_.channels == ("pitch", "loudness")

    def test_trials_with_other_features(self, x, y, features):
        with pytest.raises(ShapeMismatch, match="trial 1 has other, names, trial 0 has pitch, loudness"):
            TRF(**ONE).fit([features, features.renamed(["other", "names"])], list(eeg(y)[:2]))

    def test_prediction_from_other_features(self, features, recording):
        model = TRF(**ONE).fit(features, recording)
        with pytest.raises(ShapeMismatch, match="not the features that the model was fitted with"):
            model.predict(features.renamed(["loudness", "pitch"]))
