"""Which components stay: by brute force, and against SciPy's non-negative least squares."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

from brainalign.core.errors import UnknownName, ValueProblem


@pytest.fixture
def plus(make_coder, rng):
    """A coder of 12 non-negative unit rows in 20 inputs, that encodes by least squares."""
    rows = rng.random((12, 20)) * (rng.random((12, 20)) < 0.4) + 0.01
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    parts = {"W_enc": rows.T, "W_dec": rows, "b_enc": np.zeros(12), "b_dec": np.zeros(20), "scale": 1.0}
    return make_coder(20, 12, **parts, threshold=0.0, k=12, rule="non-negative")


def test_the_k_farthest_from_zero_keep_their_sign(make_coder, rng):
    coder, x = make_coder(rule="signed-top-k"), rng.standard_normal((600, 6)).astype(np.float32)
    pre = np.concatenate([block.copy() for block in coder.pre_activations(x)])
    kept = np.argsort(-np.abs(pre), axis=1)[:, : coder.k]
    expected = np.zeros_like(pre)
    np.put_along_axis(expected, kept, np.take_along_axis(pre, kept, axis=1), axis=1)
    np.testing.assert_array_equal(coder.encode(x).toarray(), expected)
    assert (expected < 0).any()


def test_weights_are_those_of_non_negative_least_squares(plus, rng):
    x = rng.standard_normal((40, 20)).astype(np.float32) + 0.5
    found = plus.encode(x).toarray()
    expected = np.array([nnls(plus.W_dec.T.astype(np.float64), row.astype(np.float64))[0] for row in x])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert (found > 0).sum() < 0.8 * found.size


def test_the_largest_weights_are_fitted_again(plus, rng):
    few, x = replace(plus, k=3), rng.random((40, 20)).astype(np.float32)
    found, everything = few.encode(x).toarray(), plus.encode(x).toarray()
    assert (found > 0).sum(axis=1).max() == 3
    for row, weights, whole in zip(x, found, everything, strict=True):
        chosen = np.sort(np.argsort(-whole, kind="stable")[:3])
        again, _ = nnls(plus.W_dec[chosen].T.astype(np.float64), row.astype(np.float64))
        np.testing.assert_allclose(weights[chosen], again, atol=2e-3)


@pytest.mark.parametrize("rule", ["signed-top-k", "non-negative"])
def test_a_frame_needs_no_other_frame(plus, make_coder, rng, rule):
    coder = plus if rule == "non-negative" else make_coder(20, 12, rule=rule)
    coder = replace(coder, k=5)
    x = rng.standard_normal((530, 20)).astype(np.float32)
    whole = coder.encode(x).toarray()
    for start, stop in ((0, 1), (511, 513), (520, 530)):
        np.testing.assert_array_equal(coder.encode(x[start:stop]).toarray(), whole[start:stop])


def test_a_rule_that_counts_needs_a_k(make_coder):
    with pytest.raises(ValueProblem, match="k=0"):
        make_coder(k=0, rule="signed-top-k")
    with pytest.raises(UnknownName, match="did you mean 'signed-top-k'"):
        make_coder(rule="signed-topk")
