"""Who does the work, and when?

joblib does: processes on this machine, or whatever backend the caller has chosen with
``joblib.parallel_config`` (a Dask cluster, say). Results go straight into the store, so
a run that is stopped at any moment goes on from there and ends with the same bytes.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib._parallel_backends import LokyBackend
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import get_active_backend

from brainalign.core.errors import BrainalignError
from brainalign.core.hashing import plain
from brainalign.pipeline.log import RunLog, SilentLog
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.store import Condition, Store, read_json
from brainalign.pipeline.work import Order, Outcome, one_thread, perform

_POLL_S = 0.5
_TOUCH_S = 30.0


class TaskFailed(BrainalignError, RuntimeError):
    """A task ended with an error that no one foresaw.

    Attributes
    ----------
    trace
        The traceback, as text.
    """

    trace: str = ""


@dataclass(frozen=True)
class RunSummary:
    """What a run did: tasks made, tasks kept from before, damaged artefacts set aside, seconds."""

    made: tuple[str, ...]
    kept: tuple[str, ...]
    set_aside: tuple[Path, ...]
    seconds: float


def execute(plan: Plan, store: Store, *, n_jobs: int | None = None, log: RunLog | None = None) -> RunSummary:
    """Make all that a plan asks for and the store does not hold.

    Parameters
    ----------
    plan
        What to make.
    store
        Where results are kept. It is prepared (and refused if unwritable) before any work.
    n_jobs
        Tasks at a time; by default one per core. Each works on one thread, so bytes do not depend on it.
    log
        Told of progress; silent by default.

    Raises
    ------
    BrainalignError
        The error of the first task that failed, with the task's name; what was done is kept.
    TaskFailed
        If that error was none of the package's own.
    """
    start = time.monotonic()
    log = log or SilentLog()
    keys = plan.keys
    store.prepare()
    set_aside = _set_aside_damaged(plan, store, log=log)
    kept = tuple(name for name, key in keys.items() if store.has(key))
    for name in kept:
        _remember(plan, store, name)
    log.start(total=len(plan), kept=len(kept))
    made = _make(plan, store, n_jobs=n_jobs, log=log) if len(kept) < len(plan) else ()
    store.tidy()  # a process that was killed in the midst of writing may have taken a while to die
    summary = RunSummary(made, kept, set_aside, time.monotonic() - start)
    log.end(made=len(made), kept=len(kept), set_aside=len(set_aside), seconds=summary.seconds)
    return summary


def _set_aside_damaged(plan: Plan, store: Store, *, log: RunLog) -> tuple[Path, ...]:
    """Check all that is there before any of it is believed; hashing frees the interpreter, so threads do."""
    names = {key: name for name, key in plan.keys.items() if store.has(key)}
    with ThreadPoolExecutor(cpu_count()) as pool:
        conditions = dict(zip(names, pool.map(store.condition, names), strict=True))
    moved = []
    for key, condition in conditions.items():
        if condition is Condition.DAMAGED:
            moved.append(store.set_aside(key))
            log.warn(f"the result of {names[key]} was damaged; it was moved to {moved[-1]} and is made again")
    return tuple(moved)


def _remember(plan: Plan, store: Store, name: str) -> None:
    store.remember(plan.name, name, plain(plan.parts[name]))


def _make(plan: Plan, store: Store, *, n_jobs: int | None, log: RunLog) -> tuple[str, ...]:
    made: list[str] = []
    with _notes(store, log=log) as notes, _workers(n_jobs) as parallel:
        for level in plan.levels:
            pending = [name for name in level if not store.has(plan.key(name))]
            made += _make_level(plan, store, pending, parallel=parallel, notes=notes, log=log)
    return tuple(made)


def _make_level(
    plan: Plan, store: Store, pending: Sequence[str], *, parallel: Parallel, notes: Path, log: RunLog
) -> list[str]:
    """Make tasks that do not need each other; those that share a key are made once."""
    sharing: dict[str, list[str]] = {}
    for name in pending:
        sharing.setdefault(plan.key(name), []).append(name)
    orders = [_order(plan, store, names[0], notes=notes) for names in sharing.values()]
    made: list[str] = []
    failed: Outcome | None = None
    for outcome in _wave(orders, parallel=parallel):
        for text in outcome.warnings:
            log.detail(f"{outcome.task}: {text}")
        if not outcome.ok:
            failed = failed or outcome
            continue
        for name in sharing[plan.key(outcome.task)]:
            _remember(plan, store, name)
            log.finished(name, seconds=outcome.seconds)
            made.append(name)
    if failed:
        raise _error(failed) from failed.error
    return made


def _order(plan: Plan, store: Store, name: str, *, notes: Path) -> Order:
    keys = {one: plan.key(one) for one in (name, *plan[name].needs())}
    return Order(plan[name], keys, store.folder.absolute(), notes.absolute(), os.getpid())


def _wave(orders: Sequence[Order], *, parallel: Parallel) -> Iterator[Outcome]:
    """Do the work and hand out each outcome as it comes; after a failure nothing new is begun."""
    stop = threading.Event()
    try:
        for outcome in parallel(_calls(orders, stop=stop)):
            if not outcome.ok:
                stop.set()
            with suppress(OSError):
                (orders[0].notes / f"{outcome.task}.json").unlink()
            yield outcome
    except TerminatedWorkerError as error:
        raise TaskFailed(
            "a worker process was ended from outside, most often for want of memory",
            got=", ".join(order.task.name for order in orders[:5]) + (" ..." if len(orders) > 5 else ""),
            fix="run the same command again with fewer --jobs; what is done is kept",
        ) from error


def _calls(orders: Iterable[Order], *, stop: threading.Event) -> Iterator[tuple[object, ...]]:
    for order in orders:
        if stop.is_set():
            return
        yield delayed(perform)(order)


def _error(failed: Outcome) -> BrainalignError:
    """Tell the task's own error with the task's name."""
    if failed.error is not None:
        error = failed.error
        return type(error)(f"{error.what} (in {failed.task})", got=error.got, fix=error.fix)
    told = TaskFailed(
        f"{failed.task} failed with an error that was not foreseen",
        got=failed.failure,
        fix="run the same command with --verbose to see where; what is done is kept",
    )
    told.trace = failed.trace
    return told


@contextmanager
def _workers(n_jobs: int | None) -> Iterator[Parallel]:
    """Set up joblib: the caller's backend where one was chosen, else processes, or this one for one job."""
    backend, _ = get_active_backend()
    chosen = not isinstance(backend, LokyBackend)
    jobs = n_jobs if n_jobs and n_jobs > 0 else (None if chosen else cpu_count())
    with ExitStack() as stack:
        if jobs == 1 or getattr(backend, "uses_threads", False):
            stack.enter_context(one_thread())
        elif not chosen:
            stack.enter_context(parallel_config(backend="loky", inner_max_num_threads=1))
        ahead = jobs if jobs and not chosen else "2*n_jobs"
        yield stack.enter_context(
            Parallel(n_jobs=jobs, batch_size=1, pre_dispatch=ahead, return_as="generator_unordered")
        )


@contextmanager
def _notes(store: Store, *, log: RunLog) -> Iterator[Path]:
    """Keep a folder for the workers' notes of progress, and read them to the log."""
    folder = store.running_folder()
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    reader = threading.Thread(target=_read_notes, args=(folder, log, stop), daemon=True)
    reader.start()
    try:
        yield folder
    finally:
        stop.set()
        reader.join()
        shutil.rmtree(folder, ignore_errors=True)


def _read_notes(folder: Path, log: RunLog, stop: threading.Event) -> None:
    touched = time.monotonic()
    while not stop.wait(_POLL_S):
        for path in sorted(folder.glob("*.json")):
            if note := read_json(path):
                log.progress(path.stem, done=note["done"], total=note["total"], note=note["note"])
        if time.monotonic() - touched > _TOUCH_S:  # so that other machines see that this run is alive
            touched = time.monotonic()
            os.utime(folder)
