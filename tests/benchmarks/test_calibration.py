"""Are the made-up worlds what they are said to be, and would the study see a test that is not calibrated?"""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks import calibration
from benchmarks._calibration_figure import draw
from benchmarks._calibration_nulls import CORRECTED, FIT, Family, false_shares, naive_p, single_p, smallest
from benchmarks._calibration_rates import clustered, mean_of, share_of, single_rows
from benchmarks._calibration_report import NAIVE, claims_of, rows_of
from benchmarks._calibration_study import FULL, HARD, QUICK, RECIPES, quiet, run_all, scaled
from benchmarks._calibration_worlds import KINDS, N_FRAMES, N_TRIALS, RATE, Recipe, listeners, make_world
from brainalign.stats.nulls.registry import NULLS
from brainalign.stats.support import support


@pytest.fixture(scope="module")
def report():
    said = []
    found = calibration.run(QUICK, say=said.append)
    return found | {"said": said}


def columns(world, kind):
    values = np.concatenate([trial.x.values for trial in world.design.trials])
    return values[:, world.kinds == KINDS.index(kind)]


class TestWorlds:
    """What is tested."""

    def test_the_same_number_gives_the_same_bytes(self):
        one, two, other = (make_world(Recipe("w", n_features=3), number, seed=1).design for number in (0, 0, 1))
        assert one.trials[0].y.tobytes() == two.trials[0].y.tobytes()
        assert one.trials[3].x.values.tobytes() == two.trials[3].x.values.tobytes()
        assert one.trials[0].y.tobytes() != other.trials[0].y.tobytes()

    def test_stimuli_are_sparse_bursty_and_envelope_like(self):
        world = make_world(Recipe("w", n_features=30), 0, seed=1)
        sparse, bursty, envelope = (columns(world, kind) for kind in KINDS)
        assert 0.025 < np.mean(sparse > 0) < 0.035
        after = [np.mean(x[1:][x[:-1] > 0] > 0) / np.mean(x > 0) for x in (sparse, bursty)]
        assert after[0] < 1.5  # an event says nothing of the next frame
        assert after[1] > 3  # in a burst it does
        assert np.all(stats.skew(envelope) > 0.5)
        assert np.corrcoef(envelope[1:, 0], envelope[:-1, 0])[0, 1] > 0.7

    def test_eeg_falls_with_frequency_and_is_high_passed(self):
        trials = make_world(Recipe("w", n_features=3), 0, seed=1).design.trials
        power = np.mean([np.abs(np.fft.rfft(trial.y, axis=0)) ** 2 for trial in trials], axis=(0, 2))
        hertz = np.fft.rfftfreq(N_FRAMES, 1 / RATE)
        slow, low, alpha, fast = (
            power[(hertz >= a) & (hertz < b)].mean() for a, b in ((0, 0.4), (1.5, 4), (9, 11), (18, 22))
        )
        assert slow < 0.2 * low
        assert low > 2 * fast
        assert alpha > 2 * fast
        neighbours = np.corrcoef(np.concatenate([trial.y for trial in trials]).T)
        assert np.abs(neighbours[0, 1:]).max() > 0.2

    def test_support_knows_good_worlds_from_drifting_ones(self):
        for key in ("circular-shift", "pairing", "phase", "blocks"):
            assert support(make_world(RECIPES[key][0], 0, seed=3).design, key).level == "good"
        drifting = make_world(HARD["slow drifts on both sides, no high-pass"][0], 0, seed=3).design
        assert support(drifting, "circular-shift").level == "refused"
        assert support(drifting, "pairing").level == "good"

    def test_effects_are_where_the_truth_says(self):
        recipe = Recipe("w", n_features=3, n_channels=4, planted=(1,), gain=1.0)
        world = make_world(recipe, 0, seed=2)
        still = make_world(replace(recipe, gain=0.0), 0, seed=2)
        for trial, other in zip(world.design.trials, still.design.trials, strict=True):
            assert np.array_equal(trial.x.values, other.x.values)
            changed = np.abs(trial.y - other.y).max(axis=0) > 0
            assert changed.tolist() == world.truth[1].tolist() == [True, True, False, False]

    def test_listeners_stand_side_by_side(self):
        world = make_world(Recipe("w", n_features=3, n_channels=4, n_listeners=3), 0, seed=2)
        parts = listeners(world, 3)
        assert len({part.subject for part in parts}) == 3
        together = np.concatenate([part.trials[0].y for part in parts], axis=1)
        assert np.array_equal(together, world.design.trials[0].y)


