import time

import pytest
from pydantic import BaseModel

from brainalign.core.errors import MissingFile, UnknownName, ValueProblem
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.stage import Stage, Task
from tests.pipeline.toys import NOISE, SUM, TEXT, make_noise, toy_plan


def keys_of(**settings):
    return toy_plan(**settings).keys


def test_order_respects_inputs_whatever_the_order_of_listing():
    tasks = list(toy_plan())
    plan = Plan("toy", tasks[::-1])
    seen = set()
    for task in plan:
        assert set(task.needs()) <= seen
        seen.add(task.name)
    assert plan.keys == toy_plan().keys
    assert [len(level) for level in plan.levels] == [4, 4, 1]


def test_keys_are_the_same_every_time_and_name_their_stage():
    assert keys_of() == keys_of()
    assert toy_plan().key("noise[0]").startswith("noise/")
    assert len(toy_plan().key("sum")) == len("sum/") + 64


def test_a_setting_changes_its_task_and_all_that_is_made_from_it_and_nothing_else():
    before = keys_of()
    tasks = [
        Task(task.name, task.stage, settings={"seed": 99, "n_arrays": 3}) if task.name == "noise[2]" else task
        for task in toy_plan()
    ]
    after = Plan("toy", tasks).keys
    assert {name for name in before if before[name] != after[name]} == {"noise[2]", "product[2]", "sum"}


def test_version_changes_the_key_and_the_tasks_name_does_not():
    key = Plan("a", [Task("x", NOISE)]).key("x")
    assert Plan("b", [Task("y", NOISE)]).key("y") == key
    assert Plan("a", [Task("x", Stage("noise", 2, make_noise))]).key("x") != key


def test_order_of_many_inputs_counts():
    parts = [Task("a", NOISE, settings={"seed": 1}), Task("b", NOISE, settings={"seed": 2})]
    forth = Plan("toy", [*parts, Task("sum", SUM, inputs={"parts": ("a", "b")})])
    back = Plan("toy", [*parts, Task("sum", SUM, inputs={"parts": ("b", "a")})])
    assert forth.key("sum") != back.key("sum")


def test_file_content_counts_and_its_name_does_not(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.txt").write_text("hello")
    keys = [Plan("toy", [Task("t", TEXT, files=(tmp_path / name,))]).key("t") for name in ("a.txt", "b.txt")]
    assert keys[0] == keys[1]
    (tmp_path / "b.txt").write_text("hullo")
    assert Plan("toy", [Task("t", TEXT, files=(tmp_path / "b.txt",))]).key("t") != keys[0]


def test_a_folder_counts_by_names_and_contents(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"123")
    key = Plan("toy", [Task("t", TEXT, files=(folder,))]).key("t")
    (folder / "weights").rename(folder / "weights2")
    assert Plan("toy", [Task("t", TEXT, files=(folder,))]).key("t") != key


def test_models_may_stand_anywhere_in_settings():
    class Part(BaseModel):
        k: int = 12

    nested = Plan("toy", [Task("t", NOISE, settings={"part": Part(), "rates": (1, 2)})])
    flat = Plan("toy", [Task("t", NOISE, settings={"part": {"k": 12}, "rates": [1, 2]})])
    assert nested.key("t") == flat.key("t")
    assert Plan("toy", [Task("t", NOISE, settings=Part())]).key("t") != nested.key("t")


@pytest.mark.parametrize("name", ["damaged", "index", "Encode", "a/b", ""])
def test_stage_names_are_folders(name):
    with pytest.raises(ValueProblem, match="stage's name"):
        Stage(name, 1, make_noise)


@pytest.mark.parametrize("name", ["a/b", "..", "", "a\nb", "a:b"])
def test_task_names_are_files(name):
    with pytest.raises(ValueProblem, match=r"task's or run's name"):
        Task(name, NOISE)


def test_refuses_twice_used_names():
    with pytest.raises(ValueProblem, match="share a name"):
        Plan("toy", [Task("a", NOISE), Task("a", NOISE)])


def test_refuses_unknown_inputs_with_the_nearest():
    with pytest.raises(UnknownName, match=r"input of 'sum'(.|\n)*did you mean 'noise\[0\]'"):
        Plan("toy", [Task("noise[0]", NOISE), Task("sum", SUM, inputs={"parts": ("noise[O]",)})])


def test_refuses_circles_and_shows_them():
    circle = [Task("a", SUM, inputs={"x": "b"}), Task("b", SUM, inputs={"x": "c"}), Task("c", SUM, inputs={"x": "a"})]
    with pytest.raises(ValueProblem, match="circle") as caught:
        Plan("toy", [*circle, Task("d", SUM, inputs={"x": "a"})])
    assert caught.value.got == "a <- b <- c <- a"


def test_missing_file_names_the_task(tmp_path):
    plan = Plan("toy", [Task("text[x]", TEXT, files=(tmp_path / "x.txt",))])
    with pytest.raises(MissingFile, match=r"text\[x\] reads"):
        _ = plan.keys


def test_unknown_task_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'sum'"):
        toy_plan().key("sun")


def test_a_thousand_tasks_are_planned_at_once():
    start = time.perf_counter()
    assert len(toy_plan(n=500).keys) == 1001
    assert time.perf_counter() - start < 1.0
