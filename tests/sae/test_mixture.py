"""A frame is drawn as often as its dataset's weight says, and pairs are neighbours in time."""

from itertools import islice

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.sae.batches import epochs
from brainalign.sae.metrics import measure_sae
from brainalign.sae.mixture import Mixture
from brainalign.sae.settings import SaeTraining
from brainalign.sae.stretches import stretches
from brainalign.sae.train import train_sae
from tests.sae.test_stream import numbered
from tests.sae.worlds import as_trajectory, planted


@pytest.fixture
def three():
    """Frames that hold their own number: 0 to 1299, 1300 to 1599 and 1600 to 5999."""
    a, b, c, d = numbered(1000, 300, 300, 4400)
    return Mixture({"a": [a, b], "b": [c], "c": [d]}, {"b": 5.0, "c": 0.25})


def served(stream, n_batches):
    return np.concatenate(list(islice(stream, n_batches)))[:, 0].astype(int)


@pytest.mark.parametrize("n_buffer", [256, 65_536])
def test_shares_are_weight_times_frames(three, n_buffer):
    mass = np.array([1300.0, 5 * 300, 0.25 * 4400])
    assert list(three.shares.values()) == pytest.approx(list(mass / mass.sum()))
    found = served(three.stream(n_batch=500, rng=np.random.default_rng(0), n_buffer=n_buffer), 400)
    counts = np.histogram(found, [0, 1300, 1600, 6000])[0] / len(found)
    # 200,000 frames in runs of 64 are about 3,100 draws: a standard error below 0.009
    np.testing.assert_allclose(counts, mass / mass.sum(), atol=0.03)
    # within a dataset no frame is preferred, those at a trajectory's end included
    each = np.bincount(found, minlength=6000)
    assert each[:1300].mean() == pytest.approx(each[960:1000].mean(), rel=0.1)
    assert each.min() > 0


def test_every_frame_once_before_any_again(three):
    found = served(three.stream(n_batch=200, rng=np.random.default_rng(1), n_buffer=512), 50)
    in_a = found[found < 1300]
    assert len(in_a) > 2600
    # the buffers mix runs of two passes at most
    assert np.bincount(in_a[:1300], minlength=1300).max() <= 2


def test_the_corpus_is_that_of_the_mixture():
    """Scale and mean are those of the frames that training sees, not of the files."""
    one, two = as_trajectory(np.full((900, 4), 1.0)), as_trajectory(np.full((100, 4), 3.0))
    mixture = Mixture({"one": [one], "two": [two]}, {"two": 9})
    settings = SaeTraining(k=2, n_steps=1, n_batch=64, learning_rate=1e-12)
    coder = train_sae(mixture, settings, seed=0)
    assert coder.scale == pytest.approx((4 * (1 + 9) / 2) ** -0.5)
    np.testing.assert_allclose(coder.b_dec / coder.scale, 2.0, rtol=1e-5)
    assert coder.metadata["mixture"] == {"weights": {"one": 1.0, "two": 9.0}, "shares": {"one": 0.5, "two": 0.5}}


def test_mean_sparsity_is_k_on_the_mixture(recipe):
    quiet, loud = planted(0, n_frames=8000).trajectories, planted(1, n_frames=2000).trajectories
    mixture = Mixture({"quiet": quiet, "loud": loud}, {"loud": 8})
    coder = train_sae(mixture, SaeTraining(k=5, expansion=4, n_steps=150, n_batch=256), seed=0)
    shares = mixture.shares
    l0 = sum(shares[name] * measure_sae(coder, items).l0 for name, items in mixture.datasets.items())
    assert l0 == pytest.approx(5, rel=0.02)


def test_equal_weights_are_the_whole_corpus(three):
    plain = Mixture(three.datasets)
    found = served(plain.stream(n_batch=600, rng=np.random.default_rng(0)), 100)
    assert np.mean(found < 1300) == pytest.approx(1300 / 6000, abs=0.02)


def test_pairs_are_neighbours_and_never_cross_an_end():
    trajectories = numbered(130, 1, 369)
    stream = epochs(trajectories, n_batch=62, rng=np.random.default_rng(0), neighbours=True)
    batches = list(islice(stream, 17))
    assert {batch.shape for batch in batches} == {(62, 1)}
    first = np.concatenate([batch[:31, 0] for batch in batches])
    second = np.concatenate([batch[31:, 0] for batch in batches])
    np.testing.assert_array_equal(second - first, 1)
    expected = np.setdiff1d(np.arange(499), [129, 130])
    np.testing.assert_array_equal(np.sort(first[: len(expected)]), expected)


def test_pairs_do_not_jump_over_what_is_masked():
    keep = np.ones(300, dtype=bool)
    keep[100:110] = False
    parts = stretches(numbered(300)[0], keep)
    assert [item.axis.n for item in parts] == [100, 190]
    assert parts[1].axis.t0 - parts[0].axis.t0 == 110 * parts[0].axis.step
    stream = epochs(parts, n_batch=288 * 2, rng=np.random.default_rng(0), neighbours=True)
    first = np.sort(next(stream)[:288, 0])
    np.testing.assert_array_equal(first, np.setdiff1d(np.arange(299), [99, *range(100, 110)]))


@pytest.mark.parametrize("neighbours", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_stream_goes_on_from_any_place(three, mixed, neighbours):
    def fresh(seed):
        rng, options = np.random.default_rng(seed), {"n_batch": 90, "n_buffer": 640, "neighbours": neighbours}
        return three.stream(rng=rng, **options) if mixed else epochs(three.trajectories, rng=rng, **options)

    for n_before in (0, 1, 7, 70):
        stream = fresh(0)
        list(islice(stream, n_before))
        state, expected = stream.state(), list(islice(stream, 80))
        other = fresh(99)
        next(other)
        other.restore(state)
        np.testing.assert_array_equal(list(islice(other, 80)), expected)


def test_refuses_what_cannot_be_mixed():
    one = numbered(10)
    with pytest.raises(UnknownName, match="did you mean 'speech'"):
        Mixture({"speech": one}, {"speach": 1})
    with pytest.raises(ValueProblem, match="weight must be positive"):
        Mixture({"speech": one}, {"speech": 0})
    with pytest.raises(ValueProblem, match=r"empty: \['noise'\]"):
        Mixture({"speech": one, "noise": []})
    with pytest.raises(ValueProblem, match="even size"):
        epochs(one, n_batch=5, rng=np.random.default_rng(0), neighbours=True)
    with pytest.raises(ValueProblem, match="no two frames are neighbours"):
        epochs(numbered(1, 1), n_batch=4, rng=np.random.default_rng(0), neighbours=True)
    with pytest.raises(ShapeMismatch, match=r"int64 \(10,\) for 10 frames"):
        stretches(one[0], np.ones(10, dtype=int))
