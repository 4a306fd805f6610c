"""Studies small enough to be run in a test: the tiny one, parts of it, and runs that are killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from brainalign.pipeline.execute import execute
from brainalign.pipeline.outputs import Results, write_outputs
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import Study, load_study
from tests.pipeline.toys import bytes_of

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
SUMMARY_KEYS = ("planted", "found", "sensitivity", "decoy_share", "latency_error_ms", "seconds")


def command(*arguments: object) -> list[str]:
    """Return the command line of a run in a process of its own."""
    return [sys.executable, "-m", "brainalign", *map(str, arguments)]


def in_terminal(*arguments: object, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process of its own."""
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def tiny(out: Path, **overrides: object) -> Study:
    """Lay the tiny study out into a folder; double underscores stand for dots."""
    return load_study(TINY, {"out": out, **{name.replace("__", "."): value for name, value in overrides.items()}})


def made(study: Study, *, n_jobs: int = 2) -> Store:
    """Make all of a study, its report included."""
    store = Store(study.store_folder)
    ended = execute(study.plan, store, n_jobs=n_jobs)
    write_outputs(study, store, seconds=ended.seconds)
    return store


def twin(store: Store, folder: Path) -> Store:
    """Return a store of the same results elsewhere; files are shared, as no run ever writes into one."""
    shutil.copytree(store.folder, folder, copy_function=os.link)
    return Store(folder)


def part_of(plan: Plan, names: Iterable[str]) -> Plan:
    """Return the plan of some tasks and of all that they are made from."""
    kept: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        kept.add(name)
        waiting += [need for need in plan[name].needs() if need not in kept]
    return Plan(plan.name, [task for task in plan if task.name in kept])


def kind(task: str) -> str:
    """Return what a task is, without whom it is for: ``"clean[01]"`` is ``"clean"``."""
    return task.partition("[")[0]


def write_config(path: Path, values: Mapping[str, object]) -> Path:
    """Write a configuration file."""
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False), encoding="utf-8")
    return path


def tiny_values() -> dict[str, object]:
    """Return the tiny study's configuration as plain values."""
    return yaml.safe_load(TINY.read_text(encoding="utf-8"))


def kill_at_random(arguments: list[str], store: Path, *, n_tasks: int, n_kills: int, seed: int) -> list[int]:
    """Run a study again and again, each time killed with all its workers at a random moment.

    Moments are drawn in results made, not in seconds, so that machines of any speed are
    interrupted everywhere; a fraction of a second is added, so that it is not always just
    after a result was written.

    Returns
    -------
    list of int
        How many results there were at each kill.
    """
    rng = random.Random(seed)
    moments = sorted(rng.sample(range(1, n_tasks - 2), n_kills))
    reached = []
    for moment in moments:
        process = subprocess.Popen(arguments, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
        while _count(store) < moment and process.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the study had ended before it could be killed"
        reached.append(_count(store))
    return reached


def _count(store: Path) -> int:
    return sum(1 for _ in store.glob("[!.]*/[!.]*/header.json"))


def but_for_seconds(summary: Mapping[str, object]) -> dict[str, object]:
    """Return a summary without the time that the work took."""
    return {name: value for name, value in summary.items() if name != "seconds"}


def assert_same_bytes(one: Path, other: Path) -> None:
    """Insist that two folders hold the same files, and name those that differ."""
    first, second = bytes_of(one), bytes_of(other)
    assert first
    differ = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    assert not differ, f"{len(differ)} files differ: {', '.join(differ[:8])}"


def copied(config: Path, folder: Path, **parts: object) -> Path:
    """Copy a study's files to a folder of its own, with other parts of its configuration."""
    shutil.copytree(config.parent, folder, ignore=shutil.ignore_patterns("out"))
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    (folder / config.name).write_text(yaml.safe_dump(values | parts), encoding="utf-8")
    return folder / config.name


def results_of(config: Path, *names: str) -> Results:
    """Make only some of a study's tasks, and what they are made from; return its results."""
    study = load_study(config, {"out": config.parent / "out", "sae.n_steps": 20})
    assert isinstance(study, Study)
    store = Store(study.store_folder)
    execute(part_of(study.plan, names), store, n_jobs=2)
    return Results(study, store)
