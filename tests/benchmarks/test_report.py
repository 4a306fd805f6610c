"""What all benchmarks share: files that are kept and shown again, exit codes, tables, and tasks told of as they end."""

import doctest
import json
from types import SimpleNamespace

import pytest

from benchmarks import _report
from benchmarks._engine_machine import versions
from benchmarks._report import conduct, findings, page_of_tasks, parser, run_tasks, simulation_parser, verdicts

TASKS = {"one": ("(a) One", lambda found: found.rows.append({"task": "one", "who": "we", "core_s": 2.0}))}


def claim(ok):
    return {"name": "it holds", "value": 0.123456, "unit": "s", "target": "at most 1", "ok": ok}


def report(ok=True):
    here = {"processor": "a processor", "warning": "busy"}
    return findings([claim(ok)], [{"task": "one", "who": "we"}], size={}, here=here, known={"python": "3"})


def page(kept):
    return page_of_tasks(kept, TASKS, how="one thread")


def test_examples():
    assert doctest.testmod(_report) == doctest.TestResults(failed=0, attempted=2)


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (None, 0), (False, 1)])
def test_a_claim_that_does_not_hold_fails_the_run_and_not_its_page(tmp_path, capsys, ok, code):
    path = tmp_path / "kept.json"
    with pytest.raises(SystemExit) as left:
        conduct(parser("about", quick="quick").parse_args(["--json", str(path)]), lambda: report(ok), markdown=page)
    assert int(left.value.code) == code
    assert capsys.readouterr().out == verdicts([claim(ok)]) + "\n"
    assert json.loads(path.read_text(encoding="utf-8")) == report(ok)
    with pytest.raises(SystemExit) as left:
        conduct(parser("about", quick="quick").parse_args(["--table", str(path)]), pytest.fail, markdown=page)
    assert int(left.value.code) == 0
    assert capsys.readouterr().out == page(report(ok)) + "\n"


def test_a_figure_is_drawn_of_a_run_and_of_a_file(tmp_path):
    made = simulation_parser("about", what="worlds", quick="quick", seed=3)
    png, path = tmp_path / "f.png", tmp_path / "kept.json"
    for arguments in (["--json", str(path)], ["--table", str(path)]):
        with pytest.raises(SystemExit):
            options = made.parse_args([*arguments, "--figure", str(png)])
            conduct(options, report, markdown=page, text=page, draw=lambda kept: kept["date"].encode())
        assert png.read_bytes() == report()["date"].encode()
        png.unlink()


def test_tasks_are_told_of_with_their_own_rows():
    said, found = [], SimpleNamespace(rows=[{"task": "other", "who": "they"}], claims=[])
    run_tasks(["one"], TASKS, found, say=said.append)
    assert said[0].startswith("\n(a) One\nwho  core-s  remarks\nwe        2\n(")
    assert "they" not in said[0]


def test_the_page_names_machine_versions_and_what_was_in_the_way():
    assert ", a processor, one thread (**busy**). python 3.\n\n**(a) One**\n\n| who |" in page(report())
    assert "| it holds | 0.1235 s | at most 1 | **no** |" in page(report(ok=False))


def test_versions_are_those_asked_for():
    known = versions(("numpy", "no-such-package-at-all"))
    assert list(known) == ["python", "numpy", "no-such-package-at-all"]
    assert known["no-such-package-at-all"] == "not installed"
