"""Two trainings never write into one folder, and a killed one does not keep it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from brainalign.core.errors import StoreProblem
from brainalign.sae import lock
from brainalign.sae.lock import FOREIGN_S, NAME, only_training
from brainalign.sae.resume import RunFolder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from tests.sae.worlds import planted

HOLD = "import sys, pathlib; from brainalign.sae.lock import only_training as only\n"
HOLD += "with only(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def left_behind(folder, **note):
    path = folder / NAME
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": "1"} | note))
    return path


def test_a_folder_is_free_again_however_it_ends(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), only_training(tmp_path / "run"):
            assert (tmp_path / "run" / NAME).exists()
            raise KeyError
    assert list((tmp_path / "run").iterdir()) == []


def test_another_process_is_kept_out_until_it_is_killed(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(StoreProblem, match=rf"another training.*\n.*process {other.pid} on"),
            only_training(tmp_path),
        ):
            pass
        assert (tmp_path / NAME).exists()
    finally:
        other.kill()
        other.communicate()
    with only_training(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_a_process_with_the_same_number_before_a_restart_is_gone(tmp_path):
    if not lock.started(os.getpid()):
        pytest.skip("the system does not say when a process began")
    left_behind(tmp_path)
    with only_training(tmp_path):
        pass


def test_another_machine_is_believed_at_work_while_it_gives_signs_of_life(tmp_path):
    path = left_behind(tmp_path, host="elsewhere")
    with pytest.raises(StoreProblem, match="on elsewhere"), only_training(tmp_path):
        pass
    os.utime(path, (0, time.time() - FOREIGN_S - 5))
    with only_training(tmp_path):
        pass


def test_a_lock_that_was_never_written_to_the_end_is_no_error(tmp_path):
    (tmp_path / NAME).write_text("")
    with pytest.raises(StoreProblem, match="process ?"), only_training(tmp_path):
        pass
    os.utime(tmp_path / NAME, (0, 0))
    with only_training(tmp_path):
        pass


def test_a_sign_of_life_is_given_now_and_then(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(lock.time, "monotonic", lambda: now[0])
    with only_training(tmp_path) as held:
        os.utime(tmp_path / NAME, (0, 0))
        held.beat()
        assert (tmp_path / NAME).stat().st_mtime == 0
        now[0] = 31.0
        held.beat()
        assert time.time() - (tmp_path / NAME).stat().st_mtime < 60


def test_a_dead_lock_that_became_a_living_one_is_put_back(tmp_path):
    path = left_behind(tmp_path)
    lock._remove(path, "what a dead process had written")
    assert path.exists()


def test_a_second_training_in_a_folder_is_refused_and_the_first_goes_on(tmp_path):
    frames, run = planted(3, n_frames=400).trajectories, RunFolder(tmp_path)
    settings, refused = SaeTraining(k=5, expansion=2, n_steps=10, n_batch=64), []

    def second(done, total, note):
        try:
            train_sae(frames, settings, seed=0, run=run)
        except StoreProblem as error:
            refused.append(error.what)

    def first(done, total, note):
        if done == 5:  # in a thread of its own: the number of threads is the caller's
            thread = threading.Thread(target=second, args=(done, total, note))
            thread.start()
            thread.join()

    found = train_sae(frames, settings, seed=0, run=run, progress=first)
    assert refused == ["another training is at work in this folder"]
    assert found.content == train_sae(frames, settings, seed=0).content
    assert not (tmp_path / NAME).exists()
