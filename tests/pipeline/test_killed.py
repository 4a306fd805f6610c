"""A run killed at any moment goes on, and ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from brainalign.pipeline.store import Store
from tests.pipeline.toys import bytes_of

ROOT = Path(__file__).parents[2]
N_KILLS = 8


def script(store, *, sleep):
    return [sys.executable, "-m", "tests.pipeline.toys", str(store), "2", str(sleep)]


def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path):
    moments = random.Random(3)
    sleep = 0.02
    subprocess.run(script(tmp_path / "whole", sleep=sleep), cwd=ROOT, check=True)
    cut = tmp_path / "cut"
    n_killed = 0
    for number in range(N_KILLS):
        process = subprocess.Popen(script(cut, sleep=sleep), cwd=ROOT, start_new_session=True)
        time.sleep(moments.uniform(0.5, 1.3))
        # With its workers at one time; at the next alone, so that they live on for a moment beside the new run.
        (os.killpg if number % 2 else os.kill)(process.pid, signal.SIGKILL)
        n_killed += process.wait() == -signal.SIGKILL
    assert n_killed >= 2
    subprocess.run(script(cut, sleep=sleep), cwd=ROOT, check=True)
    time.sleep(1.5)  # orphaned workers see within a second that nobody waits for them
    Store(cut).prepare()
    assert bytes_of(cut) == bytes_of(tmp_path / "whole")
