"""Onsets come from marks, trigger channels, tables and the file's start; what contradicts itself is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from brainalign.align.build import align
from brainalign.align.grid import outside_spans
from brainalign.align.line import robust_line
from brainalign.align.onsets import (
    clock_from_marks,
    onset_at_start,
    onsets_from_annotations,
    onsets_from_channel,
    onsets_from_table,
    with_onsets,
)
from brainalign.core.errors import GridMismatch, MissingFile, ShapeMismatch, UnknownName, UnreadableFile, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory


def recording(values: np.ndarray, *, rate: int = 100, name: str = "Status", **more: object) -> Recording:
    axis = TimeAxis(rate, len(values), 2)
    return Recording(values[:, None].astype(float), axis, (name,), ("stim",), np.full((1, 3), np.nan), **more)


def test_annotations_are_renamed_and_gathered():
    heard = recording(np.zeros(9), onsets={"S 1": (Fraction(3),), "S 2": (Fraction(1),), "x": (Fraction(0),)})
    assert onsets_from_annotations(heard, {"S 1": "a", "S 2": "a"}) == {"a": (1, 3)}
    with pytest.raises(UnknownName, match=r"lacks some of the annotations[\s\S]*S 1, S 2, x"):
        onsets_from_annotations(heard, {"S 3": "a"})


class TestChannel:
    def test_changes_of_value_are_onsets(self):
        codes = np.zeros(200, dtype=int)
        codes[50:60], codes[60:70], codes[120:125] = 1, 2, 1
        codes += 1 << 16  # what a BioSemi says of its battery
        found = onsets_from_channel(recording(codes), "Status", {1: "a", 2: "b"}, mask=0xFF)
        assert found == {"a": (Fraction(5, 2), Fraction(16, 5)), "b": (Fraction(13, 5),)}

    def test_short_ones_are_passed_over(self):
        codes = np.zeros(200, dtype=int)
        codes[49], codes[50:60] = 1, 3
        assert onsets_from_channel(recording(codes), "Status", {3: "b"}, shortest=0.05) == {"b": (Fraction(5, 2),)}
        with pytest.raises(UnknownName, match=r"never says[\s\S]*seen: 0, 3"):
            onsets_from_channel(recording(codes), "Status", {1: "a"}, shortest=0.05)

    def test_what_is_no_trigger_channel(self):
        with pytest.raises(ValueProblem, match="whole numbers"):
            onsets_from_channel(recording(np.linspace(0, 1, 50)), "Status", {1: "a"})
        with pytest.raises(UnknownName, match="no trigger channel"):
            onsets_from_channel(recording(np.zeros(5)), "STI", {1: "a"})


class TestTable:
    TEXT = "onset\tduration\tsample\ttrial_type\n0.5\t1\t256\ta\n2.25\t1\t1152\tb\n4\tn/a\tn/a\ta\nn/a\t0\t0\tb\n"

    def test_bids(self, tmp_path):
        (tmp_path / "events.tsv").write_text(self.TEXT, encoding="utf-8")
        found = onsets_from_table(tmp_path / "events.tsv", rate=512)
        assert found == {"a": (Fraction(1, 2), Fraction(4)), "b": (Fraction(9, 4),)}

    def test_counting_from_one_is_forgiven_and_another_rate_is_not(self, tmp_path):
        path = tmp_path / "events.tsv"
        path.write_text(self.TEXT.replace("256", "257"), encoding="utf-8")
        assert len(onsets_from_table(path, rate=512)) == 2
        with pytest.raises(GridMismatch, match=r"two times of one event[\s\S]*sample 250"):
            onsets_from_table(path, rate=500)

    def test_what_cannot_be_read(self, tmp_path):
        with pytest.raises(MissingFile, match="no such table"):
            onsets_from_table(tmp_path / "events.tsv")
        (tmp_path / "events.tsv").write_text(self.TEXT, encoding="utf-8")
        with pytest.raises(UnreadableFile, match=r"lacks a column[\s\S]*needed: stim_file"):
            onsets_from_table(tmp_path / "events.tsv", column="stim_file")


def test_the_files_start_is_the_axis_origin():
    heard = recording(np.zeros(9))
    told = with_onsets(heard, onset_at_start(heard, "a"), source="file start")
    assert told.onset("a") == 2
    assert told.provenance.steps[-1].parameters["source"] == "file start"


class TestMarks:
    def test_jittered_marks_give_the_clock(self, rng):
        there = np.sort(rng.uniform(0, 180, 400))
        here = 7.5 + (1 + 60e-6) * there + rng.normal(0, 0.001, 400)
        here[::17] += 0.3  # marks that were missed and pressed late
        clock, line = clock_from_marks(there, here)
        assert abs(float(clock.onset) - 7.5) < 4 * line.intercept_error < 1e-3
        assert abs(float(clock.drift) - 60e-6) < 4 * line.slope_error < 6e-6
        assert not line.used[::17].any()

    def test_marks_of_another_story(self, rng):
        with pytest.raises(ValueProblem, match="do not lie on one clock"):
            clock_from_marks(np.sort(rng.uniform(0, 60, 50)), np.sort(rng.uniform(0, 60, 50)))


class TestLine:
    def test_a_fifth_of_outliers_changes_nothing(self, rng):
        x = np.linspace(0, 10, 50)
        y = 3 - 0.5 * x + rng.normal(0, 0.01, 50)
        clean = robust_line(x, y)
        y[::5] += 10
        line = robust_line(x, y)
        assert line.slope == pytest.approx(clean.slope, abs=3 * clean.slope_error)
        assert line.spread < 0.02

    def test_exact_points_and_many_points(self):
        x = np.arange(1000.0)
        line = robust_line(x, 2 * x + 1)
        assert (line.slope, line.intercept) == pytest.approx((2, 1))
        assert line.used.all()

    def test_standard_errors_cover(self, rng):
        x = np.linspace(0, 1, 30)
        lines = [robust_line(x, rng.normal(0, 1, 30)) for _ in range(400)]
        assert np.std([line.slope / line.slope_error for line in lines]) == pytest.approx(1.05, abs=0.15)

    def test_too_few(self):
        with pytest.raises(ValueProblem, match="at least 3 points"):
            robust_line(np.ones(5), np.ones(5))
        with pytest.raises(ShapeMismatch):
            robust_line(np.arange(5), np.arange(4))


class TestTrials:
    def _eeg(self) -> Recording:
        times = np.arange(6000) / 100
        values = np.sin(2 * np.pi * 3 * times)[:, None] * 1e-5
        return Recording(values, TimeAxis(100, 6000), ("Cz",), ("eeg",), np.zeros((1, 3)))

    def test_every_stimulus_has_a_drift_of_its_own(self):
        features = Trajectory(np.ones((1000, 1), np.float32), TimeAxis(50, 1000), ("x",))
        drifts = {"a": "200/1000000", "b": "-100/1000000"}
        design = align(
            {"a": features, "b": features, "c": features}, self._eeg(), onset={"a": 1, "b": 22, "c": 3}, drift=drifts
        )
        assert [trial.name for trial in design.trials] == ["a", "c", "b"]
        for trial, onset, drift in zip(design.trials, (1, 3, 22), (2e-4, 0, -1e-4), strict=True):
            heard = onset + (1 + drift) * features.axis.times
            np.testing.assert_allclose(trial.y[100:-100, 0], 1e-5 * np.sin(2 * np.pi * 3 * heard)[100:-100], atol=2e-8)
        with pytest.raises(UnknownName, match="drift= names stimuli without features"):
            align({"a": features}, self._eeg(), onset={"a": 1}, drift={"z": 0})

    def test_bad_spans_mask_frames_both_ends_included(self):
        axis = TimeAxis(10, 10, "0.05")
        spans = ((Fraction("0.25"), Fraction("0.45")), (Fraction(-5), Fraction("0.06")), (Fraction(5), Fraction(6)))
        np.testing.assert_array_equal(np.flatnonzero(outside_spans(spans, axis)), [1, 5, 6, 7, 8, 9])
        features = Trajectory(np.ones((1000, 1), np.float32), TimeAxis(50, 1000), ("x",))
        eeg = replace(self._eeg(), bad_spans=((Fraction(11), Fraction(12)),))
        trial = align(features, eeg, onset=10, trim=0.5).trials[0]
        np.testing.assert_array_equal(np.flatnonzero(~trial.mask), np.arange(50, 101) - 25)
