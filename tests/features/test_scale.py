"""Unit maxima: one divisor per feature over all trials, zeros untouched."""

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.features.scale import feature_maxima, unit_maximum

ONE = np.array([[0, 2, 0, -1], [4, 0, 0, 0.5]], dtype=np.float32)
OTHER = np.array([[1, 8, 0, 0], [0, 0, 0, -3]], dtype=np.float32)


def _trajectory(values):
    return Trajectory(values, TimeAxis(50, len(values) if isinstance(values, np.ndarray) else values.shape[0]), "abcd")


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_worked_example(kind):
    trials = [_trajectory(kind(ONE)), _trajectory(kind(OTHER))]
    np.testing.assert_array_equal(feature_maxima(trials), [4, 8, 0, 3])
    one, other = unit_maximum(trials)
    assert one.is_sparse == (kind is sparse.csr_array)
    np.testing.assert_allclose(one.block(0, 4), [[0, 0.25, 0, -1 / 3], [1, 0, 0, 0.5 / 3]], rtol=1e-6)
    np.testing.assert_allclose(other.block(0, 4), [[0.25, 1, 0, 0], [0, 0, 0, -1]], rtol=1e-6)
    assert one.values.dtype == np.float32
    np.testing.assert_array_equal(trials[0].block(0, 4), ONE)


def test_maxima_of_the_training_trials_serve_the_test_trial():
    train, test = _trajectory(ONE), _trajectory(sparse.csr_array(OTHER))
    (scaled,) = unit_maximum([test], maxima=feature_maxima([train]))
    np.testing.assert_allclose(scaled.block(0, 2), [[0.25, 4], [0, 0]])


def test_sparse_keeps_its_pattern(rng):
    values = sparse.csr_array(sparse.random_array((300, 4), density=0.1, rng=rng, dtype=np.float32))
    (scaled,) = unit_maximum([_trajectory(values)])
    np.testing.assert_array_equal(scaled.values.indices, values.indices)
    np.testing.assert_array_equal(scaled.values.indptr, values.indptr)
    np.testing.assert_allclose(feature_maxima([scaled]), 1)


def test_maxima_that_do_not_fit_are_refused():
    with pytest.raises(ShapeMismatch, match="maxima must have shape"):
        unit_maximum([_trajectory(ONE)], maxima=np.ones(3))
    with pytest.raises(ValueProblem, match="finite and not negative"):
        unit_maximum([_trajectory(ONE)], maxima=np.array([1, -1, 1, 1]))
