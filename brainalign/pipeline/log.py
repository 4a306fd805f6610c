"""How does long work tell how it goes?

On a terminal: a bar for the whole run and one for each task at work, with rates and the
time left. Elsewhere (a file, a cluster's log): plain lines with the seconds since the
start, not more than are worth reading. All of it goes to the error stream, so that
results can be piped.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Task as RichTask
from rich.text import Text

_FINISHED_EVERY_S = 1.0
_PROGRESS_EVERY_S = 10.0


class RunLog(Protocol):
    """What a run tells while it works."""

    def start(self, *, total: int, kept: int) -> None:
        """Tell how many tasks there are and how many are done already."""

    def progress(self, task: str, *, done: float, total: float | None, note: str) -> None:
        """Tell how far a task is."""

    def finished(self, task: str, *, seconds: float) -> None:
        """Tell that a task is done."""

    def warn(self, text: str) -> None:
        """Tell what one should know."""

    def detail(self, text: str) -> None:
        """Tell what only a close look asks for."""

    def end(self, *, made: int, kept: int, set_aside: int, seconds: float) -> None:
        """Sum the run up."""


class SilentLog:
    """Tells nothing."""

    def start(self, *, total: int, kept: int) -> None:
        """Tell nothing."""

    def progress(self, task: str, *, done: float, total: float | None, note: str) -> None:
        """Tell nothing."""

    def finished(self, task: str, *, seconds: float) -> None:
        """Tell nothing."""

    def warn(self, text: str) -> None:
        """Pass it to Python's own logging, where nothing is lost."""
        logging.getLogger("brainalign").warning(text)

    def detail(self, text: str) -> None:
        """Tell nothing."""

    def end(self, *, made: int, kept: int, set_aside: int, seconds: float) -> None:
        """Tell nothing."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""


class PlainLog(SilentLog):
    """Plain lines: ``[   12.3 s] 5/40 encode[trial-03] in 2.1 s, 7 s left``.

    Parameters
    ----------
    stream
        Where to write; the error stream by default.
    quiet
        Warnings only.
    verbose
        Every task and every detail.
    clock
        Seconds; another one for tests.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        quiet: bool = False,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._quiet, self._verbose = quiet, verbose
        self._clock = clock
        self._begun = clock()
        self._working_since = self._begun
        self._total = self._done = self._kept = 0
        self._last_finished = float("-inf")
        self._told: dict[str, tuple[float, float]] = {}

    def start(self, *, total: int, kept: int) -> None:
        """Tell how many tasks there are and how many are done already."""
        self._total, self._done, self._kept = total, kept, kept
        self._working_since = self._clock()
        self._line(f"{total} tasks, {kept} of them done before")

    def progress(self, task: str, *, done: float, total: float | None, note: str) -> None:
        """Tell how far a task is, how fast it goes and what is left, every ten seconds."""
        now = self._clock()
        then, done_then = self._told.setdefault(task, (now, done))
        if now - then < _PROGRESS_EVERY_S:
            return
        self._told[task] = now, done
        rate = (done - done_then) / (now - then)
        speed = f"{rate:.3g}/s" if rate > 0 else ""
        left = f"{duration((total - done) / rate)} left" if rate > 0 and total and total > done else ""
        self._line(", ".join(filter(None, [f"{task} {done:g}{f'/{total:g}' if total else ''}", speed, left, note])))

    def finished(self, task: str, *, seconds: float) -> None:
        """Tell that a task is done; at most one line per second, unless verbose."""
        self._done += 1
        now = self._clock()
        if self._verbose or self._done == self._total or now - self._last_finished >= _FINISHED_EVERY_S:
            self._last_finished = now
            self._line(f"{self._done}/{self._total} {task} in {duration(seconds)}{self._left(now)}")

    def warn(self, text: str) -> None:
        """Tell it, even when quiet."""
        self._write(f"warning: {text}")

    def detail(self, text: str) -> None:
        """Tell it when verbose."""
        if self._verbose:
            self._line(text)

    def end(self, *, made: int, kept: int, set_aside: int, seconds: float) -> None:
        """Sum the run up."""
        self._line(summed_up(made=made, kept=kept, set_aside=set_aside, seconds=seconds))

    def _left(self, now: float) -> str:
        worked = now - self._working_since
        made, left = self._done - self._kept, self._total - self._done
        return f", {duration(worked / made * left)} left" if left and made and worked > _FINISHED_EVERY_S else ""

    def _line(self, text: str) -> None:
        if not self._quiet:
            self._write(f"[{self._clock() - self._begun:7.1f} s] {text}")

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class BarLog(SilentLog):
    """Bars on a terminal, as a context manager.

    Parameters
    ----------
    console
        Where to draw; the error stream by default.
    verbose
        Also tell details, above the bars.
    """

    def __init__(self, console: Console | None = None, *, verbose: bool = False) -> None:
        self._console = console or Console(stderr=True)
        self._verbose = verbose
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:g}/{task.total:g}"),
            RateColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        self._all: TaskID | None = None
        self._ids: dict[str, TaskID] = {}
        self._over: set[str] = set()

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture standing."""
        for task in list(self._ids.values()):
            self._bars.remove_task(task)
        self._ids.clear()
        self._bars.stop()

    def start(self, *, total: int, kept: int) -> None:
        """Draw the bar of the whole run."""
        note = f"{kept} done before" if kept else ""
        self._all = self._bars.add_task("all tasks", total=total, completed=kept, note=note)

    def progress(self, task: str, *, done: float, total: float | None, note: str) -> None:
        """Draw the bar of a task; a note that comes after its end is let go."""
        if task in self._over:
            return
        if task not in self._ids:
            self._ids[task] = self._bars.add_task(task, total=total or 1, note="")
        self._bars.update(self._ids[task], completed=done, total=total or 1, note=note)

    def finished(self, task: str, *, seconds: float) -> None:
        """Take the task's bar away and move the run's on."""
        self._over.add(task)
        if task in self._ids:
            self._bars.remove_task(self._ids.pop(task))
        if self._all is not None:
            self._bars.advance(self._all)
        self.detail(f"{task} in {duration(seconds)}")

    def warn(self, text: str) -> None:
        """Tell it above the bars."""
        self._console.print(f"warning: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        """Tell it above the bars when verbose."""
        if self._verbose:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self, *, made: int, kept: int, set_aside: int, seconds: float) -> None:
        """Sum the run up."""
        text = summed_up(made=made, kept=kept, set_aside=set_aside, seconds=seconds)
        self._console.print(text, markup=False, highlight=False)


class RateColumn(ProgressColumn):
    """Steps per second."""

    def render(self, task: RichTask) -> Text:
        """Write the rate, once there is one."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g}/s" if speed else "", style="dim")


def make_log(*, quiet: bool = False, verbose: bool = False) -> PlainLog | BarLog:
    """Choose between bars and lines by what the error stream is attached to."""
    if sys.stderr.isatty() and not quiet:
        return BarLog(verbose=verbose)
    return PlainLog(quiet=quiet, verbose=verbose)


def duration(seconds: float) -> str:
    """Write a duration for people.

    >>> duration(0.25), duration(75), duration(7320)
    ('0.2 s', '1 min 15 s', '2 h 2 min')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def summed_up(*, made: int, kept: int, set_aside: int, seconds: float) -> str:
    """Write a run's summary in one line."""
    damaged = f", {set_aside} damaged result{'s' if set_aside > 1 else ''} set aside" if set_aside else ""
    return f"done: {made} tasks made, {kept} kept from before{damaged}, in {duration(seconds)}"
