"""Active features: counted over time, whatever the storage."""

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.features import select
from brainalign.features.select import active_features, feature_variances, layer_features, variable_features


def _trajectory(values, *, names=None, rate=50):
    return Trajectory(values, TimeAxis(rate, values.shape[0]), names or [f"f{i}" for i in range(values.shape[1])])


def _example(n_active):
    """Return 10 s at 50 Hz in which feature ``i`` is active in ``n_active[i]`` frames."""
    values = np.zeros((500, len(n_active)), dtype=np.float32)
    for i, n in enumerate(n_active):
        values[np.random.default_rng(i).choice(500, n, replace=False), i] = 1.5
    return values


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_active_means_often_enough_per_second(kind):
    trajectory = _trajectory(kind(_example([9, 10, 0, 500, 11])))
    np.testing.assert_array_equal(active_features([trajectory]), [1, 3, 4])
    np.testing.assert_array_equal(active_features([trajectory], min_per_second=1.1), [3, 4])
    # Even 0 per second means: seen at least once.
    np.testing.assert_array_equal(active_features([trajectory], min_per_second=0), [0, 1, 3, 4])


def test_trials_count_together_even_of_mixed_storage():
    """20 s in all: 12 + 12 frames pass, 19 + 0 do not."""
    one = _trajectory(_example([12, 19]))
    other = _trajectory(sparse.csr_array(_example([12, 0])))
    np.testing.assert_array_equal(active_features([one, other]), [0])


def test_stored_zeros_do_not_count():
    values = sparse.csr_array(_example([400, 400]))
    values.data[values.indices == 0] = 0
    assert values.nnz == 800
    np.testing.assert_array_equal(active_features([_trajectory(values)]), [1])


def test_negative_values_count():
    np.testing.assert_array_equal(active_features([_trajectory(-_example([50, 2]))]), [0])


def test_sparse_input_is_never_made_dense(monkeypatch):
    trajectory = _trajectory(sparse.csr_array(_example([50, 2])))
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sparse.csr_array, name, lambda *_: pytest.fail("made dense"))
    active_features([trajectory])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_onsets_count_runs_of_active_frames(kind):
    values = np.zeros((100, 4), dtype=np.float32)
    values[0:50, 0] = 1  # one long run from the very beginning
    values[[1, 3, 4, 99], 1] = 1  # three runs
    values[0::2, 2] = 1  # fifty runs
    values[99, 0] = values[0, 1] = 1  # the end of one column touches no other column's beginning
    one = _trajectory(kind(values), rate=100)
    counts = {2: [0, 1, 2], 3: [1, 2], 4: [2], 50: [2], 51: []}
    for least, kept in counts.items():
        np.testing.assert_array_equal(active_features([one], min_per_second=least, counting="onsets"), kept)


def test_an_unknown_way_to_count_is_refused():
    with pytest.raises(UnknownName, match="way to count activity"):
        active_features([_trajectory(_example([5]))], counting="spikes")


def test_differing_features_and_nothing_at_all_are_refused():
    one, other = (_trajectory(_example([5, 5]), names=names) for names in (("a", "b"), ("b", "a")))
    with pytest.raises(ShapeMismatch, match=r"same features in the same order[\s\S]*trajectory 1"):
        active_features([one, other])
    with pytest.raises(ValueProblem, match="at least one trajectory"):
        active_features([])


def _two_trials(kind):
    rng = np.random.default_rng(5)
    scale = np.array([1, 4, 0, 2, 4, 0.5])
    values = (rng.standard_normal((2, 300, 6)) * scale + 7 * (scale > 1)).astype(np.float32)
    values[rng.random(values.shape) > 0.4] = 0
    values[..., 2] = 0.1
    return [_trajectory(kind(values[0])), _trajectory(kind(values[1][:170]))], np.vstack([values[0], values[1][:170]])


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_variances_are_those_of_all_frames_together(kind, block, monkeypatch):
    monkeypatch.setattr(select, "_BLOCK", block)
    trials, together = _two_trials(kind)
    variances = feature_variances(trials)
    np.testing.assert_allclose(variances, together.astype(float).var(axis=0), rtol=1e-12, atol=0)
    assert variances[2] == 0, "a constant feature does not vary, not even by rounding"


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_the_most_variable_features(kind):
    trials, together = _two_trials(kind)
    ranked = np.argsort(-together.astype(float).var(axis=0))
    for n in range(6):
        np.testing.assert_array_equal(variable_features(trials, n=n), np.sort(ranked[:n]))
    # Five vary: 40 % of them are two, 41 % three.
    np.testing.assert_array_equal(variable_features(trials, share=0.4), np.sort(ranked[:2]))
    np.testing.assert_array_equal(variable_features(trials, share=0.41), np.sort(ranked[:3]))
    np.testing.assert_array_equal(variable_features(trials, share=1), [0, 1, 3, 4, 5])


def test_of_equal_ones_the_first_are_taken():
    values = np.tile(np.arange(10, dtype=np.float32)[:, None], (1, 5))
    np.testing.assert_array_equal(variable_features([_trajectory(values)], n=3), [0, 1, 2])


def test_impossible_numbers_are_refused():
    trials, _ = _two_trials(np.asarray)
    with pytest.raises(ValueProblem, match=r"(?s)not that many features that vary.*n=6, 5 of 6"):
        variable_features(trials, n=6)
    for choice in ({}, {"n": 2, "share": 0.5}):
        with pytest.raises(ValueProblem, match="said in one way"):
            variable_features(trials, **choice)
    for share in (0, 1.01, -0.5, float("nan")):
        with pytest.raises(ValueProblem, match="a share lies above 0"):
            variable_features(trials, share=share)


def test_layers_beside_each_other():
    names = ("layer9-0", "layer9-mlp-0", "layer10-0", "layer9-1", "sae-3", "envelope")
    one = _trajectory(np.zeros((3, 6), np.float32), names=names)
    np.testing.assert_array_equal(layer_features(one, ["layer9"]), [0, 3])
    np.testing.assert_array_equal(layer_features(one, ["sae", "layer9-mlp"]), [1, 4])
    assert one.select(layer_features(one, ["layer10", "layer9"])).features == ("layer9-0", "layer10-0", "layer9-1")
    with pytest.raises(UnknownName, match="did you mean 'layer10'"):
        layer_features(one, ["layer9", "layer1"])
