"""A training killed anywhere and started again ends with the bytes of an unbroken one."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from brainalign.core.errors import DamagedArtefact, ValueProblem
from brainalign.sae.crosscoder import stack_layers
from brainalign.sae.mixture import Mixture
from brainalign.sae.resume import RunFolder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from brainalign.sae.variants.known import VARIANTS
from tests.sae.worlds import planted

RECIPE = SaeTraining(
    k=5, expansion=2, n_steps=120, n_batch=192, revive_after=0.1, resample_after=0.15, learning_rate=1e-2, patience=50
)
TIMES = ("seconds", "frames_per_s")


class Killed(BaseException):
    """What a test throws into a training."""


@pytest.fixture(scope="module")
def world():
    return planted(3, n_frames=4000)


def training(world, run=None, *, progress=None, settings=RECIPE, seed=0):
    *frames, unseen = world.trajectories
    return train_sae(frames, settings, seed=seed, held_out=[unseen], run=run, progress=progress)


def lines(run):
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def without_times(found):
    return [{name: value for name, value in line.items() if name not in TIMES} for line in found]


@pytest.fixture(scope="module")
def unbroken(world, tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("unbroken") / "run", every_steps=7, log_every=5)
    return training(world, run), without_times(lines(run))


def kill_at(step):
    def progress(done, total, note):
        if done >= step:
            raise Killed

    return progress


def test_killed_at_five_random_points_gives_the_same_weights_and_log(world, unbroken, tmp_path, rng):
    run = RunFolder(tmp_path / "run", every_steps=7, log_every=5)
    points = np.sort(rng.choice(np.arange(3, 119), size=5, replace=False))
    for point in points:
        with pytest.raises(Killed):
            training(world, run, progress=kill_at(point))
    coder = training(world, run)
    assert coder.content == unbroken[0].content
    assert coder.metadata == unbroken[0].metadata
    assert without_times(lines(run)) == unbroken[1]
    assert [line["step"] for line in lines(run)] == sorted({line["step"] for line in lines(run)})


def test_keeping_a_run_does_not_change_it(world, unbroken):
    assert training(world).content == unbroken[0].content


def test_a_finished_run_is_not_trained_again(world, unbroken, tmp_path):
    run = RunFolder(tmp_path / "run", every_minutes=None, log_every=5)
    first = training(world, run)
    seen = []
    again = training(world, run, progress=lambda *told: seen.append(told))
    assert first.content == again.content == unbroken[0].content
    assert not seen
    assert without_times(lines(run)) == unbroken[1]


def test_a_mixture_goes_on_where_it_stopped(world, tmp_path):
    one, two, three, _ = world.trajectories
    mixture = Mixture({"speech": [one, two], "music": [three]}, {"music": 3})
    settings = SaeTraining(k=5, expansion=2, n_steps=60, n_batch=300)
    whole = train_sae(mixture, settings, seed=1)
    run = RunFolder(tmp_path / "run", every_steps=4)
    for point in (11, 37):
        with pytest.raises(Killed):
            train_sae(mixture, settings, seed=1, run=run, progress=kill_at(point))
    assert train_sae(mixture, settings, seed=1, run=run).content == whole.content


@pytest.mark.parametrize("name", [*sorted(VARIANTS), "batchtopk, screened"])
def test_every_variant_remembers_what_it_must(world, tmp_path, name):
    """With patience, too: an evaluation in between must leave no trace in what a variant remembers."""
    variant, _, screened = name.partition(", ")
    screening = "bfloat16" if screened else "exact"
    settings = SaeTraining(
        k=5, expansion=2, n_steps=24, n_batch=128, variant=variant, screening=screening, patience=9, evaluate_every=0.2
    )
    frames, unseen = world.trajectories[:2], world.trajectories[2:3]
    if variant == "crosscoder":
        frames = stack_layers({"one": frames, "two": frames})
        unseen = stack_layers({"one": unseen, "two": unseen})
    whole = train_sae(frames, settings, seed=0, held_out=unseen)
    run = RunFolder(tmp_path / "run", every_steps=5, log_every=1)
    for point in (8, 17):
        with pytest.raises(Killed):
            train_sae(frames, settings, seed=0, held_out=unseen, run=run, progress=kill_at(point))
    resumed = train_sae(frames, settings, seed=0, held_out=unseen, run=run)
    assert resumed.content == whole.content
    assert resumed.metadata == whole.metadata


SCRIPT = """
import sys
from brainalign.sae.resume import RunFolder
from tests.sae.test_resume import RECIPE, training
from tests.sae.worlds import planted

