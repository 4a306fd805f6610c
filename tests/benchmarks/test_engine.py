"""Does the benchmark of the engine run, compare before it times, and tell what is missing?"""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import engine
from benchmarks._engine_cost import slope
from benchmarks._engine_data import QUICK, Data, read_data, write_data
from benchmarks._engine_flops import joint_counts, map_counts, rotation_counts, scoring_flops, training_sets
from benchmarks._engine_job import Job, Measured, measure, run_job
from benchmarks._engine_rows import Bench, differences
from benchmarks._engine_versus import peers, penalties_for
from benchmarks._report import table, verdicts

TINY = replace(
    QUICK, seconds=100, n_channels=3, n_lags=12, n_penalties=3, n_joint=2, n_single=2, n_rotations=20, n_slice=2,
    himalaya_frames=256,
)  # fmt: skip
PEERS = ("mtrf", "sklearn", "mne", "himalaya", "fftrf", "eelbrain")


@pytest.fixture(scope="module")
def report():
    said = []
    found = engine.run(TINY, tasks=("joint", "rotations", "layer"), say=said.append)
    return found | {"said": "\n".join(said)}


def rows_of(report, task):
    return [row for row in report["rows"] if row["task"] == task]


def test_the_report_is_json_and_says_on_what_and_with_what(report):
    again = json.loads(json.dumps({k: v for k, v in report.items() if k != "said"}, allow_nan=False))
    assert {"claims", "rows", "size", "machine", "versions", "date"} <= set(again)
    assert {"processor", "cores", "blas", "load_at_start"} <= set(again["machine"])
    assert {"numpy", "mtrf", "mne", "himalaya", "fftrf", "eelbrain"} <= set(again["versions"])
    assert all({"name", "value", "unit", "target", "ok"} == set(claim) for claim in again["claims"])


def test_whoever_does_the_same_mathematics_finds_the_same(report):
    same = [claim for claim in report["claims"] if claim["unit"] == "largest difference"]
    assert len(same) == 4 + 5 + 1
    assert [claim for claim in same if claim["ok"] is False] == []


def test_times_are_shown_but_not_judged_at_a_small_size(report):
    timed = [claim for claim in report["claims"] if claim["unit"] != "largest difference"]
    assert {claim["ok"] for claim in timed} == {None}
    assert any("mtrf refits" in claim["name"] and claim["value"] is not None for claim in timed)


def test_every_peer_has_its_row_with_time_memory_and_what_was_left_out(report):
    rows = rows_of(report, "joint")
    assert len(rows) == 4 + len(PEERS)
    for row in rows:
        assert row.get("problem") == "not installed" or (row["core_s"] > 0 and row["wall_s"] > 0 and row["peak_mb"] > 0)
    told = {row["who"]: row.get("problem") or row["note"] for row in rows}
    assert "extrapolated from 2 of 3 penalties" in told["scikit-learn Ridge, lag matrices"]
    assert all("extrapolated" in row["note"] for row in rows_of(report, "layer"))


def test_agreement_stands_before_times_in_the_table(report):
    head = next(line for line in report["said"].splitlines() if line.startswith("who"))
    assert head.index("max diff r") < head.index("core-s")


def test_the_same_report_becomes_a_page_of_markdown(report):
    page = engine.markdown(report)
    assert page.count("| --- |") >= 3
    assert "| claim | value | target | holds |" in page
    assert "(a) One model" in page


def test_what_is_not_installed_is_told_and_judges_nothing(tmp_path):
    bench = Bench(replace(TINY, judged=True), tmp_path)
    found = bench.measure("_engine_own:speed", needs="no_such_package_at_all")
    row = bench.add("joint", "nobody", found)
    bench.agree("joint: nobody finds the same", row, 1e-8)
    bench.ratio("joint: nobody takes", row, {"core_s": 1.0}, at_least=15)
    assert "not installed" in table([row])
    assert [claim["ok"] for claim in bench.claims] == [None, None]


def test_what_fails_is_told_and_fails_its_claims(tmp_path):
    bench = Bench(replace(TINY, judged=True), tmp_path)
    row = bench.add("joint", "somebody", bench.measure("_engine_own:speed", options={"wrong": 1}))
    bench.agree("joint: somebody finds the same", row, 1e-8)
    bench.ratio("joint: somebody takes", row, {"core_s": 1.0}, at_least=15)
    assert row["problem"].startswith("failed: TypeError")
    assert [claim["ok"] for claim in bench.claims] == [False, False]
    assert "FAIL joint: somebody finds the same" in verdicts(bench.claims)


