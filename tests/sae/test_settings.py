"""Schedules run as they say, and settings that cannot be meant are refused."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.hashing import canonical_json
from brainalign.sae.settings import SaeTraining


def rates(schedule, **options):
    recipe = SaeTraining(learning_rate=1.0, schedule=schedule, **options)
    return np.array([recipe.rate_at(step, n_steps=200, d_sae=512) for step in range(200)])


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_all_schedules_warm_up_alike(schedule):
    found = rates(schedule, warm_up=0.1, decay=0.5)
    np.testing.assert_allclose(found[:20], np.arange(1, 21) / 20)
    np.testing.assert_allclose(found[20:100], 1)


def test_schedules_differ_in_how_they_end():
    ends = {schedule: rates(schedule, decay=0.5)[100:] for schedule in ("linear", "cosine", "constant")}
    np.testing.assert_allclose(ends["linear"], 1 - np.arange(100) / 100)
    np.testing.assert_allclose(ends["cosine"], 0.5 + 0.5 * np.cos(np.pi * np.arange(100) / 100), atol=1e-12)
    np.testing.assert_allclose(ends["constant"], 1)


def test_audiosae_recipe_is_the_papers():
    recipe = SaeTraining.audiosae()
    assert (recipe.expansion, recipe.k, recipe.n_batch, recipe.variant) == (8, 50, 2500, "batchtopk")
    assert (recipe.revive_after, recipe.resample_after) == (None, None)
    n_steps = recipe.steps(1)
    assert n_steps == 200_000
    rate = [recipe.rate_at(step, n_steps=n_steps, d_sae=6144) for step in (0, 159_999, 180_000, 199_999)]
    assert rate == pytest.approx([2e-4, 2e-4, 1e-4, 2e-4 / 40_000])
    ks = [recipe.k_at(step, n_steps=n_steps, d_sae=6144) for step in (0, 5_000, 10_000, 199_999)]
    assert ks == [200, 125, 50, 50]
    assert SaeTraining.audiosae(n_steps=500).n_steps == 500


def test_settings_are_json_and_keep_their_options_apart():
    options = {"sparsity": 0.1}
    recipe = SaeTraining(options=options)
    options["sparsity"] = 5
    assert recipe.options == {"sparsity": 0.1}
    assert '"options":{"sparsity":0.1}' in canonical_json(recipe)
    assert replace(recipe, k=3).options == {"sparsity": 0.1}


def test_windows_in_steps():
    recipe = SaeTraining(revive_after=0.1, n_batch=900)
    assert recipe.window("revive_after", n_steps=500, rate=None) == 50
    assert recipe.window("resample_after", n_steps=500, rate=None) is None
    hours = replace(recipe, revive_after=2, dead_in="hours")
    assert hours.window("revive_after", n_steps=500, rate=50.0) == 400
    with pytest.raises(ValueProblem, match="hours of audio need one frame rate"):
        hours.window("revive_after", n_steps=500, rate=None)


def test_refuses_what_cannot_be_meant():
    with pytest.raises(UnknownName, match="did you mean 'cosine'"):
        SaeTraining(schedule="cosin")
    with pytest.raises(UnknownName, match="did you mean 'bfloat16'"):
        SaeTraining(screening="float16")
    with pytest.raises(UnknownName, match="Known: hours, run"):
        SaeTraining(dead_in="tokens")
    with pytest.raises(ValueProblem, match="revive_after is a share of the run"):
        SaeTraining(revive_after=2)
    with pytest.raises(ValueProblem, match="resample_after must be positive"):
        SaeTraining(resample_after=0)
