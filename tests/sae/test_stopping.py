"""Training stops where frames it never saw are explained no better, and gives back the best it had."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.sae.metrics import measure_sae
from brainalign.sae.resume import RunFolder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from tests.sae.worlds import as_trajectory, planted

# 150 frames and far more features than they need: training goes on to fit their noise
RECIPE = SaeTraining(k=8, expansion=8, n_steps=400, n_batch=64, learning_rate=1e-2, decay=0.0)


@pytest.fixture(scope="module")
def small():
    frames = planted(0, n_frames=4000).frames
    noisy = frames + 0.1 * np.random.default_rng(0).standard_normal(frames.shape)
    return as_trajectory(noisy[:150]), as_trajectory(noisy[1000:1500]), as_trajectory(noisy[2000:])


def test_patience_ends_a_run_that_overfits_and_returns_the_best(small, tmp_path):
    frames, unseen, third = small
    run = RunFolder(tmp_path / "run")
    stopped = train_sae([frames], replace(RECIPE, patience=3), seed=0, held_out=[unseen], run=run)
    whole = train_sae([frames], RECIPE, seed=0, held_out=[unseen])
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    found = {line["step"]: line["held_out_explained_variance"] for line in lines if line["step"] % 20 == 0}
    best = max(found, key=found.get)
    assert stopped.metadata["n_steps"] == best + 3 * 20 < 400
    assert max(found) == best + 3 * 20
    assert whole.metadata["n_steps"] == 400
    gained = measure_sae(stopped, third).explained_variance - measure_sae(whole, third).explained_variance
    assert gained > 0.01
    # what is returned is the best evaluation's: measured with its threshold, it is what was logged
    assert measure_sae(stopped, unseen).explained_variance == pytest.approx(found[best], abs=0.01)


def test_looking_does_not_change_the_training(small):
    frames, unseen, _ = small
    short = replace(RECIPE, n_steps=60)
    often = train_sae([frames], replace(short, evaluate_every=0.02), seed=0, held_out=[unseen])
    rarely = train_sae([frames], replace(short, evaluate_every=1.0), seed=0, held_out=[unseen])
    assert often.content == rarely.content


def test_patience_needs_frames(small):
    with pytest.raises(ValueProblem, match="patience needs frames to judge by"):
        train_sae([small[0]], replace(RECIPE, patience=3), seed=0)
    with pytest.raises(ValueProblem, match="patience must be positive"):
        replace(RECIPE, patience=0)
