"""Can the truth behind a simulation reach the analysis by any way but the simulated EEG?"""

import re

import pytest

from brainalign.core.design import Design
from brainalign.core.hashing import canonical_json
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.study import demo_config, load_study
from tests.study import worlds
from tests.study.worlds import kind

ANALYSIS = (
    *("stimulus", "frames", "coder", "codes", "acoustics", "selection", "candidates"),
    *("unheard-stimulus", "unheard-frames", "unheard-codes"),
    *("clean", "quality", "design", "map", "null-choice", "surrogates", "null", "test", "findings", "unique"),
    *("random-coder", "matched-coder", "twin-frames", "twin-coder", "control-codes", "halves", "beside"),
    *("population", "ceiling"),
)
SECRETS = ("planting", "answer-key")


@pytest.fixture(params=["tiny", "quick", "demo"])
def plan(request):
    paths = {"tiny": worlds.TINY, "quick": demo_config(True), "demo": demo_config(False)}
    return load_study(paths[request.param], {}).plan


def users_of(plan, name):
    return {kind(task.name) for task in plan if name in task.needs()}


def ancestors(plan, name, *, but):
    seen, waiting = set(), [name]
    while waiting:
        new = {need for need in plan[waiting.pop()].needs() if kind(need) not in but} - seen
        seen |= new
        waiting += sorted(new)
    return seen


def test_only_the_simulation_and_the_verdict_know_what_was_planted(plan):
    assert users_of(plan, "planting") == {"recording", "verdict"}


def test_only_the_verdict_knows_which_candidates_are_decoys(plan):
    assert users_of(plan, "answer-key") == {"verdict"}


def test_no_way_but_the_recording_leads_from_the_truth_to_the_analysis(plan):
    for task in plan:
        if kind(task.name) in ANALYSIS:
            assert not set(SECRETS) & ancestors(plan, task.name, but={"recording"})


def test_every_task_is_known_to_this_test(plan):
    kinds = {kind(task.name) for task in plan}
    assert kinds - set(ANALYSIS) == {"recording", "verdict", "coder-quality", *SECRETS}
    assert plan.name == "tiny" or not set(ANALYSIS) - kinds


def test_no_task_of_the_analysis_sees_the_plantings_settings(plan):
    secret = {*plan["planting"].slice()["planting"], "planting"}
    assert {"n_features", "microvolts", "latencies", "density"} < secret
    for task in plan:
        if kind(task.name) in (*ANALYSIS, "recording"):
            assert not secret & set(names_in(task.slice())), task.name


def names_in(value):
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from names_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)


def test_candidates_have_names_and_a_history_that_tell_nothing(tiny):
    trajectories = [Trajectory.unpack(item) for item in tiny.results.all("candidates")]
    key = tiny.results.one("answer-key").meta
    for trajectory in trajectories:
        assert trajectory.features == tuple(f"c{i:04d}" for i in range(len(key["names"])))
        assert trajectory.provenance == trajectories[0].provenance
        history = canonical_json(trajectory.provenance.to_json())
        assert not re.search(r"sae-|unheard|story|seed|decoy-|played", history)
    assert sorted(set(key["is_decoy"])) == [False, True]
    assert sum(key["is_decoy"]) == len(key["names"]) / 2


@pytest.mark.parametrize("name", ["recording", "clean", "design", "map", "surrogates"])
def test_no_header_of_the_analysis_names_the_truth(tiny, name):
    planted = tiny.results.one("planting").meta["planted"]
    secrets = [str(row[part]) for row in planted for part in ("feature", "site")] + ["planted", "decoy of", "unheard"]
    for artefact in tiny.results.all(name):
        header = canonical_json(artefact.meta)
        assert [secret for secret in secrets if f'"{secret}"' in header or f"{secret}:" in header] == []
        assert "sae-" not in header


def test_the_designs_bands_trials_and_history_tell_nothing(tiny):
    design = Design.unpack(tiny.results.all("design")[0])
    assert not design.bands
    assert {trial.name for trial in design.trials} == {f"story-{i:02d}" for i in range(1, 5)}
    assert "sae-" not in canonical_json(design.provenance.to_json())


def test_another_planting_changes_the_eeg_and_nothing_before_it(tiny):
    other = worlds.tiny(tiny.study.out_folder, listeners__planting__microvolts=1.0).plan
    before = ("stimulus", "frames", "coder", "codes", "selection", "candidates", "acoustics", "answer-key")
    after = (
        "planting",
        "recording",
        "clean",
        "quality",
        "design",
        "map",
        "surrogates",
        "null",
        "test",
        "findings",
        "unique",
    )
    for task in other:
        same = other.key(task.name) == tiny.study.plan.key(task.name)
        if kind(task.name) in after or task.name == "verdict":
            assert not same, task.name
        elif kind(task.name) in before or kind(task.name).startswith(("unheard", "coder")):
            assert same, task.name


def test_without_simulated_listeners_there_is_no_truth_in_the_plan(exported):
    kinds = {kind(task.name) for task in load_study(exported, {}).plan}
    assert not kinds & {"planting", "answer-key", "verdict", "unheard-stimulus", "unheard-codes"}
