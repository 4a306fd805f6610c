"""Does `brainalign selftest` tell a test that keeps its promise from one that does not?"""

import pytest
from typer.testing import CliRunner

from brainalign.cli import app
from brainalign.pipeline.execute import execute
from brainalign.pipeline.selftest import lines, outcomes, selftest_plan
from brainalign.pipeline.stages import control
from brainalign.stats.fakes import KINDS
from tests.study import worlds

N_FAKES = 5


@pytest.fixture
def store(tiny, tmp_path):
    return worlds.twin(tiny.store, tmp_path / "store")


@pytest.fixture
def plan(tiny):
    return selftest_plan(tiny.study, n_fakes=N_FAKES, n_features=2)


def test_the_plan_ends_with_designs_and_fakes(tiny, plan):
    kinds = {worlds.kind(task.name) for task in plan}
    assert {"design", "fake"} <= kinds
    assert not {"map", "null", "test", "findings"} & kinds
    assert sum(worlds.kind(task.name) == "fake" for task in plan) == N_FAKES * len(KINDS)
    for task in plan:
        if worlds.kind(task.name) != "fake":
            assert plan.key(task.name) == tiny.study.plan.key(task.name)


def test_a_command_prints_the_realised_rates(tiny, store):
    arguments = ["selftest", worlds.TINY, "--store", store.folder, "--fakes", N_FAKES, "--features", 2, "--jobs", 2]
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    assert found.exit_code == 0, found.output
    for kind, words in KINDS.items():
        assert f"{kind}: {words}" in found.stdout
    assert found.stdout.count("single tests at 0.05") == len(KINDS)
    assert found.stdout.count(f"{N_FAKES} data sets): holds") == 3 * len(KINDS)


def test_data_sets_differ_and_repeat(plan, store):
    execute(plan, store, n_jobs=1)
    parts = {name: store.get(plan.key(name)) for name in ("fake[reversed-001]", "fake[reversed-002]")}
    one, other = parts.values()
    assert (one.arrays["p"] != other.arrays["p"]).any()
    again = control.run_fake(
        plan["fake[reversed-001]"].slice(),
        {"designs": tuple(store.get(plan.key(name)) for name in plan["fake[reversed-001]"].inputs["designs"])},
        files=(),
        progress=None,
    )
    assert (again.arrays["p"] == one.arrays["p"]).all()


def test_a_true_effect_passed_off_as_none_is_told(tiny, store, monkeypatch):
    """Were the bond not broken, the planted effects would be found: the self-test has to notice."""
    monkeypatch.setattr("brainalign.pipeline.selftest.KINDS", {"reversed": "not at all"})
    plan = selftest_plan(tiny.study, n_fakes=N_FAKES, n_features=1000)
    monkeypatch.setattr("brainalign.stats.fakes.fake", lambda design, **_: design)
    execute(plan, store, n_jobs=1)
    found = outcomes(plan, store)
    assert not any(outcome.holds for outcome in found)
    assert "FOUND TOO OFTEN" in "\n".join(lines(found))
