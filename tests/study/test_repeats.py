"""One seed, one result: whatever the folder, the number of jobs, or how often the run was killed."""

import json

import pytest

from brainalign.pipeline.execute import execute
from brainalign.pipeline.store import Store
from tests.pipeline.toys import bytes_of
from tests.study import worlds


def read_summary(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def assert_same_outputs(one, other):
    assert (one / "report.html").read_bytes() == (other / "report.html").read_bytes()
    assert worlds.but_for_seconds(read_summary(one)) == worlds.but_for_seconds(read_summary(other))


def test_the_store_holds_what_the_plan_names_and_nothing_else(tiny):
    keys = {path.parent.relative_to(tiny.store.folder).as_posix() for path in tiny.store.folder.glob("*/*/header.json")}
    assert keys == set(tiny.study.plan.keys.values())


def test_another_folder_and_one_job_give_the_same_bytes(tiny, tmp_path):
    study = worlds.tiny(tmp_path / "elsewhere" / "out", store=tmp_path / "kept")
    worlds.made(study, n_jobs=1)
    worlds.assert_same_bytes(study.store_folder, tiny.store.folder)
    assert_same_outputs(study.out_folder, tiny.study.out_folder)


def test_a_second_run_makes_nothing_and_changes_nothing(tiny):
    before = bytes_of(tiny.study.out_folder)
    found = worlds.in_terminal("run", worlds.TINY, "--out", tiny.study.out_folder, "--jobs", 2)
    assert found.returncode == 0
    assert f"0 tasks made, {len(tiny.study.plan)} kept from before" in found.stderr
    assert bytes_of(tiny.study.out_folder) == before


def test_another_seed_gives_other_sounds_models_and_keys(tiny, tmp_path):
    other = worlds.tiny(tmp_path / "out", seed=1)
    assert set(other.plan.keys.values()).isdisjoint(tiny.study.plan.keys.values())
    store, names = Store(other.store_folder), ("stimulus[story-01]", "frames[story-01]")
    execute(worlds.part_of(other.plan, names), store, n_jobs=1)
    for name, array in zip(names, ("waveform", "values"), strict=True):
        one, two = store.get(other.plan.key(name)), tiny.store.get(tiny.study.plan.key(name))
        assert one.arrays[array].shape == two.arrays[array].shape
        assert (one.arrays[array] != two.arrays[array]).mean() > 0.9


def test_killed_at_three_moments_it_goes_on_to_the_same_bytes(tiny, tmp_path):
    out = tmp_path / "out"
    again = worlds.command("run", worlds.TINY, "--out", out, "--jobs", 2, "--quiet")
    n_tasks = len(tiny.study.plan)
    reached = worlds.kill_at_random(again, out / "store", n_tasks=n_tasks, n_kills=3, seed=5)
    assert all(0 < n < n_tasks for n in reached)
    assert not (out / "report.html").exists()
    found = worlds.in_terminal("run", worlds.TINY, "--out", out, "--jobs", 2)
    assert found.returncode == 0, found.stderr
    assert f"{len(tiny.study.plan)} tasks, 0 of them done before" not in found.stderr
    worlds.assert_same_bytes(out / "store", tiny.store.folder)
    assert_same_outputs(out, tiny.study.out_folder)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_quick_demo_killed_at_ten_moments_goes_on_to_the_same_bytes(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert worlds.in_terminal("demo", "--quick", "--out", whole, "--jobs", 2).returncode == 0
    n_tasks = len(list((whole / "store").glob("[!.]*/*/header.json")))
    again = worlds.command("demo", "--quick", "--out", cut, "--jobs", 2, "--quiet")
    reached = worlds.kill_at_random(again, cut / "store", n_tasks=n_tasks, n_kills=10, seed=11)
    assert len(reached) == 10
    found = worlds.in_terminal("demo", "--quick", "--out", cut, "--jobs", 2)
    assert found.returncode == 0, found.stderr
    worlds.assert_same_bytes(cut / "store", whole / "store")
    assert_same_outputs(cut, whole)
