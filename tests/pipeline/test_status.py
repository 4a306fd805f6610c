import time

import pytest

from brainalign.pipeline.execute import execute
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.stage import Stage, Task
from brainalign.pipeline.status import State, status
from brainalign.pipeline.store import Store
from tests.pipeline.test_store import flip
from tests.pipeline.toys import NOISE, SUM, TEXT, bytes_of, make_noise, toy_plan


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def look(plan, store, **options):
    return {item.task: item for item in status(plan, store, **options)}


def test_before_anything_all_is_missing_and_nothing_is_touched(store):
    found = look(toy_plan(), store)
    assert {item.state for item in found.values()} == {State.MISSING}
    assert found["sum"].reason == "not made yet"
    assert not store.folder.exists()


def test_after_a_run_all_is_done_and_looking_changes_nothing(store):
    execute(toy_plan(), store, n_jobs=1)
    before = bytes_of(store.folder)
    assert {item.state for item in look(toy_plan(), store).values()} == {State.DONE}
    assert bytes_of(store.folder) == before


def test_a_changed_setting_is_named_and_followed(store):
    execute(toy_plan(), store, n_jobs=1)
    found = look(toy_plan(n_arrays=16), store)
    assert found["noise[0]"].state is State.STALE
    assert found["noise[0]"].reason == "settings: n_arrays 3 -> 16"
    assert found["product[0]"].reason == "input 'noise' changed"
    assert found["sum"].reason == "input 'parts' changed"


def test_nested_added_and_removed_settings_are_named(store):
    def plan(settings):
        return Plan("toy", [Task("noise", NOISE, settings={"seed": 1, "n_arrays": 1, **settings})])

    execute(plan({"sae": {"k": 12}, "old": 1}), store, n_jobs=1)
    reason = look(plan({"sae": {"k": 16}, "new": 2}), store)["noise"].reason
    assert reason == "settings: new added (2); settings: old taken away (was 1); settings: sae.k 12 -> 16"


def test_many_changes_are_counted(store):
    def plan(start):
        return Plan(
            "toy", [Task("n", NOISE, settings={"seed": 1, "n_arrays": 1, "x": {str(i): start for i in range(9)}})]
        )

    execute(plan(0), store, n_jobs=1)
    assert look(plan(1), store)["n"].reason.endswith("; and 5 more")


def test_a_new_version_is_named(store):
    def plan(version):
        return Plan("toy", [Task("n", Stage("noise", version, make_noise), settings={"seed": 1, "n_arrays": 1})])

    execute(plan(1), store, n_jobs=1)
    assert look(plan(2), store)["n"].reason == "stage version 1 -> 2"


def test_files_are_named(store, tmp_path):
    for name in ("x.txt", "y.txt", "z.txt"):
        (tmp_path / name).write_text(name)

    def plan(*names):
        return Plan("toy", [Task("t", TEXT, files=tuple(tmp_path / name for name in names))])

    execute(plan("x.txt", "y.txt"), store, n_jobs=1)
    assert look(plan("y.txt", "x.txt"), store)["t"].reason == "files in another order"
    (tmp_path / "x.txt").write_text("changed")
    reason = look(plan("x.txt", "z.txt"), store)["t"].reason
    assert reason == "file changed: x.txt; file added: z.txt; file taken away: y.txt"


def test_inputs_added_and_taken_away_are_named(store):
    noise = Task("noise", NOISE, settings={"seed": 1, "n_arrays": 1})
    execute(Plan("toy", [noise, Task("sum", SUM, inputs={"parts": ()})]), store, n_jobs=1)
    changed = Plan("toy", [noise, Task("sum", SUM, inputs={"parts": (), "more": "noise"})])
    assert look(changed, store)["sum"].reason == "input 'more' added"


def test_going_back_to_an_earlier_setting_is_done_already(store):
    execute(toy_plan(), store, n_jobs=1)
    execute(toy_plan(seed=5), store, n_jobs=1)
    assert {item.state for item in look(toy_plan(), store).values()} == {State.DONE}


def test_what_was_deleted_is_told_from_what_never_was(store):
    plan = toy_plan()
    execute(plan, store, n_jobs=1)
    store.path(plan.key("sum")).rename(store.folder / "elsewhere")
    assert look(plan, store)["sum"].reason == "was made, and is no longer in the store"


def test_damage_is_seen_unless_not_looked_for_and_left_where_it_is(store):
    plan = toy_plan()
    execute(plan, store, n_jobs=1)
    path = store.path(plan.key("noise[1]")) / "part0.npy"
    flip(path)
    fresh = Store(store.folder)
    assert look(plan, fresh, verify=False)["noise[1]"].state is State.DONE
    assert look(plan, fresh)["noise[1]"].state is State.DAMAGED
    assert path.exists()


def test_a_thousand_tasks_are_looked_at_at_once(store):
    start = time.perf_counter()
    assert len(status(toy_plan(n=500), store)) == 1001
    assert time.perf_counter() - start < 1.0
