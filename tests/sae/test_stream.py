"""Every epoch sees each frame once, in a new order."""

from itertools import islice

import numpy as np
import pytest

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.sae.batches import epochs
from brainalign.sae.stream import survey
from tests.sae.worlds import as_trajectory


def numbered(*lengths: int) -> list:
    """Frames that hold their own number."""
    starts = np.cumsum([0, *lengths])
    return [as_trajectory(np.arange(a, b)[:, None]) for a, b in zip(starts, starts[1:], strict=False)]


@pytest.mark.parametrize("n_buffer", [64, 200, 10_000])
@pytest.mark.parametrize("n_batch", [7, 100, 700])
def test_each_epoch_is_a_new_permutation(n_batch, n_buffer):
    n = 500
    stream = epochs(numbered(130, 1, 369), n_batch=n_batch, rng=np.random.default_rng(0), n_buffer=n_buffer)
    served = list(islice(stream, -(-3 * n // n_batch)))
    assert {len(batch) for batch in served} == {n_batch}
    flat = np.concatenate(served)[: 3 * n, 0].astype(int)
    passes = flat.reshape(3, n)
    for epoch in passes:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(n))
    assert not np.array_equal(passes[0], passes[1])


def test_neighbours_are_parted():
    batch = next(epochs(numbered(5000, 5000), n_batch=1000, rng=np.random.default_rng(0)))[:, 0]
    assert np.mean(np.abs(np.diff(batch)) <= 1) < 0.01
    # a batch comes from all over the corpus
    assert abs(batch.mean() - 5000) < 300
    # and so it does where the corpus does not fit the buffer
    small = next(epochs(numbered(50_000), n_batch=1000, rng=np.random.default_rng(0), n_buffer=2000))[:, 0]
    assert len(np.unique(small // 64)) > 25


def test_same_seed_same_order():
    one, two = (next(epochs(numbered(300), n_batch=50, rng=np.random.default_rng(3))) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_batches_do_not_share_memory_with_the_corpus_or_each_other():
    stream = epochs(numbered(40), n_batch=20, rng=np.random.default_rng(0))
    first, second = next(stream), next(stream)
    assert not np.shares_memory(first, second)
    first[:] = -1
    assert second.min() >= 0


def test_survey_measures_mean_norm_and_variance(rng):
    x = (rng.standard_normal((900, 4)) + [5, 0, -2, 1]).astype(np.float32)
    corpus = survey([as_trajectory(x[:400]), as_trajectory(x[400:])])
    np.testing.assert_allclose(corpus.mean, x.mean(0), rtol=1e-4)
    assert corpus.mean_square_norm == pytest.approx(np.square(x).sum(1).mean(), rel=1e-5)
    assert np.square(x * corpus.scale).sum(1).mean() == pytest.approx(1, rel=1e-5)
    assert corpus.variance == pytest.approx(x.var(0).sum(), rel=1e-4)


def test_survey_refuses_what_cannot_be_learnt_from(make_coder, rng):
    with pytest.raises(ValueProblem, match="at least one trajectory"):
        survey([])
    with pytest.raises(ValueProblem, match="got: 0 frames"):
        survey([as_trajectory(np.zeros((0, 3)))])
    with pytest.raises(ValueProblem, match="not all zero"):
        survey([as_trajectory(np.zeros((5, 3)))])
    with pytest.raises(ShapeMismatch, match=r"widths \[2, 3\]"):
        survey([as_trajectory(np.ones((5, 3))), as_trajectory(np.ones((5, 2)))])
    with pytest.raises(NotFinite, match="1 of 15"):
        survey([as_trajectory(np.where(np.arange(15).reshape(5, 3) == 4, np.inf, 1.0))])
    with pytest.raises(ValueProblem, match="dense frames"):
        survey([make_coder().apply(as_trajectory(rng.standard_normal((5, 6))))])
