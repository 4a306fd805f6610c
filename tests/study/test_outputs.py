"""What a finished study hands over: numbers that agree with its results, and a page that shows them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.result import EncodingResult
from brainalign.core.trajectory import Trajectory
from brainalign.mapping import group_score
from brainalign.pipeline import pages
from brainalign.pipeline.execute import execute
from brainalign.pipeline.findings import shown
from brainalign.pipeline.outputs import Results, summarise, write_outputs
from brainalign.report.page import Page, render
from tests.report.browser import look, needs_browser
from tests.report.test_page import Outline
from tests.study import worlds


@pytest.fixture(scope="module")
def nothing_found(tiny, tmp_path_factory):
    """The tiny study with responses a thousand times too weak, at the strictest level of 59 permutations."""
    faint = {"listeners__planting__microvolts": 0.001, "test__n_permutations": 59, "test__level": 1 / 60}
    study = worlds.tiny(tmp_path_factory.mktemp("faint") / "out", **faint)
    store = worlds.twin(tiny.store, study.store_folder)
    execute(study.plan, store, n_jobs=2)
    return study, write_outputs(study, store)


def test_the_tiny_study_finds_what_was_planted(tiny):
    summary = tiny.summary
    assert set(worlds.SUMMARY_KEYS) <= summary.keys()
    assert summary["sensitivity"] == 1.0
    assert summary["n_decoys_found"] <= 1
    assert summary["latency_error_ms"] < 20


def test_numbers_are_the_results(tiny):
    summary, test = tiny.summary, tiny.results.test
    assert summary["n_candidates"] == len(test.features)
    significant = {name for name, p in zip(test.features, test.p_corrected.min(axis=1), strict=True) if p <= 0.05}
    assert {row["candidate"] for row in summary["found"]} == significant
    score = group_score([EncodingResult.unpack(item) for item in tiny.results.all("map")])
    for row in summary["found"]:
        assert row["r"] == score[test.features.index(row["candidate"]), test.channels.index(row["channel"])]
    assert [row["z"] for row in summary["found"]] == sorted((row["z"] for row in summary["found"]), reverse=True)


def test_the_page_shows_every_section_and_only_pictures_it_carries(tiny):
    outline = Outline(tiny.report.read_text("utf-8"))
    ids = [attrs["id"] for attrs in outline.all("section")]
    assert len(ids) == 10
    assert len(outline.all("img")) == 7
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in outline.all("img"))
    for name in worlds.tiny_values()["listeners"]["planting"]:
        assert name in outline.text


def test_no_path_of_this_machine_is_told(tiny):
    text = tiny.report.read_text("utf-8") + (tiny.study.out_folder / "summary.json").read_text("utf-8")
    for place in (str(tiny.study.out_folder), str(worlds.ROOT), str(tiny.study.out_folder.parents[2])):
        assert place not in text


def test_nothing_found_is_a_result_too(tiny, nothing_found):
    study, summary = nothing_found
    assert summary["found"] == []
    assert (summary["sensitivity"], summary["decoy_share"], summary["latency_error_ms"]) == (0.0, 0.0, None)
    assert summary["headline"][0].startswith("0 of ")
    assert json.loads((study.out_folder / "summary.json").read_text("utf-8")) == json.loads(json.dumps(summary))
    outline = Outline((study.out_folder / "report.html").read_text("utf-8"))
    assert "The answer" in outline.text
    assert not {"where", "when", "all-discoveries"} & {attrs["id"] for attrs in outline.all("section")}


def test_without_decoys_no_share_of_errors_is_claimed(tiny):
    verdict = {**tiny.results.verdict, "n_decoys": 0, "n_decoys_found": 0}
    results = Results(tiny.study, tiny.store)
    results.__dict__["verdict"] = verdict
    summary = summarise(results, seconds=None)
    assert summary["decoy_share"] is None
    assert not any("decoy" in line for line in summary["headline"])
    section = render(Page("t", sections=(pages._answer(results, summary),))).partition("<body>")[2]
    assert "planted features found" in section
    assert "decoys" not in section


def test_a_report_written_again_keeps_the_seconds_of_the_work(tiny, tmp_path):
    study = worlds.tiny(tmp_path / "out", store=tiny.study.store_folder)
    assert write_outputs(study, tiny.store)["seconds"] is None
    assert write_outputs(study, tiny.store, seconds=12.34)["seconds"] == 12.3
    assert write_outputs(study, tiny.store)["seconds"] == 12.3
    assert [path.name for path in sorted(study.out_folder.iterdir())] == ["report.html", "summary.json"]


def test_the_excerpt_is_of_one_story_in_whatever_order_they_were_heard(tiny, monkeypatch):
    drawn = {}
    monkeypatch.setattr(pages, "stimulus_to_brain", lambda **strands: drawn.update(strands))
    results = Results(tiny.study, tiny.store)
    backwards = [replace(design, trials=design.trials[::-1]) for design in results.designs]
    results.__dict__["designs"] = backwards
    pages._excerpt(results)
    trial = backwards[0].trials[-1]
    candidates = Trajectory.unpack(results.one("candidates[story-01]"))
    assert trial.name == "story-01"
    rows = [candidates.features.index(name) for name in shown(results)]
    expected = trial.x.select(np.array(rows)).block(0, len(rows))
    np.testing.assert_array_equal(drawn["features"].values, expected)
    # All strands are of one sound: its features are active where its envelope is.
    assert drawn["waveform"].times[-1] == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize(
    ("first", "last", "window"),
    [(2.0, 58.0, (8.0, 14.0)), (1.0, 9.0, (3.0, 9.0)), (2.0, 7.0, (2.0, 7.0)), (10.0, 30.0, (10.0, 16.0))],
)
def test_the_excerpt_lies_inside_its_story(first, last, window):
    assert pages._window(first, last) == window


@needs_browser
def test_a_browser_shows_every_picture_and_complains_of_nothing(tiny, tmp_path):
    seen = look(tiny.report, tmp_path)
    assert seen.complaints == []
    assert seen.pictures == seen.shown == 7
    assert seen.broken == 0


@needs_browser
def test_a_browser_shows_a_page_without_discoveries(nothing_found, tmp_path):
    seen = look(nothing_found[0].out_folder / "report.html", tmp_path)
    assert seen.complaints == []
    assert seen.pictures == seen.shown > 0
