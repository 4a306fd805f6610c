"""Does the demonstration, run as a newcomer runs it, find what was planted and little else?"""

import json
import subprocess

import pytest

from tests.study.worlds import SUMMARY_KEYS, in_terminal


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[subprocess.CompletedProcess, dict, str]:
    out = tmp_path_factory.mktemp("demo") / "out"
    ended = in_terminal("demo", "--quick", "--out", out, "--jobs", 2)
    assert ended.returncode == 0, ended.stderr
    return ended, json.loads((out / "summary.json").read_text("utf-8")), (out / "report.html").read_text("utf-8")


def test_the_numbers_are_all_there(demo):
    _, summary, _ = demo
    assert set(SUMMARY_KEYS) <= summary.keys()
    assert summary["seconds"] > 0
    assert summary["n_decoys"] == summary["n_candidates"] / 2
    assert len(summary["planted"]) == 3


def test_what_was_planted_is_found_where_and_when_it_was_planted(demo):
    _, summary, _ = demo
    assert summary["sensitivity"] >= 0.8
    assert summary["sensitivity"] == sum(row["found"] for row in summary["planted"]) / len(summary["planted"])
    for row in summary["planted"]:
        if row["found"]:
            assert row["sensor"] in row["sensors"]
            assert row["p_corrected"] <= summary["level"]
            assert abs(row["latency_error_ms"]) <= 20
    assert summary["latency_error_ms"] == max(
        abs(row["latency_error_ms"]) for row in summary["planted"] if row["found"]
    )


def test_hardly_a_decoy_is_among_the_discoveries(demo):
    _, summary, _ = demo
    assert summary["found"]
    assert summary["decoy_share"] <= 0.05
    decoys = [row for row in summary["found"] if row["feature"].startswith("decoy of ")]
    assert len(decoys) == summary["n_decoys_found"]


def test_a_planted_feature_adds_more_than_its_followers(demo):
    _, summary, _ = demo
    ranks = sorted(row["unique_rank"] for row in summary["planted"] if row["found"])
    assert ranks[0] == 1
    assert ranks[-1] <= 2 * len(ranks)


def test_the_terminal_says_it_in_four_lines_and_where_to_look(demo):
    ended, summary, _ = demo
    *lines, report, numbers = ended.stdout.splitlines()
    assert lines == summary["headline"]
    assert report.startswith("report: ")
    assert report.endswith("report.html")
    assert numbers.endswith("summary.json")


def test_the_page_says_the_same(demo):
    _, summary, page = demo
    assert f"{len(summary['found'])} of {summary['n_candidates']}" in page
    assert f"{summary['latency_error_ms']:.1f} ms" in page.replace("\u00a0", " ")
    for row in summary["planted"]:
        assert row["feature"] in page
