"""How is one task done, wherever it is done?

This is the part that travels to another process: it reads inputs from the store, runs the
stage on one thread and writes the artefact itself, so that big arrays never pass through
a pipe. What comes back is an `Outcome` of a few lines.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from threadpoolctl import threadpool_limits

from brainalign.core.artefact import Artefact, read_artefact
from brainalign.core.errors import BrainalignError, StoreProblem, ValueProblem
from brainalign.core.workers import never_retire
from brainalign.pipeline.stage import Task, resolve
from brainalign.pipeline.store import Store, write_json

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_NOTE_EVERY_S = 0.25
_WATCH_EVERY_S = 1.0
_WATCH = "brainalign-watch"


@dataclass(frozen=True)
class Order:
    """All that a worker needs to do one task.

    Parameters
    ----------
    task
        The task.
    keys
        The key of the task and of each task it needs, by task name.
    store, notes
        The store's folder, and the folder for notes of progress.
    parent
        The number of the process that asked for it.
    """

    task: Task
    keys: Mapping[str, str]
    store: Path
    notes: Path
    parent: int


@dataclass(frozen=True)
class Outcome:
    """How a task ended: after how many seconds, with which warnings, and what went wrong."""

    task: str
    seconds: float
    warnings: tuple[str, ...] = ()
    error: BrainalignError | None = None
    failure: str = ""
    trace: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the artefact was made."""
        return self.error is None and not self.failure


@dataclass
class Notes:
    """Progress as a small file that is replaced now and then; the asking process reads it.

    A file works from any process on any machine that shares the store, and a task that
    dies leaves nothing worse than an old note.
    """

    path: Path
    _next: float = field(default=0.0)

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None:
        """Write how far the task is, at most a few times per second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _NOTE_EVERY_S
        try:
            write_json(self.path, {"done": float(done), "total": None if total is None else float(total), "note": note})
        except StoreProblem:
            self._next = float("inf")  # progress is a courtesy; the work itself will tell of a full disk


def perform(order: Order) -> Outcome:
    """Do one task, alone on one thread, and put its artefact into the store."""
    if os.getpid() != order.parent:
        _settle_in_worker(order.parent)
    start = time.monotonic()
    problem: dict[str, object] = {}
    with warnings.catch_warnings(record=True) as caught:
        try:
            _perform(order)
        except BrainalignError as error:
            problem = {"error": error, "trace": traceback.format_exc()}
        except Exception as error:  # whatever a stage raises: told by name, and the tasks beside it finish
            problem = {"failure": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    told = tuple(dict.fromkeys(f"{item.category.__name__}: {item.message}" for item in caught))
    return Outcome(order.task.name, time.monotonic() - start, told, **problem)  # type: ignore[arg-type]


def _perform(order: Order) -> None:
    store, task = Store(order.store), order.task
    notes = Notes(order.notes / f"{task.name}.json")
    notes(0)
    # The asking process has checked these hashes, or has seen them written, in this very run.
    found = {name: read_artefact(store.path(order.keys[name]), verify=False) for name in task.needs()}
    made = task.stage.run(task.settings, resolve(task, found), files=tuple(task.files), progress=notes)
    if not isinstance(made, Artefact):
        raise ValueProblem(
            f"the stage {task.stage.name!r} did not return an artefact",
            got=type(made).__name__,
            fix="return thing.pack()",
        )
    store.put(order.keys[task.name], made)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold numerical libraries to one thread, so that bytes do not depend on the machine's load."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    torch = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch else 0
    try:
        _limit_torch(1)
        with threadpool_limits(limits=1):
            yield
    finally:
        _limit_torch(torch_threads)
        for name, value in before.items():
            _restore(name, value)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _limit_torch(n_threads: int) -> None:
    torch = sys.modules.get("torch")
    if torch and n_threads:
        torch.set_num_threads(n_threads)


def _settle_in_worker(parent: int) -> None:
    """Make a worker process single-threaded for good, and let it end with the process that started it."""
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    threadpool_limits(limits=1)
    _limit_torch(1)
    never_retire()
    ours = multiprocessing.current_process().name.startswith("LokyProcess")  # and not a cluster's worker
    watched = any(thread.name == _WATCH for thread in threading.enumerate())
    if ours and not watched:
        # An interrupt from the keyboard reaches every process; the asking one alone answers it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_watch, args=(parent,), name=_WATCH, daemon=True).start()


def _watch(parent: int) -> None:
    """End this process when its parent is gone: nobody is left to use what it makes."""
    while os.getppid() == parent:
        time.sleep(_WATCH_EVERY_S)
    os._exit(1)