def test_a_fast_peer_that_disagrees_makes_no_ratio_good(tmp_path):
    bench = Bench(replace(TINY, judged=True), tmp_path)
    one, other = (Measured(core_s=s, arrays={"r": np.array([r])}) for s, r in ((1.0, 0.3), (100.0, 0.4)))
    row = bench.add("joint", "somebody", other, **differences(one, other))
    bench.agree("joint: somebody finds the same", row, 1e-8)
    bench.ratio("joint: somebody takes", row, {"core_s": 1.0}, at_least=15)
    assert row["r_difference"] == pytest.approx(0.1)
    assert [claim["ok"] for claim in bench.claims] == [False, False]


def test_missing_numbers_of_ours_are_no_agreement():
    ours, theirs = (Measured(arrays={"r": np.array(values)}) for values in ([np.nan, 0.1], [0.1, 0.1]))
    assert math.isnan(differences(ours, theirs)["r_difference"])
    assert differences(theirs, ours)["r_difference"] == 0


def test_peak_memory_is_what_was_allocated_above_the_data(tmp_path):
    options = {"n": 1400, "rows": 8, "columns": 64}
    found = run_job(Job("_engine_own:speed", options=options), tmp_path)
    # Three matrices of doubles, 47 MB; those of single precision have gone by then, or not yet.
    assert 45 < found.above_mb < 110
    assert found.peak_mb > found.above_mb
    assert found.core_s > 0.1


def test_a_slice_is_extrapolated_without_what_is_needed_once(tmp_path):
    place = write_data(tmp_path, TINY, n_features=2)
    penalties = penalties_for(TINY, "absolute")
    options = {"penalties": penalties, "n_measured": 1}
    found = measure(Job("_engine_peers:sklearn", str(place), options=options))
    assert found.part == pytest.approx((1 * 5 + 1) / (3 * 5 + 1))
    assert found.runs[0] < found.core_s < found.runs[0] / found.part * 1.001


def test_data_are_the_same_every_time_and_can_be_read_in_part(tmp_path):
    one, two = (write_data(tmp_path / name, TINY, n_features=3) for name in ("one", "two"))
    assert (one / "y.npy").read_bytes() == (two / "y.npy").read_bytes()
    part = read_data(one, n_features=2, n_channels=1, n_frames=300)
    assert [item.shape for item in part.x] == [(300, 2)] * 5
    assert [item.shape for item in part.y] == [(300, 1)] * 5
    assert isinstance(part, Data)
    uneven = read_data(write_data(tmp_path, TINY, n_features=3, density=0.1, uneven=True))
    lengths = [len(item) for item in uneven.y]
    assert len(set(lengths)) > 6
    assert sum(lengths) == TINY.frames * TINY.n_trials


def test_penalties_are_one_ridge_in_every_convention():
    absolute, mtrf = (np.array(penalties_for(TINY, name)) for name in ("absolute", "mtrf"))
    np.testing.assert_allclose(mtrf * 64 * (TINY.n_trials - 1), absolute)
    assert [peer.package for peer in peers(TINY)] == list(PEERS)


def test_operations_by_hand():
    assert training_sets(3) == (6, 9)
    small = replace(TINY, n_lags=2, n_penalties=1, n_trials=3)
    # One row per half: project 16, and per scoring held 10, bend 12, gains 12, the rest 6.
    assert scoring_flops(small, parts=2) == 6 * 16 + 9 * (10 + 12 + 12 + 6)
    for counts in (rotation_counts(TINY), map_counts(TINY), joint_counts(TINY)):
        assert all(value > 0 for value in counts.stages.values())
    twice = replace(TINY, n_rotations=2 * TINY.n_rotations + 1)
    assert rotation_counts(twice).stages["scores"] == 2 * rotation_counts(TINY).stages["scores"]


def test_the_slope_of_what_grows_in_proportion_is_one():
    assert slope([1, 2, 4], [0.3, 0.6, 1.2]) == pytest.approx(1)
    assert math.isnan(slope([1, 2, 4], [0.3, math.nan, 1.2]))


@pytest.mark.slow
def test_the_quick_form_runs_every_task_in_under_a_minute(quick_form):
    report, page = quick_form("engine", timeout=120)
    assert {row["task"] for row in report["rows"]} == set(engine.TASKS)
    assert "| claim | value |" in page
