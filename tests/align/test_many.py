"""Runs become one design per listener, in order; who heard what is told, and mistakes are named."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

import brainalign as ba
from brainalign.align.build import align
from brainalign.align.many import align_many, join
from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory

FRAMES = TimeAxis(50, 400, "0.01247")


def features(*names):
    rng = np.random.default_rng(len(names))
    values = {
        name: sparse.csr_array(rng.random((400, 5)).astype(np.float32) * (rng.random((400, 5)) < 0.1)) for name in names
    }
    return {name: Trajectory(value, FRAMES, tuple("abcde")) for name, value in values.items()}


def recording(subject, run, onsets, *, channels=("Cz", "Pz"), seed=0):
    values = 1e-5 * np.random.default_rng(seed).standard_normal((128 * 30, len(channels)))
    return Recording(
        values, TimeAxis(128, len(values)), channels, ("eeg",) * len(channels), np.full((len(channels), 3), np.nan),
        onsets={name: (Fraction(time),) for name, time in onsets.items()}, subject=subject, run=run,
    )  # fmt: skip


def test_runs_of_a_listener_are_joined_in_their_order_and_listeners_stay_apart():
    sounds = features("one", "two", "three")
    runs = [
        recording("02", "1", {"one": 2}, seed=1),
        recording("01", "10", {"three": 3}, seed=2),
        recording("01", "2", {"two": 1, "one": 15}, seed=3),
        recording("02", "2", {"two": 4, "cough": 1}, seed=4),
    ]
    found = align_many(sounds, runs, lags=(0.0, 0.2))
    assert [design.subject for design in found] == ["02", "01"]
    assert [[trial.name for trial in design.trials] for design in found] == [["one", "two"], ["two", "one", "three"]]
    alone = align({"three": sounds["three"]}, runs[1], lags=(0.0, 0.2))
    np.testing.assert_array_equal(found[1].trials[2].y, alone.trials[0].y)
    assert all(trial.x.is_sparse for design in found for trial in design.trials)


def test_where_nobody_annotated_the_run_says_what_was_heard():
    sounds = features("audio01", "audio02")
    runs = [recording("01", run, {}, seed=int(run)) for run in ("01", "02")]
    found = ba.align_many(sounds, runs, lags=(0, 0.1), heard=lambda item: {f"audio{item.run}": "1/3"})
    assert [trial.name for trial in found[0].trials] == ["audio01", "audio02"]
    expected = align({"audio02": sounds["audio02"]}, runs[1], lags=(0, 0.1), onset={"audio02": "1/3"})
    np.testing.assert_array_equal(found[0].trials[1].y, expected.trials[0].y)


def test_a_recording_of_none_of_the_stimuli_is_named():
    with pytest.raises(UnknownName, match=r"none of the stimuli was heard in sub-07_run-3[\s\S]*cough"):
        align_many(features("one"), [recording("07", "3", {"cough": 1})])


def test_stimuli_that_nobody_heard_are_named():
    with pytest.raises(UnknownName, match=r"nobody heard[\s\S]*two"):
        align_many(features("one", "two"), [recording("07", "3", {"one": 1})])


def test_no_recordings_are_refused():
    with pytest.raises(ValueProblem, match="no recordings"):
        align_many(features("one"), [])


def test_runs_with_other_channels_are_not_joined():
    sounds = features("one", "two")
    runs = [recording("01", "1", {"one": 1}), recording("01", "2", {"two": 1}, channels=("Cz", "Oz"))]
    with pytest.raises(ShapeMismatch, match=r"same channels[\s\S]*Pz[\s\S]*Oz"):
        align_many(sounds, runs)


def test_one_run_is_a_design_already():
    design = align(features("one"), recording("01", "1", {"one": 1}))
    assert join([design]) is design


def test_one_sound_under_two_names_is_refused_unless_asked():
    sound = features("one")["one"]
    sounds = {"one": sound, "again": replace(sound)}
    run = recording("01", "1", {"one": 1, "again": 15})
    with pytest.raises(ValueProblem, match=r"one sound has two names[\s\S]*'one' and 'again'[\s\S]*same_sound='allow'"):
        align_many(sounds, [run])
    assert len(align_many(sounds, [run], same_sound="allow")[0].trials) == 2
