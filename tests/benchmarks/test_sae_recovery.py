"""Does the benchmark of recovery plant what it says, count what it finds, and tell of it?"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import sae_recovery
from benchmarks._recovery_runs import OURS, PEERS
from benchmarks._recovery_score import score
from benchmarks._recovery_world import N_CHILDREN, QUICK, build
from brainalign.sae.coder import SparseCoder

TINY = replace(QUICK, n_sounds=8, n_frames=400, n_batch=128, n_steps=40)


@pytest.fixture(scope="module")
def world():
    return build(QUICK, seed=0)


@pytest.fixture(scope="module")
def report():
    return sae_recovery.run(TINY, n_seeds=2, only=["batchtopk", "random directions", *PEERS], quick=True)


def truth_itself(world, *, n_wrong=0):
    """Return a coder whose rows are the planted directions, some of them replaced by random ones."""
    rows = world.directions.copy()
    rows[:n_wrong] = np.random.default_rng(1).standard_normal((n_wrong, rows.shape[1]))
    mean = np.concatenate([item.values for item in world.training]).mean(axis=0)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return SparseCoder(
        W_enc=unit.T, b_enc=np.zeros(len(unit)), W_dec=unit, b_dec=mean, threshold=0.0, scale=1.0, k=len(unit)
    )


def test_the_truth_scores_one_and_a_part_of_it_its_share(world):
    found = score(truth_itself(world), world)
    assert (found["mmcs"], found["f1"]) == (pytest.approx(1), pytest.approx(1))
    part = score(truth_itself(world, n_wrong=16), world)
    assert part["f1"] == pytest.approx(0.75, abs=0.02)
    assert part["found, child"] < 1
    assert part["mmcs"] < 0.95


def test_frames_are_what_was_planned(world):
    frames = np.concatenate([item.values for item in world.training]).astype(np.float64)
    spread = np.square(frames - frames.mean(axis=0)).sum(axis=1).mean()
    assert np.square(frames.mean(axis=0)).sum() > 3 * spread
    assert len(world.held_out) == len(world.training) // 4
    assert sum(map(len, world.kinds.values())) == QUICK.n_atoms
    assert len(world.kinds["child"]) == N_CHILDREN * len(world.kinds["parent"])
    values = world.training[0].values - frames.mean(axis=0)
    lasting = (values[1:] * values[:-1]).sum() / np.square(values).sum()
    assert 0.2 < lasting < 0.8
    again = build(QUICK, seed=0)
    np.testing.assert_array_equal(again.training[3].values, world.training[3].values)


def test_the_report_is_json_and_says_what_was_not_run(report):
    again = json.loads(json.dumps(report, allow_nan=False))
    assert {"torch", "brainalign"} <= set(again["versions"])
    rows = {row["who"]: row for row in again["rows"]}
    assert set(rows) == {"batchtopk", "random directions", *PEERS}
    assert all(rows[name]["problem"] == "not run: no --peers" for name in PEERS)
    assert len(rows["batchtopk"]["seeds"]) == 2
    assert again["claims"] == []


def test_a_library_that_cannot_run_is_a_row_that_says_so(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named dictionary_learning' >&2\nexit 1\n")
    python.chmod(0o755)
    name = "dictionary_learning, equal"
    (row,) = sae_recovery.run(TINY, n_seeds=1, python=python, only=[name])["rows"]
    assert row == {"who": name, "problem": "did not run: No module named dictionary_learning"}


def test_claims_compare_like_with_like_and_can_fail():
    one = {"mmcs": 0.5, "f1": 0.4}
    names = ("batchtopk", "topk", "SAELens, equal", "dictionary_learning TopK, equal")
    rows = [{"who": name, "seeds": [dict(one), dict(one)]} for name in names]
    rows[1]["seeds"] = [{"mmcs": 0.7, "f1": 0.3}] * 2
    made = {claim["name"].split(" (")[0]: claim for claim in sae_recovery.claims(rows, judged=True)}
    assert made["MMCS of our topk less that of dictionary_learning TopK, equal"]["ok"]
    assert made["F1 of our topk less that of dictionary_learning TopK, equal"]["ok"] is False
    assert made["MMCS of our batchtopk less that of SAELens, equal"]["ok"] is False
    assert all(claim["ok"] is None for claim in sae_recovery.claims(rows, judged=False))


def test_what_reseeding_could_make_is_level_and_not_judged():
    rows = [
        {"who": who, "seeds": [{"mmcs": mean + off, "f1": mean} for off in (-0.02, 0.0, 0.02)]}
        for who, mean in (("batchtopk", 0.50), ("dictionary_learning, equal", 0.51))
    ]
    mmcs, f1 = sae_recovery.claims(rows, judged=True)
    assert ": level" in mmcs["name"]
    assert mmcs["ok"] is None
    assert f1["ok"] is False


def test_the_same_report_becomes_a_page_of_markdown(report):
    page = sae_recovery.markdown(report)
    assert "| batchtopk |" in page
    assert "2 seeds" in page


def test_every_variant_is_there():
    assert {"batchtopk", "topk", "gated", "jumprelu", "relu-l1", "matryoshka", "temporal", "frozen-decoder"} <= set(
        OURS
    )


def test_help_runs():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sae_recovery", "--help"], capture_output=True, text=True, check=True
    )
    assert "--peers" in done.stdout
