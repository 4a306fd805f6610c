"""Stimulus beside response, trials kept apart."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.design import Design, Trial
from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.core.time import Lags


def test_what_a_trial_refuses(dense_trajectory):
    x, y, mask = dense_trajectory, np.zeros((20, 3)), np.ones(20, bool)
    with pytest.raises(ShapeMismatch, match="y must be frames by channels"):
        Trial("a", x, y[:, 0], mask)
    with pytest.raises(ShapeMismatch, match=r"(?s)y of trial 'a'.*got: \(19, 3\)"):
        Trial("a", x, y[1:], mask)
    with pytest.raises(ShapeMismatch, match="mask of trial 'a'"):
        Trial("a", x, y, mask[1:])
    with pytest.raises(NotFinite, match=r"(?s)response of trial 'a'.*first at \(7, 2\)"):
        Trial("a", x, np.where(np.arange(60).reshape(20, 3) == 23, np.nan, 0), mask)


@pytest.mark.parametrize("which", ["dense_trajectory", "sparse_trajectory"])
def test_a_model_that_overflowed_is_noticed(request, which):
    x = request.getfixturevalue(which)
    broken = x.values.copy()
    (broken if isinstance(broken, np.ndarray) else broken.data)[:1] = np.inf
    with pytest.raises(NotFinite, match="the features of trial 'a'"):
        Trial("a", replace(x, values=broken), np.zeros((20, 3)), np.ones(20))


def test_the_callers_arrays_are_neither_changed_nor_frozen(dense_trajectory, positions):
    y, mask = np.zeros((20, 3)), np.ones(20, bool)
    trial = Trial("a", dense_trajectory, y, mask)
    design = Design((trial,), Lags(0, 3, 50), ("a", "b", "c"), positions)
    assert y.flags.writeable
    assert mask.flags.writeable
    assert positions.flags.writeable
    assert not any(array.flags.writeable for array in (trial.y, trial.mask, design.positions))


def test_what_a_design_refuses(design, trials, positions):
    with pytest.raises(ValueProblem, match="at least one trial"):
        replace(design, trials=())
    with pytest.raises(ValueProblem, match=r"(?s)lags at 64 Hz, trial 'story' at 50 Hz.*Lags\.from_seconds"):
        replace(design, lags=Lags(0, 3, 64))
    with pytest.raises(ShapeMismatch, match="channels of 'story'"):
        replace(design, channels=("Fz", "Cz"), positions=positions[:2])
    with pytest.raises(ShapeMismatch, match="positions must have shape"):
        replace(design, positions=positions[:2])
    odd = replace(trials[1], x=trials[1].x.renamed("abcd"))
    with pytest.raises(ShapeMismatch, match=r"(?s)same features.*trial 'poem' differs from 'story'"):
        replace(design, trials=(trials[0], odd))
    with pytest.raises(ValueProblem, match=r"(?s)band 'low' names columns that do not exist.*\[4\] of 4"):
        replace(design, bands={"low": (0, 4)})


def test_frames_that_may_be_used_are_counted(design):
    assert design.n_frames == sum(int(trial.mask.sum()) for trial in design.trials) < 48


def test_select_keeps_trials_apart_and_drops_bands(design):
    part = design.select(np.array([2, 0]))
    assert part.features == ("f2", "f0")
    assert part.bands == {}
    assert [trial.name for trial in part.trials] == ["story", "poem", "story"]
    assert [trial.x.is_sparse for trial in part.trials] == [False, True, False]
    for one, other in zip(part.trials, design.trials, strict=True):
        np.testing.assert_array_equal(one.x.block(0, 2), other.x.block(0, 4)[:, [2, 0]])
        assert np.shares_memory(one.y, other.y)


def test_every_trial_keeps_its_own_history(design):
    back = Design.unpack(design.pack())
    assert [len(trial.x.provenance.steps) for trial in back.trials] == [1, 1, 2]
