"""Are methods compared at equal error, and is a planted effect found where it is planted?"""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import power
from benchmarks._calibration_worlds import make_world
from benchmarks._power_figure import draw
from benchmarks._power_methods import METHODS, N_LISTENERS, OWN, PEERS, PLANTED, recipe_of, smallest_p
from benchmarks._power_report import claims_of, detected, equal_threshold, error_rows, power_rows
from benchmarks.power import FEW, QUICK, run


@pytest.fixture(scope="module")
def report():
    return run(QUICK)


@pytest.mark.parametrize("levels", [20, 200, 10_000])
def test_thresholds_reach_exactly_the_level_whatever_the_steps_of_p(rng, levels):
    smallest = np.ceil(levels * rng.random(240) ** 1.7) / levels
    threshold = equal_threshold(smallest)
    assert detected(smallest, threshold).mean() == pytest.approx(0.05)


def test_a_method_whose_p_are_all_1_is_no_better_than_tossing_coins():
    threshold = equal_threshold(np.ones(100))
    assert threshold == (0.0, 1.0, 0.05)
    assert detected(np.ones(3), threshold).tolist() == pytest.approx([0.05] * 3)


def test_noise_is_the_same_at_every_strength():
    still, driven = (make_world(recipe_of(gain), 0, seed=1) for gain in (0.0, 0.1))
    for one, other in zip(still.design.trials, driven.design.trials, strict=True):
        changed = np.abs(one.y - other.y).max(axis=0).reshape(N_LISTENERS, -1) > 0
        assert changed[:, :4].any(axis=1).sum() >= N_LISTENERS - 1  # a gain may be 0
        assert not changed[:, 4:].any()


def test_where_few_respond_the_others_hear_nothing_and_the_mean_effect_is_alike():
    still, all_, few = (make_world(recipe_of(g, responders=n), 0, seed=1) for g, n in ((0, 0), (0.1, 0), (0.1, 4)))
    base = still.design.trials[0].y
    sizes = [
        np.abs(world.design.trials[0].y - base).max(axis=0).reshape(N_LISTENERS, -1)[:, 0] for world in (all_, few)
    ]
    assert np.count_nonzero(sizes[1]) <= 4
    assert sizes[1][:4] == pytest.approx(3 * sizes[0][:4])


def test_every_method_finds_a_strong_effect_and_only_that():
    found = smallest_p(0, gain=0.4, responders=0, n_permutations=99, seed=3)
    assert set(found) == {*METHODS, "r"}
    assert all(found[method][PLANTED] <= 0.05 for method in METHODS)
    assert np.median([np.delete(found[method], PLANTED).min() for method in METHODS]) > 0.05
    assert found["r"] > 0.1


def made_up(rng, *, planted, n):
    """Studies in which our methods find what is planted as often as asked for, and others find nothing."""
    studies = []
    for _ in range(n):
        study = {method: rng.uniform(0.1, 1, 12) for method in METHODS} | {"r": np.array(0.02)}
        for method in OWN:
            study[method][PLANTED] = 0.001 if rng.random() < planted else 0.9
        studies.append(study)
    return studies


def test_claims_hold_and_fail_as_they_should(rng):
    empty = made_up(rng, planted=0.0, n=100)
    for planted, ok in ((0.6, True), (0.0, False)):
        kept = {("all", 0.1): made_up(rng, planted=planted, n=50)}
        rows = error_rows(empty)
        rows += power_rows(rows, kept)
        claims = claims_of(rows, empty, kept, judged=True)
        versus = [claim for claim in claims if " less " in claim["name"] and claim["unit"] == "points"]
        assert len(versus) == len(OWN) * len(PEERS)
        assert {claim["ok"] for claim in versus} == {ok}
    for study in empty[:20]:
        study[OWN[0]][3] = 0.01
    verdict = {claim["name"]: claim["ok"] for claim in claims_of(error_rows(empty), empty, {}, judged=True)}
    assert [verdict[name] for name in verdict if name.startswith(OWN[0])] == [False]


def test_the_quick_form_is_json_and_judges_nothing(report):
    again = json.loads(json.dumps(report, allow_nan=False))
    assert {"claims", "rows", "versions", "seed", "date"} <= set(again)
    assert all({"name", "value", "unit", "target", "ok"} == set(claim) for claim in again["claims"])
    assert {claim["ok"] for claim in again["claims"]} == {None}
    errors = [row for row in again["rows"] if row["task"] == "error"]
    assert [row["method"] for row in errors] == list(METHODS)


def test_a_stronger_effect_is_more_surely_found(report):
    weak, strong = (
        [row["nominal"]["share"] for row in report["rows"] if row.get("gain") == gain] for gain in (0.06, 0.2)
    )
    assert all(one <= other for one, other in zip(weak, strong, strict=True))
    assert strong == [1.0] * len(METHODS)


def test_it_becomes_a_page_and_a_picture(report):
    page = power.markdown(report)
    assert page.count("| --- |") >= 3
    assert "held-out r" in page
    assert draw(report, dpi=60) == draw(report, dpi=60)


def test_few_responders_is_a_scenario_of_the_full_form():
    assert power.FULL.gains[FEW]
    assert power.FULL.judged


@pytest.mark.slow
def test_the_command_writes_what_it_prints(tmp_path, root, report):
    out, png = tmp_path / "power.json", tmp_path / "power.png"
    command = [sys.executable, "-m", "benchmarks.power", "--quick", "--jobs", "2", "--json", str(out)]
    subprocess.run([*command, "--figure", str(png)], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(out.read_text(encoding="utf-8"))["rows"] == json.loads(json.dumps(report["rows"]))
    assert png.read_bytes()[:4] == b"\x89PNG"