class TestRates:
    """How counts are judged."""

    def test_independent_tests_keep_their_number_and_copies_lose_it(self, rng):
        hits = rng.random((400, 10)) < 0.05
        assert clustered(hits) < 1.2
        assert clustered(np.repeat(hits[:, :1], 10, axis=1)) == pytest.approx(10, rel=0.02)

    def test_the_band_is_the_binomial_one(self):
        hits = np.zeros((1000, 1), dtype=bool)
        hits[:50] = True
        row = share_of(hits, level=0.05)
        assert row["band"] == [stats.binom.ppf(q, 1000, 0.05) / 1000 for q in (0.005, 0.995)]
        assert row["inside"]
        assert not share_of(~hits, level=0.05)["inside"]
        few = share_of(np.zeros((1000, 1), dtype=bool), level=0.05)
        assert not few["inside"]
        assert few["not_above"]

    def test_levels_that_cannot_be_reached_are_not_asked_for(self):
        p = np.tile([[204 / 4096, 0.5, 1.0]], (50, 1))
        rows = single_rows(p, KINDS, levels=(0.05,), n_members=4096)
        assert rows[0]["share"] == pytest.approx(1 / 3)
        assert rows[0]["band"][1] < 0.12

    def test_a_mean_share_and_its_interval(self):
        row = mean_of(np.array([0.0, 0.2] * 50), level=0.05)
        reach = stats.t.ppf(0.995, 99) * np.array([0.0, 0.2] * 50).std(ddof=1) / 10
        assert (row["share"], row["low"]) == (pytest.approx(0.1), pytest.approx(0.1 - reach))
        assert not row["not_above"]
        assert mean_of(np.zeros(20), level=0.05)["high"] == pytest.approx(1 - 0.005 ** (1 / 20))


class TestTests:
    """What is asked of a null."""

    def test_a_single_test_per_feature_on_channels_in_turn(self):
        groups = np.zeros((3, 10, 2))
        groups[0, 0, 0] = groups[1, 0, 1] = 1.0
        assert single_p(groups).tolist() == [0.1, 0.1, 1.0]

    def test_the_naive_p_is_right_where_frames_are_independent(self, rng):
        n = N_TRIALS * N_FRAMES
        r = np.tanh(rng.standard_normal((2000, 1, 1)) / np.sqrt(n - 3 * FIT["n_folds"]))
        assert stats.kstest(naive_p(r), "uniform").pvalue > 0.01

    def test_corrections_find_what_is_strong_and_count_what_is_false(self, rng):
        groups = rng.standard_normal((12, 1000, 4))
        groups[0, 0, :2] += 20
        family = Family.of(groups, np.arange(12) % 3)
        assert max(smallest(family).values()) < 0.2
        truth = np.zeros((12, 4), dtype=bool)
        false = false_shares(family, truth, level=0.3)
        assert set(CORRECTED) < set(false)
        assert false["max-statistic"] == false["benjamini-hochberg"] == 1.0
        truth[0, :2] = True
        assert false_shares(family, truth, level=0.3)["max-statistic"] == 0.0


def worlds_with(p):
    family = {"max-statistic": 1.0, "holm": 1.0}
    return [{"p": row, "naive": row**3, "families": [family], "neighbours": [], "support": "good"} for row in p]


