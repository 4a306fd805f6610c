"""One frame's features depend on that frame, and the formula is the one written down."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.artefact import Packable, read_artefact, write_artefact
from brainalign.core.errors import NotFinite, ShapeMismatch, UnknownName, ValueProblem
from brainalign.sae.coder import BLOCK_ROWS, SparseCoder


def test_encode_is_the_formula(make_coder, rng):
    coder = make_coder(threshold=rng.standard_normal(20))
    x = rng.standard_normal((50, 6)).astype(np.float32)
    pre = (coder.scale * x.astype(float) - coder.b_dec) @ coder.W_enc + coder.b_enc
    expected = np.where((pre > coder.threshold) & (pre > 0), pre, 0)
    features = coder.encode(x)
    assert isinstance(features, sparse.csr_array)
    assert features.dtype == np.float32
    assert features.has_canonical_format
    np.testing.assert_allclose(features.toarray(), expected, atol=1e-5)


def test_a_hand_worked_example():
    coder = SparseCoder(
        W_enc=[[1, 0, -1], [0, 2, 0]],
        b_enc=[0, -1, 0],
        W_dec=[[1, 0], [0, 0.5], [-1, 0]],
        b_dec=[1, 0],
        threshold=1.0,
        scale=2.0,
        k=1,
    )
    # scaled: (4, 2); off the bias: (3, 2); pre: (3, 3, -3); both positive ones exceed 1
    np.testing.assert_array_equal(coder.encode(np.array([[2.0, 1.0]])).toarray(), [[3, 3, 0]])
    # decoded: (3, 1.5) + (1, 0) = (4, 1.5), in the input's units half of it
    np.testing.assert_array_equal(coder.reconstruct(np.array([[2.0, 1.0]])), [[2, 0.75]])


def test_a_value_never_depends_on_the_batch(trained, truth, rng):
    x = truth.frames[: 3 * BLOCK_ROWS + 17]
    whole = trained.encode(x)
    for row in (0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, 3 * BLOCK_ROWS + 16):
        alone = trained.encode(x[row : row + 1])
        np.testing.assert_array_equal(alone.toarray()[0], whole[[row]].toarray()[0])
    order = rng.permutation(len(x))
    np.testing.assert_array_equal(trained.encode(x[order]).toarray(), whole.toarray()[order])


def test_top_k_rule_keeps_the_largest_positive_of_each_row(make_coder, rng):
    coder = make_coder(rule="top-k", k=3)
    x = rng.standard_normal((40, 6))
    dense = make_coder_dense(coder, x)
    features = coder.encode(x).toarray()
    for row, pre in zip(features, dense, strict=True):
        expected = np.zeros_like(pre)
        top = np.argsort(-pre)[:3]
        expected[top] = np.maximum(pre[top], 0)
        np.testing.assert_allclose(row, expected, atol=1e-5)


def make_coder_dense(coder, x):
    return (coder.scale * x - coder.b_dec) @ coder.W_enc + coder.b_enc


def test_nothing_in_nothing_out(make_coder):
    coder = make_coder()
    assert coder.encode(np.zeros((0, 6))).shape == (0, 20)
    assert coder.decode(coder.encode(np.zeros((0, 6)))).shape == (0, 6)
    silent = make_coder(threshold=1e9)
    assert silent.encode(np.ones((3, 6))).nnz == 0
    np.testing.assert_allclose(silent.reconstruct(np.ones((3, 6))), np.tile(silent.b_dec / 0.7, (3, 1)), rtol=1e-6)


def test_content_follows_what_decides_a_value(make_coder):
    coder = make_coder()
    assert replace(coder, metadata={"layer": 3}).content == coder.content
    assert replace(coder, scale=0.8).content != coder.content
    assert replace(coder, threshold=coder.threshold + 1).content != coder.content


def test_round_trip_through_the_disk_keeps_every_bit(make_coder, tmp_path):
    coder = make_coder(metadata={"layer": 9, "rate": "50"}, threshold=np.nan)
    assert isinstance(coder, Packable)
    write_artefact(coder.pack(), tmp_path / "coder")
    back = SparseCoder.unpack(read_artefact(tmp_path / "coder"))
    assert back.content == coder.content
    assert back.metadata == coder.metadata
    assert back.needs_calibration


def test_survives_the_trip_to_a_worker(make_coder):
    coder = make_coder()
    assert pickle.loads(pickle.dumps(coder)).content == coder.content
    json.dumps(coder.metadata)


def test_arrays_cannot_be_written_through(make_coder):
    with pytest.raises(ValueError, match="read-only"):
        make_coder().W_dec[0] = 0


def test_errors_name_what_was_got(make_coder):
    with pytest.raises(ShapeMismatch, match=r"got: \(4, 7\)"):
        make_coder().encode(np.zeros((4, 7)))
    with pytest.raises(NotFinite, match="frames 0 to 3 holds"):
        make_coder().encode(np.full((4, 6), np.nan))
    with pytest.raises(ValueProblem, match=r"fix: calibrate\(coder, trajectory\)"):
        make_coder(threshold=np.nan).encode(np.zeros((4, 6)))
    with pytest.raises(ShapeMismatch, match=r"got: \(2, 3\)"):
        make_coder().decode(sparse.csr_array((2, 3)))
    with pytest.raises(ShapeMismatch, match="b_dec must have shape"):
        make_coder(b_dec=np.zeros(5))
    with pytest.raises(NotFinite, match="W_enc"):
        make_coder(W_enc=np.full((6, 20), np.inf))
    with pytest.raises(ValueProblem, match="k=21, d_sae=20"):
        make_coder(k=21)
    with pytest.raises(ValueProblem, match="input scale"):
        make_coder(scale=0.0)
    with pytest.raises(UnknownName, match="did you mean 'top-k'"):
        make_coder(rule="topk")
