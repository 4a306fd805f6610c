"""The log is whole, its numbers are right, and people see speed and time left."""

import json
import re
import sys
import types

import numpy as np
import pytest

from brainalign.core.errors import MissingPackage
from brainalign.sae.metrics import measure_sae
from brainalign.sae.resume import RunFolder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae

RECIPE = SaeTraining(k=5, expansion=4, n_steps=300, n_batch=256)


@pytest.fixture(scope="module")
def logged(truth, tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("logged") / "run", log_every=20)
    *frames, unseen = truth.trajectories
    coder = train_sae(frames, RECIPE, seed=0, held_out=[unseen], run=run)
    return coder, [json.loads(line) for line in run.metrics.read_text().splitlines()]


def test_a_line_says_where_the_run_is(logged):
    _, lines = logged
    # every 20 steps, and every 15 on held-out frames
    assert [line["step"] for line in lines] == sorted({*range(20, 301, 20), *range(15, 301, 15)})
    for line in lines:
        assert line["frames"] == 256 * line["step"]
        assert line["hours"] == pytest.approx(line["frames"] / 50 / 3600)
        assert line["l0"] == pytest.approx(5, rel=0.01)
        assert ("held_out_explained_variance" in line) == (line["step"] % 15 == 0)
    last = lines[-1]
    assert last["learning_rate"] == RECIPE.rate_at(299, n_steps=300, d_sae=192)
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_what_the_log_says_is_what_is_measured_afterwards(logged, truth):
    coder, lines = logged
    quality = measure_sae(coder, truth.trajectories[3])
    assert lines[-1]["held_out_explained_variance"] == pytest.approx(quality.explained_variance, abs=0.01)
    assert lines[-1]["explained_variance"] == pytest.approx(quality.explained_variance, abs=0.03)
    window_dead = np.mean(measure_sae(coder, truth.trajectories).density == 0)
    assert lines[-1]["dead_share"] == pytest.approx(window_dead, abs=0.05)
    # scaled frames have a mean squared norm of 1, so the loss is the normalised squared error
    assert lines[-1]["loss"] == pytest.approx(quality.normalised_mse, rel=0.1)


def test_people_see_speed_and_time_left(truth):
    notes = []
    train_sae(truth.trajectories, RECIPE, seed=0, progress=lambda done, total, note: notes.append(note))
    assert len(notes) == 100
    assert all(re.fullmatch(r"loss \d\.\d{4}, [\d,]+ frames/s, \d+ (s|min|h) left", note) for note in notes)
    assert notes[-1].endswith(" 0 s left")


def test_tensorboard_must_be_there(truth, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingPackage, match="need tensorboard") as told:
        train_sae(truth.trajectories, RECIPE, seed=0, run=RunFolder(tmp_path / "run", tensorboard=True))
    assert "pip install tensorboard" in told.value.fix


def test_tensorboard_gets_every_line(truth, tmp_path, monkeypatch):
    told = []

    class SummaryWriter:
        def __init__(self, folder, purge_step=None):
            assert purge_step == 100

        def add_scalar(self, name, value, step):
            told.append((step, name, value))

        def close(self):
            told.append("closed")

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    run = RunFolder(tmp_path / "run", tensorboard=True, log_every=100)
    train_sae(truth.trajectories, RECIPE, seed=0, run=run)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert told[-1] == "closed"
    assert [(step, value) for step, name, value in told[:-1] if name == "loss"] == [
        (line["step"], line["loss"]) for line in lines
    ]