class TestReport:
    """What is said."""

    def test_a_test_that_is_not_calibrated_fails_its_claims(self, rng):
        p = np.ceil(1000 * rng.random((300, 24))) / 1000
        verdicts = {}
        for name, values in (("honest", p), ("bold", np.ceil(1000 * p**1.4) / 1000)):
            rows = rows_of("quiet", "phase", worlds_with(values), n_members=1000)
            claims = [claim for claim in claims_of(rows, judged=True) if "single tests" in claim["name"]]
            verdicts[name] = [claim["ok"] for claim in claims]
        assert verdicts == {"honest": [True] * 3, "bold": [False] * 3}

    def test_the_naive_test_is_shown_failing_and_its_claim_is_that_it_does(self, rng):
        rows = rows_of("quiet", "circular-shift", worlds_with(rng.random((300, 24))), n_members=1000)
        claims = [claim for claim in claims_of(rows, judged=True) if claim["name"].startswith(NAIVE)]
        assert [claim["ok"] for claim in claims] == [True] * 3
        assert all("shown failing" in claim["target"] for claim in claims)

    def test_a_correction_above_its_level_is_named(self, rng):
        found = worlds_with(rng.random((300, 24)))
        for number, world in enumerate(found):
            world["families"] = [{"max-statistic": 0.04 if number < 60 else 1.0, "holm": 1.0}]
        claims = claims_of(rows_of("quiet", "phase", found, n_members=1000), judged=True)
        (cells,) = [claim for claim in claims if "no effect anywhere" in claim["name"]]
        assert cells["ok"] is False
        assert cells["value"] == "1 of 6: max-statistic at 0.05 (20 %)"

    def test_every_null_meets_every_correction(self, report):
        cells = {(row["null"], row["correction"]) for row in report["rows"] if row["task"] == "family"}
        wanted = {*CORRECTED, "hierarchical", "cluster mass", "TFCE"}
        assert cells >= {(null, correction) for null in NULLS for correction in wanted}
        assert {row["null"] for row in report["rows"] if row["task"] == "single"} >= set(NULLS)
        assert {row["null"] for row in report["rows"] if row["task"] == "false discoveries"} == set(NULLS)

    def test_the_quick_form_is_json_judges_nothing_and_shows_what_is_refused(self, report):
        again = json.loads(json.dumps(report, allow_nan=False))
        assert {"claims", "rows", "versions", "seed", "date"} <= set(again)
        assert all({"name", "value", "unit", "target", "ok"} == set(claim) for claim in again["claims"])
        assert {claim["ok"] for claim in again["claims"]} == {None}
        drifting = [row for row in again["rows"] if row.get("world", "").startswith("slow drifts")]
        blocks = next(row for row in drifting if row["null"] == "blocks")
        assert blocks["refusals"]
        assert "share" not in blocks

    def test_the_naive_test_fails_already_in_the_quick_form(self, report):
        single = [row for row in report["rows"] if row["task"] == "single" and row["kind"] == "all"]
        share = {(row["null"], row["level"]): row["share"] for row in single}
        assert share[NAIVE, 0.01] > 0.03
        assert share["circular-shift", 0.05] < share[NAIVE, 0.05]

    def test_it_becomes_a_page_and_a_picture(self, report):
        page = calibration.markdown(report)
        assert page.count("| --- |") >= 4
        assert "| claim | value | target | holds |" in page
        assert draw(report, dpi=60) == draw(report, dpi=60)


def test_the_same_seed_gives_the_same_p_values():
    def once(seed):
        worlds = run_all(lambda number: quiet(number, key="pairing", size=QUICK, seed=seed), 2, n_jobs=1)
        return np.array([world["p"] for world in worlds])

    assert np.array_equal(once(5), once(5))
    assert not np.array_equal(once(5), once(6))


def test_in_a_hurry_there_are_fewer_worlds_but_all_nulls():
    size = scaled(FULL, 0.1)
    assert set(size.quiet) == set(NULLS)
    assert size.quiet["phase"] == round(0.1 * FULL.quiet["phase"])
    assert size.judged
    assert scaled(FULL, 1e-6).hard == 2


@pytest.mark.slow
def test_the_command_writes_what_it_prints_with_two_workers(tmp_path, root, report):
    out, png = tmp_path / "calibration.json", tmp_path / "calibration.png"
    command = [sys.executable, "-m", "benchmarks.calibration", "--quick", "--jobs", "2"]
    done = subprocess.run(
        [*command, "--json", str(out), "--figure", str(png)], cwd=root, capture_output=True, text=True, check=True
    )
    assert "Where assumptions break" in done.stdout
    assert json.loads(out.read_text(encoding="utf-8"))["rows"] == json.loads(json.dumps(report["rows"]))
    assert png.read_bytes()[:4] == b"\x89PNG"
