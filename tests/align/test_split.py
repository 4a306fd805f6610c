"""Training and test never share a sound; blocks never share a frame."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.align.split import content_of, cut, split
from brainalign.core.design import Design, Trial
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.folds import assign_folds

LAGS = Lags(0, 9, 50)


def trial(name, *, n=1000, sound=None, rng):
    seed = abs(hash(name)) if sound is None else sound
    x = Trajectory(np.random.default_rng(seed).random((n, 3), dtype=np.float32), TimeAxis(50, n), ("a", "b", "c"))
    return Trial(name, x, rng.standard_normal((n, 2)), np.ones(n, dtype=bool))


def design(trials):
    return Design(tuple(trials), LAGS, ("Cz", "Pz"), np.full((2, 3), np.nan), subject="01")


def test_a_split_keeps_all_hearings_of_a_story_on_one_side(rng):
    names = ["one", "two", "one", "three"]
    sounds = {name: i for i, name in enumerate(("one", "two", "three"))}
    train, test = split(design([trial(name, sound=sounds[name], rng=rng) for name in names]), test=["one"])
    assert [t.name for t in train.trials] == ["two", "three"]
    assert [t.name for t in test.trials] == ["one", "one"]
    assert test.provenance.steps[-1].parameters == {"trials": ["one", "one"]}


def test_a_sound_with_two_names_is_found_by_its_content(rng):
    whole = design([trial("one", sound=1, rng=rng), trial("copy", sound=1, rng=rng), trial("two", sound=2, rng=rng)])
    with pytest.raises(ValueProblem, match=r"'one' and 'copy' have the same features"):
        split(whole, test=["copy"])
    train, test = split(whole, test=["copy"], same_sound="allow")
    assert content_of(train.trials[0].x) == content_of(test.trials[0].x) != content_of(train.trials[1].x)


def test_content_is_of_sparse_features_too(rng):
    from scipy import sparse

    dense = trial("one", sound=1, rng=rng).x
    csr = replace(dense, values=sparse.csr_array(dense.values))
    assert content_of(csr) == content_of(replace(csr)) != content_of(dense)


@pytest.mark.parametrize(("test", "told"), [(["four"], "no such stimuli"), ([], "both sides"), (["one"], "both sides")])
def test_what_cannot_be_held_out_is_told(rng, test, told):
    with pytest.raises((UnknownName, ValueProblem), match=told):
        split(design([trial("one", sound=1, rng=rng)]), test=test)


def test_blocks_keep_the_lag_window_between_them_and_every_frame_stands_in_one(rng):
    whole = design([trial("long", n=3000, sound=1, rng=rng)])
    blocks = cut(whole, seconds=10).trials
    assert [b.name for b in blocks] == [f"long [{i}]" for i in range(6)]
    starts = [round(float(b.axis.t0 * 50)) for b in blocks]
    assert starts == [0, 509, 1018, 1527, 2036, 2545]
    assert [b.axis.n for b in blocks] == [500] * 5 + [455]
    for start, block in zip(starts, blocks, strict=True):
        stop = start + block.axis.n
        np.testing.assert_array_equal(block.y, whole.trials[0].y[start:stop])
        np.testing.assert_array_equal(block.x.values, whole.trials[0].x.values[start:stop])
    assert assign_folds([b.name for b in blocks], 3).tolist() == [0, 1, 2, 0, 1, 2]


def test_a_story_heard_twice_has_the_same_blocks_twice(rng):
    whole = design([trial("long", n=1000, sound=1, rng=rng), trial("long", n=1000, sound=1, rng=rng)])
    assert [b.name for b in cut(whole, seconds=8, gap=1).trials] == ["long [0]", "long [1]"] * 2


@pytest.mark.parametrize(("seconds", "told"), [(0.3, "two lag windows"), (60, "no trial holds a block")])
def test_blocks_that_make_no_sense_are_refused(rng, seconds, told):
    with pytest.raises(ValueProblem, match=told):
        cut(design([trial("one", sound=1, rng=rng)]), seconds=seconds)
