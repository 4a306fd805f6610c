import io
import logging
import re

import pytest
from rich.console import Console

from brainalign.pipeline.log import BarLog, PlainLog, SilentLog, duration, make_log


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def plain(clock, **options):
    stream = io.StringIO()
    return PlainLog(stream, clock=clock, **options), stream


def test_plain_lines_tell_time_count_and_what_is_left(clock):
    log, stream = plain(clock)
    log.start(total=4, kept=1)
    for name in ("a", "b", "c"):
        clock.now += 2.0
        log.finished(name, seconds=2.0)
    log.end(made=3, kept=1, set_aside=1, seconds=6.0)
    assert stream.getvalue().splitlines() == [
        "[    0.0 s] 4 tasks, 1 of them done before",
        "[    2.0 s] 2/4 a in 2.0 s, 4.0 s left",
        "[    4.0 s] 3/4 b in 2.0 s, 2.0 s left",
        "[    6.0 s] 4/4 c in 2.0 s",
        "[    6.0 s] done: 3 tasks made, 1 kept from before, 1 damaged result set aside, in 6.0 s",
    ]


@pytest.mark.parametrize(("verbose", "n_lines"), [(False, 3), (True, 101)])
def test_many_quick_tasks_do_not_flood_the_log(clock, verbose, n_lines):
    log, stream = plain(clock, verbose=verbose)
    log.start(total=100, kept=0)
    for number in range(100):
        clock.now += 0.009
        log.finished(f"task[{number}]", seconds=0.0)
    assert len(stream.getvalue().splitlines()) == n_lines


def test_progress_within_a_task_comes_every_ten_seconds_with_its_rate(clock):
    log, stream = plain(clock)
    for second in range(31):
        clock.now = float(second)
        log.progress("train", done=second * 20, total=5000, note="loss 0.3")
    assert stream.getvalue().splitlines() == [
        "[   10.0 s] train 200/5000, 20/s, 4 min 0 s left, loss 0.3",
        "[   20.0 s] train 400/5000, 20/s, 3 min 50 s left, loss 0.3",
        "[   30.0 s] train 600/5000, 20/s, 3 min 40 s left, loss 0.3",
    ]


def test_quiet_still_warns(clock):
    log, stream = plain(clock, quiet=True)
    log.start(total=1, kept=0)
    log.finished("a", seconds=1.0)
    log.warn("a result was damaged")
    assert stream.getvalue() == "warning: a result was damaged\n"


def test_details_are_for_the_verbose(clock):
    for verbose in (False, True):
        log, stream = plain(clock, verbose=verbose)
        log.detail("a: UserWarning: short")
        assert ("UserWarning" in stream.getvalue()) is verbose


def test_bars_on_a_terminal():
    stream = io.StringIO()
    with BarLog(Console(file=stream, force_terminal=True, width=100, _environ={}), verbose=True) as log:
        log.start(total=2, kept=1)
        log.progress("train[x]", done=10, total=50, note="loss 0.3")
        log.warn("a result of encode[x] was damaged")
        log.finished("train[x]", seconds=2.0)
        log.progress("train[x]", done=50, total=50, note="too late")
        log.end(made=1, kept=1, set_aside=0, seconds=2.0)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "all tasks" in shown
    assert "2/2" in shown
    assert "train[x] in 2.0 s" in shown
    assert "warning: a result of encode[x] was damaged" in shown
    assert "too late" not in shown
    assert "done: 1 tasks made, 1 kept from before, in 2.0 s" in shown


def test_without_a_terminal_lines_are_chosen_and_without_control_codes(capsys):
    with make_log() as log:
        log.start(total=1, kept=0)
    assert isinstance(log, PlainLog)
    assert "\x1b" not in capsys.readouterr().err


def test_silence_still_passes_warnings_on(caplog):
    with caplog.at_level(logging.WARNING, logger="brainalign"):
        SilentLog().warn("a result was damaged")
    assert "a result was damaged" in caplog.text


@pytest.mark.parametrize(("seconds", "text"), [(59.96, "1 min 0 s"), (3599.9, "1 h 0 min"), (59.94, "59.9 s")])
def test_durations_carry_over(seconds, text):
    assert duration(seconds) == text
