"""Does `brainalign quality` judge every recording before anything is fitted, and say why channels are bad?"""

import re

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.pipeline.execute import execute
from brainalign.pipeline.outputs import Results
from brainalign.pipeline.quality_page import recordings_page, recordings_plan, require_recordings
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import load_study
from brainalign.report.page import Table, render
from tests.study import worlds
from tests.study.test_audiosae import CONFIG


def test_the_plan_ends_where_the_recordings_are_judged(tiny):
    names = {worlds.kind(name) for name in recordings_plan(tiny.study).keys}
    assert {"quality", "clean", "recording"} <= names
    assert not {"design", "map", "null", "test"} & names


def test_every_recording_has_a_row_and_the_worst_are_drawn(tiny):
    page = recordings_page(tiny.results, show=1)
    (table,) = [block for block in page.sections[0].blocks if isinstance(block, Table)]
    assert [row["label"] for row in table.rows] == ["sub-01", "sub-02"]
    quality = {item["label"]: item for item in tiny.results.quality}
    for row in table.rows:
        found = quality[row["label"]]
        assert row["n_bad"] == len(found["bad_channels"])
        assert all(name in row["bad"] for name in found["bad_channels"])
        assert row["after"] == pytest.approx(np.median(found["rms_after"]))
    assert len(page.sections) == 2
    most = max(table.rows, key=lambda row: row["n_bad"])["n_bad"]
    drawn = next(row for row in table.rows if row["label"] == page.sections[1].title)
    assert drawn["n_bad"] == most
    assert render(page).count("<img") == 1


def test_the_command_writes_the_page_and_the_run_keeps_what_it_made(tmp_path):
    out = tmp_path / "out"
    made = worlds.in_terminal("quality", worlds.TINY, "--out", out, "--jobs", 2)
    assert made.returncode == 0, made.stderr
    assert f"page: {out / 'quality.html'}" in made.stdout
    assert len(re.findall("<img", (out / "quality.html").read_text("utf-8"))) == 2
    study = worlds.tiny(out)
    kept = execute(recordings_plan(study), Store(study.store_folder), n_jobs=1)
    assert not kept.made
    assert Results(study, Store(study.store_folder)).quality


def test_a_recipe_without_whole_recordings_says_so():
    with pytest.raises(ValueProblem, match="keeps no whole clean recordings"):
        require_recordings(load_study(CONFIG, {}))
