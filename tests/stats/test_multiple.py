"""Adjusted p-values: order, shape, families of one, and what is refused. Values: tests/oracles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.stats.multiple import CORRECTIONS, adjusted

many = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30).map(np.array)
methods = st.sampled_from(sorted(CORRECTIONS))


@given(many, methods)
def test_never_smaller_and_in_the_same_order(p, method):
    q = adjusted(p, method=method)
    assert (q >= p * (1 - 1e-12)).all()
    assert (q <= 1).all()
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= -1e-15).all()


@given(many, methods, st.randoms(use_true_random=False))
def test_order_of_tests_does_not_matter(p, method, random):
    order = list(range(len(p)))
    random.shuffle(order)
    np.testing.assert_allclose(adjusted(p[order], method=method), adjusted(p, method=method)[order], rtol=1e-12)


@pytest.mark.parametrize("method", CORRECTIONS)
def test_shapes_are_kept_and_a_single_test_is_left_alone(rng, method):
    p = rng.random((3, 4, 2))
    np.testing.assert_array_equal(adjusted(p, method=method).ravel(), adjusted(p.ravel(), method=method))
    assert adjusted(np.array([0.03]), method=method) == pytest.approx(0.03)
    assert adjusted(np.empty((0, 3)), method=method).shape == (0, 3)


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_what_is_no_p_value_is_refused(wrong):
    with pytest.raises(ValueProblem, match="between 0 and 1"):
        adjusted(np.array([0.1, wrong]), method="holm")


def test_unknown_method():
    with pytest.raises(UnknownName, match="did you mean 'holm'"):
        adjusted(np.array([0.1]), method="hlm")
