"""A process is known by its number and by when it began."""

import os
import subprocess
import sys

import pytest

from brainalign.core.processes import is_running, started


def test_a_process_runs_until_it_ends():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(child.pid)
    assert is_running(child.pid, since=started(child.pid))
    child.communicate(b"\n")
    assert not is_running(child.pid)


@pytest.mark.skipif(not started(os.getpid()), reason="the system has no /proc")
def test_a_number_that_was_given_out_again_is_another_process():
    assert is_running(os.getpid(), since=started(os.getpid()))
    assert not is_running(os.getpid(), since="1")


@pytest.mark.skipif(not started(os.getpid()), reason="the system has no /proc")
def test_a_process_that_nobody_has_collected_does_not_run():
    child = subprocess.Popen([sys.executable, "-c", "print(end='')"], stdout=subprocess.PIPE)
    assert child.stdout.read() == b""  # closed by its end
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    os.kill(child.pid, 0)  # the number is still known
    assert not is_running(child.pid)
    child.stdout.close()
    child.wait()


def test_numbers_beyond_all_processes_do_not_run():
    assert not is_running(2**40)
    assert started(2**40) == ""