run = RunFolder(sys.argv[1], every_steps=5, log_every=5)
print("begins", flush=True)
print(training(planted(3, n_frames=4000), run).content)
"""


def process(folder, root):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], cwd=root, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_by_the_system_twice_it_ends_with_the_same_bytes(unbroken, tmp_path, rng):
    """SIGKILL leaves no time to tidy up: whatever is on the disk then must do."""
    folder, root = tmp_path / "run", Path(__file__).parents[2]
    for _ in range(2):
        running = process(folder, root)
        n_before = len(list(folder.glob("checkpoints/step-*")))
        newest = max(folder.glob("checkpoints/step-*"), default=None)
        while running.poll() is None and max(folder.glob("checkpoints/step-*"), default=None) == newest:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.05)))
        running.kill()
        running.communicate()
        assert running.returncode == -signal.SIGKILL, n_before
    last = process(folder, root)
    told, _ = last.communicate()
    assert told.split() == ["begins", unbroken[0].content]
    assert without_times(lines(RunFolder(folder))) == unbroken[1]


@pytest.fixture
def broken_off(world, tmp_path):
    """A run with two checkpoints, of steps 40 and 60."""
    run = RunFolder(tmp_path / "run", every_steps=20, log_every=5)
    with pytest.raises(Killed):
        training(world, run, progress=kill_at(65))
    assert [item.name for item in sorted(run.checkpoints.iterdir())] == ["step-000000040", "step-000000060"]
    return run


def spoil(folder):
    path = folder / "learner.parameter.decoder.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def test_a_damaged_checkpoint_is_refused_and_the_one_before_used_when_asked_for(world, unbroken, broken_off):
    spoil(broken_off.checkpoints / "step-000000060")
    with pytest.raises(DamagedArtefact, match="damaged") as told:
        training(world, broken_off)
    assert "previous=True to go on from step-000000040" in told.value.fix
    assert "step-000000060" in told.value.got
    older = RunFolder(broken_off.path, every_steps=20, log_every=5, previous=True)
    assert training(world, older).content == unbroken[0].content
    assert without_times(lines(older)) == unbroken[1]


@pytest.mark.parametrize("what", ["header", "array", "missing"])
def test_every_kind_of_damage_is_noticed(world, broken_off, what):
    folder = broken_off.checkpoints / "step-000000060"
    if what == "header":
        text = (folder / "header.json").read_text()
        (folder / "header.json").write_text(text.replace('"step":60', '"step":61'))
    elif what == "array":
        spoil(folder)
    else:
        (folder / "stream.waiting.npy").unlink()
    with pytest.raises(DamagedArtefact, match="the last checkpoint of this training is damaged"):
        training(world, broken_off)


def test_previous_does_not_help_where_nothing_is_left(world, broken_off):
    shutil.rmtree(broken_off.checkpoints / "step-000000040")
    spoil(broken_off.checkpoints / "step-000000060")
    with pytest.raises(DamagedArtefact, match="damaged") as told:
        training(world, RunFolder(broken_off.path, previous=True))
    assert told.value.fix.startswith("delete ")


def test_a_checkpoint_of_another_training_is_refused(world, broken_off):
    with pytest.raises(ValueProblem, match="another training") as told:
        training(world, broken_off, seed=1)
    assert "seed: 0 there, 1 here" in told.value.got
    with pytest.raises(ValueProblem, match=r"frames: \w+ there, \w+ here"):
        training(planted(4, n_frames=4000), broken_off)


def test_a_shortened_log_is_noticed(world, broken_off):
    broken_off.metrics.write_text("".join(broken_off.metrics.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(DamagedArtefact, match="3 lines, 20 were written"):
        training(world, broken_off)


def test_a_run_folder_says_what_it_cannot_do(tmp_path):
    with pytest.raises(ValueProblem, match="every_steps must be positive"):
        RunFolder(tmp_path, every_steps=0)
