"""Looking roughly first changes no feature, and no frame depends on another."""

import pickle

import numpy as np
import pytest
import torch

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.sae import screened
from brainalign.sae.coder import BLOCK_ROWS
from brainalign.sae.screened import LookInt8, quantised

ROUGH = ["bfloat16", "int8"]


def support(features):
    return set(zip(*features.nonzero(), strict=True))


@pytest.mark.parametrize("screening", ROUGH)
def test_the_features_are_those_of_the_exact_product(trained, truth, screening):
    x = truth.frames[: 2 * BLOCK_ROWS + 100]
    exact, rough = trained.encode(x), trained.encode(x, screening=screening)
    assert rough.shape == exact.shape
    assert rough.dtype == np.float32
    assert rough.has_canonical_format
    assert support(rough) == support(exact)
    np.testing.assert_allclose(rough.toarray(), exact.toarray(), atol=2e-6)


@pytest.mark.parametrize("screening", ROUGH)
def test_thresholds_and_biases_may_differ_from_feature_to_feature(make_coder, rng, screening):
    """Far more than a trained coder's: some features always fire, some are open below zero, some never fire."""
    coder = make_coder(
        d_in=32, d_sae=200, threshold=rng.uniform(-2, 30, 200), b_enc=10 * rng.standard_normal(200), scale=1.0
    )
    x = np.exp(rng.standard_normal((700, 1))) * rng.standard_normal((700, 32))
    x[3] = coder.b_dec  # a frame of zeros once it is centred
    pre = (x - coder.b_dec.astype(float)) @ coder.W_enc.astype(float) + coder.b_enc
    clear = np.abs(pre - np.maximum(coder.threshold, 0)) > 1e-3
    expected = pre > np.maximum(coder.threshold, 0)
    found = coder.encode(x, screening=screening).toarray()
    np.testing.assert_array_equal((found > 0)[clear], expected[clear])
    assert 0.1 < expected.mean() < 0.6


@pytest.mark.parametrize("screening", ROUGH)
def test_a_value_never_depends_on_the_batch(trained, truth, screening):
    x = truth.frames[: 2 * BLOCK_ROWS + 17]
    whole = trained.encode(x, screening=screening)
    for row in (0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 16):
        alone = trained.encode(x[row : row + 1], screening=screening)
        np.testing.assert_array_equal(alone.toarray()[0], whole[[row]].toarray()[0])
    mixed = trained.encode(np.concatenate([100 * x[:5], x[9:10]]), screening=screening)
    np.testing.assert_array_equal(mixed[[5]].toarray(), whole[[9]].toarray())


@pytest.mark.parametrize("screening", ROUGH)
def test_candidates_are_few_and_hold_every_feature(rng, screening):
    """At the sizes of a real coder: 768 inputs."""
    table = rng.standard_normal((1000, 768)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    x = rng.standard_normal((256, 768)).astype(np.float32) / np.sqrt(768)
    x += table[rng.integers(1000, size=256)] * 0.3
    levels = np.full(1000, 0.1, dtype=np.float32)
    look = screened.LOOKS[screening](torch.from_numpy(table), levels)
    found = look.candidates(torch.from_numpy(x))
    truly = np.flatnonzero(x.astype(float) @ table.T.astype(float) > 0.1)
    assert np.isin(truly, found).all()
    assert len(found) < 2.5 * len(truly)


def test_no_frames_and_no_features(make_coder):
    for screening in ROUGH:
        assert make_coder().encode(np.zeros((0, 6)), screening=screening).shape == (0, 20)
        none = make_coder(threshold=1e6).encode(np.ones((3, 6)), screening=screening)
        assert (none.nnz, none.shape) == (0, (3, 20))


def test_steps_of_int8_are_a_row_s_own(rng):
    matrix = torch.from_numpy(rng.standard_normal((5, 40)).astype(np.float32))
    matrix[2] = 0
    whole, steps = quantised(matrix)
    assert whole.dtype == torch.int8
    assert steps[2] == 1
    assert whole.abs().amax(dim=1).tolist() == [127, 127, 0, 127, 127]
    assert ((whole * steps[:, None] - matrix).abs() <= 0.5001 * steps[:, None]).all()


def test_int8_products_that_saturate_are_refused(monkeypatch):
    monkeypatch.setattr(screened, "_positive", lambda left, right, bias: np.zeros((len(left), len(bias)), dtype=bool))
    with pytest.raises(ValueProblem, match="int8 products are not exact"):
        LookInt8(torch.eye(8), np.ones(8, dtype=np.float32))


def test_int8_products_are_exact_up_to_the_comparison(rng):
    frames, table = rng.integers(1, 256, (50, 192)), rng.integers(-127, 128, (70, 192))
    product = (frames - 128) @ table.T
    packed = torch.ops.onednn.qlinear_prepack(torch.from_numpy(table.astype(np.int8)), [50, 192])
    levels = np.median(product, axis=0) + 0.5
    scales = 2.0 ** rng.integers(-6, 6, 70)
    left, right = torch.from_numpy(frames.astype(np.uint8)), (packed, torch.from_numpy(scales).float())
    found = screened._positive(left, right, torch.from_numpy(-levels * scales).float())
    np.testing.assert_array_equal(found, product > levels)
    assert set(np.unique(found.view(np.uint8))) == {0, 1}


def test_quiet_frames_beside_loud_ones_have_no_more_candidates(rng):
    table = rng.standard_normal((300, 256)).astype(np.float32)
    x = rng.standard_normal((64, 256)).astype(np.float32)
    levels = np.full(300, 25.0, dtype=np.float32)
    look = LookInt8(torch.from_numpy(table), levels)
    alone = look.candidates(torch.from_numpy(x))
    mixed = np.concatenate([1e4 * x[:8], x, np.zeros((3, 256), dtype=np.float32), 1e-3 * x])
    found = look.candidates(torch.from_numpy(mixed))
    assert (np.diff(found) > 0).all()
    np.testing.assert_array_equal(found[(found >= 8 * 300) & (found < 72 * 300)] - 8 * 300, alone)
    assert found.max() < 72 * 300
    assert 0.02 < len(alone) / x.size < 0.2


def test_what_is_prepared_stays_here(trained, truth):
    before = len(pickle.dumps(trained))
    trained.encode(truth.frames[:10], screening="bfloat16")
    assert len(pickle.dumps(trained)) <= before + 100
    assert pickle.loads(pickle.dumps(trained)).content == trained.content


def test_errors_name_what_was_got(make_coder):
    with pytest.raises(ValueProblem, match="rule 'top-k'"):
        make_coder(rule="top-k").encode(np.zeros((4, 6)), screening="bfloat16")
    with pytest.raises(UnknownName, match="did you mean 'int8'"):
        make_coder().encode(np.zeros((4, 6)), screening="int")
    with pytest.raises(ShapeMismatch, match=r"got: \(4, 7\)"):
        make_coder().encode(np.zeros((4, 7)), screening="int8")
