"""How long does one computation take, and how much memory? A process of its own for each, one thread in BLAS.

The parent writes what is to be done to the standard input of ``python -m benchmarks._engine_job``; the child reads the
data, does the same on a tiny problem first (imports, compiled code), and then measures. Peak memory is the largest
resident size from then on, less what was resident when the data had been read: the system's own high-water mark
(``ru_maxrss``), which Linux sets back on demand. Where there are worker processes, their high-water marks are added,
shared pages and all (an upper bound), and so are their core-seconds.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import time
import uuid
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks._engine_data import Data, read_data

LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMBA", "BLIS")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in LIBRARIES}
_TINY_FRAMES, _TINY_CHANNELS = 400, 2


@dataclass(frozen=True)
class Job:
    """One computation.

    Attributes
    ----------
    call
        ``module:function`` inside `benchmarks`.
    data
        Folder of the data, or "" where none are needed.
    take
        ``n_features``, ``n_channels``, ``n_frames``: the part of the data to read.
    options
        For the function.
    repeats
        Runs; the fastest counts.
    """

    call: str
    data: str = ""
    take: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    repeats: int = 1


@dataclass(eq=False)
class Outcome:
    """What a measured function gives back.

    Attributes
    ----------
    arrays
        Results, to be compared with others'.
    part
        The part of the task that was really done, between 0 and 1.
    fixed
        Core- and wall-seconds that the whole task needs only once.
    facts
        Anything else worth telling.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    part: float = 1.0
    fixed: tuple[float, float] = (0.0, 0.0)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Measured:
    """One computation's results, time and memory.

    Attributes
    ----------
    core_s, wall_s
        Of the fastest run, extrapolated to the whole task where only a part was done.
    above_mb, peak_mb
        Largest resident memory above the data, and in all.
    part, facts, arrays
        As in `Outcome`.
    runs
        Core-seconds really measured, run by run.
    problem
        Why there is nothing to show, or "".
    """

    core_s: float = float("nan")
    wall_s: float = float("nan")
    above_mb: float = float("nan")
    peak_mb: float = float("nan")
    part: float = 1.0
    facts: dict[str, Any] = field(default_factory=dict)
    runs: list[float] = field(default_factory=list)
    problem: str = ""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def seconds() -> tuple[float, float]:
    """Return core-seconds used so far (by ended and living children, too) and the time, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(item.ru_utime + item.ru_stime for item in used)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = child.cpu_times()
            total += spent.user + spent.system
    return total, time.perf_counter()


def since(start: tuple[float, float]) -> tuple[float, float]:
    """Return core- and wall-seconds since a moment."""
    core, wall = seconds()
    return core - start[0], wall - start[1]


def run_job(job: Job, folder: Path, *, needs: str = "") -> Measured:
    """Run a computation in a process of its own.

    Parameters
    ----------
    job
        What to do.
    folder
        For its results.
    needs
        Package without which it cannot be done.
    """
    if needs and importlib.util.find_spec(needs) is None:
        return Measured(problem="not installed")
    out = folder / f"{uuid.uuid4().hex}.npz"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._engine_job"],
        input=json.dumps(asdict(job) | {"out": str(out)}),
        env=os.environ | ONE_THREAD | {"MNE_DONTWRITE_HOME": "true", "MPLBACKEND": "Agg"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return Measured(problem=f"failed: {(done.stderr.strip().splitlines() or [f'exit {done.returncode}'])[-1]}")
    with np.load(out) as found:
        arrays = {name: found[name] for name in found.files}
    out.unlink()
    return Measured(**json.loads(str(arrays.pop("report"))), arrays=arrays)


def _main() -> None:
    told = json.loads(sys.stdin.read())
    out = Path(told.pop("out"))
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measured = measure(Job(**told))
    arrays = measured.arrays
    report = {name: value for name, value in vars(measured).items() if name != "arrays"}
    np.savez(out, report=json.dumps(report), **arrays)


def measure(job: Job) -> Measured:
    """Do a computation here, and measure it."""
    module, name = job.call.split(":")
    home = importlib.import_module(f"benchmarks.{module}")
    function, prepare = getattr(home, name), getattr(home, "prepare", {}).get(name, Data.design)
    if job.data:
        tiny = {"n_frames": _TINY_FRAMES, "n_channels": _TINY_CHANNELS, "n_features": 1}
        function(prepare(read_data(Path(job.data), **tiny)), **job.options)
        ready: Any = prepare(read_data(Path(job.data), **job.take))
    else:
        ready = None
    gc.collect()
    before = _watch_memory()
    times, outcome = [], Outcome()
    for _ in range(job.repeats):
        start = seconds()
        outcome = function(ready, **job.options)
        times.append((*since(start), outcome.fixed))
    core, wall, fixed = min(times)
    peak = _peak_memory()
    return Measured(
        core_s=fixed[0] + (core - fixed[0]) / outcome.part,
        wall_s=fixed[1] + (wall - fixed[1]) / outcome.part,
        above_mb=(peak - before) / 1e6,
        peak_mb=peak / 1e6,
        part=outcome.part,
        facts=outcome.facts,
        runs=[item[0] for item in times],
        arrays=outcome.arrays,
    )


def _watch_memory() -> int:
    """Set the high-water mark back where the system can; return the resident size, or else the mark."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    return _peak_memory()


def _peak_memory() -> int:
    if not Path("/proc/self/status").exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    children = psutil.Process().children(recursive=True)
    return _status("VmHWM") + sum(_status("VmHWM", str(child.pid)) for child in children)


def _status(name: str, process: str = "self") -> int:
    """Return a process' amount of memory, or 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    _main()
