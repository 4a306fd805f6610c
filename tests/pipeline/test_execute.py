import subprocess
import sys
from pathlib import Path

import pytest
from joblib import parallel_config

from brainalign.core.errors import StoreProblem, ValueProblem
from brainalign.pipeline.execute import TaskFailed, execute
from brainalign.pipeline.log import SilentLog
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.stage import Stage, Task
from brainalign.pipeline.store import Store
from tests.pipeline.test_store import GONE, flip
from tests.pipeline.toys import (
    SUM,
    bytes_of,
    fail_badly,
    fail_kindly,
    make_noise,
    return_number,
    tell_whether_workers_retire,
    toy_plan,
)

ROOT = Path(__file__).parents[2]
NO_NOISE = {"seed": 0, "n_arrays": 1}


class Told(SilentLog):
    def __init__(self):
        self.warnings, self.done, self.ended = [], [], {}

    def warn(self, text):
        self.warnings.append(text)

    def finished(self, task, *, seconds):
        self.done.append(task)

    def end(self, **counts):
        self.ended = counts


def run_script(store, *, n_jobs):
    subprocess.run([sys.executable, "-m", "tests.pipeline.toys", str(store), str(n_jobs), "0"], cwd=ROOT, check=True)


def test_all_is_made_in_order_and_then_kept(tmp_path):
    plan, store, log = toy_plan(), Store(tmp_path / "store"), Told()
    summary = execute(plan, store, n_jobs=1, log=log)
    assert set(summary.made) == {task.name for task in plan} == set(log.done)
    assert summary.kept == ()
    assert store.get(plan.key("sum")).meta["order"] == ["product"] * 4
    before = bytes_of(store.folder)
    again = execute(toy_plan(), Store(store.folder), n_jobs=1, log=log)
    assert again.made == ()
    assert len(again.kept) == len(plan)
    assert log.ended["kept"] == len(plan)
    assert bytes_of(store.folder) == before


def test_what_a_killed_run_was_slow_to_let_go_of_is_removed_in_the_end(tmp_path):
    store, late = Store(tmp_path / "store"), f".{'cd' * 32}.{GONE}.tmp"

    class Late(SilentLog):
        def start(self, **_):
            (store.folder / "noise" / late).mkdir(parents=True)

    execute(toy_plan(), store, n_jobs=1, log=Late())
    assert (store.folder / "noise").is_dir()
    assert not (store.folder / "noise" / late).exists()


def test_workers_are_not_retired_for_memory_that_is_mapped(tmp_path):
    from joblib.externals.loky import process_executor

    told = Stage("told", 1, tell_whether_workers_retire)
    plan, store = Plan("two", [Task("a", told, settings={"n": 0}), Task("b", told, settings={"n": 1})]), Store(tmp_path)
    execute(plan, store, n_jobs=2)
    assert [store.get(plan.key(name)).meta["retire"] for name in "ab"] == [False, False]
    assert hasattr(process_executor, "_USE_PSUTIL")  # the switch still exists


def test_only_what_changed_is_made_again(tmp_path):
    store = Store(tmp_path / "store")
    execute(toy_plan(n=3), store, n_jobs=1)
    assert execute(toy_plan(n=4), store, n_jobs=1).made == ("noise[3]", "product[3]", "sum")


def test_bytes_do_not_depend_on_the_number_of_processes(tmp_path):
    for n_jobs in (1, 2):
        run_script(tmp_path / str(n_jobs), n_jobs=n_jobs)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")
    assert len(bytes_of(tmp_path / "1")) > 13


def test_the_callers_backend_is_used(tmp_path):
    plan, store = toy_plan(), Store(tmp_path / "store")
    with parallel_config(backend="threading", n_jobs=2):
        summary = execute(plan, store)
    assert len(summary.made) == len(plan)


def test_equal_work_under_two_names_is_done_once(tmp_path):
    plan = Plan("toy", [Task(name, Stage("noise", 1, make_noise), settings=NO_NOISE) for name in ("a", "b")])
    store = Store(tmp_path / "store")
    assert execute(plan, store, n_jobs=1).made == ("a", "b")
    assert len(list((store.folder / "noise").iterdir())) == 1
    assert store.recall("toy", "a") == store.recall("toy", "b")


def test_damage_is_set_aside_told_and_made_again(tmp_path):
    plan, store, log = toy_plan(), Store(tmp_path / "store"), Told()
    execute(plan, store, n_jobs=1)
    before = bytes_of(store.folder)
    flip(store.path(plan.key("product[1]")) / "product.npy")
    broken = bytes_of(store.path(plan.key("product[1]")))
    summary = execute(plan, Store(store.folder), n_jobs=1, log=log)
    assert summary.made == ("product[1]",)
    assert len(log.warnings) == 1
    assert "product[1]" in log.warnings[0]
    assert str(summary.set_aside[0]) in log.warnings[0]
    assert bytes_of(summary.set_aside[0]) == broken
    after = {name: content for name, content in bytes_of(store.folder).items() if not name.startswith("damaged/")}
    assert after == before


def test_an_error_has_its_three_parts_and_the_tasks_name_and_what_was_done_is_kept(tmp_path):
    bad = Task("bad[1]", Stage("bad", 1, fail_kindly), inputs={"noise": "noise[0]"})
    plan, store = toy_plan(extra=[bad]), Store(tmp_path / "store")
    with pytest.raises(ValueProblem, match=r"too quiet \(in bad\[1\]\)(.|\n)*-90 dB(.|\n)*turn it up"):
        execute(plan, store, n_jobs=1)
    assert all(store.has(plan.key(f"noise[{i}]")) for i in range(4))
    assert not store.has(plan.key("sum"))
    assert not any(store.folder.rglob(".*.tmp"))
    assert not any((store.folder / "running").iterdir())


def test_an_unforeseen_error_keeps_its_traceback(tmp_path):
    plan = Plan("toy", [Task("bad", Stage("bad", 1, fail_badly))])
    with pytest.raises(TaskFailed, match="ZeroDivisionError: division by zero") as caught:
        execute(plan, Store(tmp_path / "store"), n_jobs=1)
    assert "in fail_badly" in caught.value.trace


def test_a_stage_must_return_an_artefact(tmp_path):
    plan = Plan("toy", [Task("bad", Stage("bad", 1, return_number))])
    with pytest.raises(ValueProblem, match=r"did not return an artefact(.|\n)*float"):
        execute(plan, Store(tmp_path / "store"), n_jobs=1)


def test_an_unwritable_store_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    plan = Plan("toy", [Task("bad", Stage("bad", 1, fail_badly))])
    with pytest.raises(StoreProblem, match="cannot be written to"):
        execute(plan, Store(tmp_path / "file" / "store"), n_jobs=1)


def test_an_empty_plan_is_done_at_once(tmp_path):
    assert execute(Plan("toy", []), Store(tmp_path / "store")).made == ()


def test_work_runs_on_one_thread(tmp_path):
    plan = Plan("toy", [Task("threads", Stage("threads", 1, count_threads)), Task("sum", SUM, inputs={"parts": ()})])
    store = Store(tmp_path / "store")
    execute(plan, store, n_jobs=1)
    assert set(store.get(plan.key("threads")).meta["threads"]) <= {1}


def count_threads(settings, inputs, *, files, progress):
    from threadpoolctl import threadpool_info

    from brainalign.core.artefact import Artefact

    return Artefact("threads", {"threads": [library["num_threads"] for library in threadpool_info()]})
