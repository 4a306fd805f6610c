"""Does the benchmark of encoders run, compare before it times, and tell what it found?"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import encoders
from benchmarks._encoders_models import KINDS, babble, write_babble, write_model
from benchmarks._encoders_tasks import QUICK, Found, plain, relative
from brainalign.encoders.families import ENCODERS

TINY = replace(QUICK, kinds=("hubert",), seconds=1.0, minutes=(0.1, 0.3), seams=(2.0,), seam_window=6.5, seam_sound=9.0)


@pytest.fixture(scope="module")
def report():
    said = []
    found = encoders.run(TINY, tasks=list(encoders.TASKS), say=said.append)
    return found | {"said": "\n".join(said)}


def test_every_type_that_can_be_read_is_compared():
    assert set(KINDS) == set(ENCODERS)


def test_the_report_is_json_and_holds_every_task(report):
    again = json.loads(json.dumps({k: v for k, v in report.items() if k != "said"}, allow_nan=False))
    assert {row["task"] for row in again["rows"]} == set(encoders.TASKS)
    assert {"torch", "transformers", "brainalign"} <= set(again["versions"])
    assert all({"name", "value", "unit", "target", "ok"} == set(claim) for claim in again["claims"])
    assert [row["who"] for row in again["rows"] if row["task"] == "equal"] == list(KINDS)


def test_all_types_give_transformers_own_numbers(report):
    same = [claim for claim in report["claims"] if claim["name"].startswith("equal")]
    assert len(same) == len(KINDS)
    assert [claim for claim in same if not claim["ok"]] == []


def test_times_are_told_and_not_judged_at_a_small_size(report):
    (timed,) = [claim for claim in report["claims"] if claim["name"].startswith("speed")]
    assert timed["ok"] is None and timed["value"] > 0
    (row,) = [row for row in report["rows"] if row["task"] == "speed"]
    assert float(row["shown"]["ours, core-s"]) > 0
    # Half of the mantissa is gone, and it shows.
    assert 0.001 < float(row["shown"]["bfloat16, error"].rstrip("%")) / 100 < 0.1


def test_memory_and_seams_are_judged_at_any_size(report):
    judged = {claim["name"].split(":")[0]: claim["ok"] for claim in report["claims"] if "equal" not in claim["name"]}
    assert judged == {"speed": None, "memory": True, "seams": True}


def test_the_same_report_becomes_a_page_of_markdown(report):
    page = encoders.markdown(report)
    assert page.count("| --- |") >= 4
    assert "| claim | value | target | holds |" in page
    assert all(title in page and title in report["said"] for title, _ in encoders.TASKS.values())


def test_a_difference_would_be_seen(tmp_path):
    """Weights that are not those of the folder: the claim fails."""
    found = Found(TINY, tmp_path)
    model = write_model(tmp_path / "m", "hubert", size="small")
    found.model = lambda *_, **__: model
    model.blocks[1].final_layer_norm.weight.data *= 1.1
    encoders.equal(found)
    assert {claim["ok"] for claim in found.claims} == {False}


def n_hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_the_plain_loop_gives_every_hidden_state_and_leaves_no_hook(tmp_path):
    model = write_model(tmp_path, "wav2vec2", size="small")
    states = plain(model, babble(1.0).waveform[None], units=2)
    assert [item.shape for item in states] == [(1, 49, 32)] * 4 + [(1, 49, 48)]
    # transformers leaves some of its own at the first call; no further call adds any.
    before = n_hooks(model.model)
    plain(model, babble(0.5).waveform[None], units=2)
    assert n_hooks(model.model) == before


def test_the_relative_error_of_half_the_size_is_a_half():
    values = np.array([[1.0, -2.0], [-1.0, 2.0]])
    assert relative(0.5 * values, values) == pytest.approx(0.5)
    assert relative(values + 7, values + 7) == 0


def test_a_long_sound_is_written_whole(tmp_path):
    waveform = np.load(write_babble(tmp_path / "s.npy", 0.2))
    assert waveform.shape == (192_000,)
    assert waveform.dtype == np.float32
    assert waveform[:160_000].std() > 0 < waveform[160_000:].std()


@pytest.mark.slow
def test_the_quick_form_runs_every_task_in_under_a_minute(quick_form):
    report, page = quick_form("encoders", timeout=120)
    assert {row["task"] for row in report["rows"]} == set(encoders.TASKS)
    assert "| claim | value |" in page
