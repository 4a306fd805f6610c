"""How fast is a sparse autoencoder trained and applied? Against SAELens and dictionary_learning, in one run.

Gradients, losses and features are compared before times are. Everybody starts from the same weights and takes its steps
on the same frames, in turns, in one process of one thread; times are its core-seconds, the least over the turns.

The peers need many packages. They may stand in an environment of their own: ``--peers PYTHON`` runs everything, ours as
well, with that interpreter. Named command: ``python -m benchmarks.sae_speed --peers PYTHON --json FILE``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks._engine_machine import machine, versions
from benchmarks._engine_rows import table, verdicts
from benchmarks._sae_speed_steps import one_thread
from benchmarks._sae_speed_tasks import FULL, QUICK, TASKS, Found, Size

_SHOWN = ("python", "brainalign", "numpy", "scipy")
_ONE_THREAD = "OMP_NUM_THREADS"
_PEERS = ("torch", "sae-lens", "dictionary-learning")


def main() -> None:
    """Run the tasks, print each as it ends and the claims at the end; leave with 1 if one does not hold."""
    options = _options()
    if options.table:
        print(markdown(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    if options.peers or os.environ.get(_ONE_THREAD) != "1":
        sys.exit(_with_interpreter(options))
    size = QUICK if options.quick else FULL
    report = run(size, tasks=options.only or list(TASKS), say=_say)
    print(verdicts(report["claims"]))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(claim["ok"] is False for claim in report["claims"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, under half a minute; times are not judged")
    parser.add_argument("--only", action="append", choices=list(TASKS), help="this task (may be given several times)")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="run with this interpreter, which has the peers")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print such a file as Markdown, and run nothing")
    return parser.parse_args()


def _with_interpreter(options: argparse.Namespace) -> int:
    """Run the same command with the peers' interpreter or this one, on one thread from the start."""
    command = [str(options.peers or sys.executable), "-m", "benchmarks.sae_speed"]
    command += ["--quick"] if options.quick else []
    command += [part for name in options.only or () for part in ("--only", name)]
    command += ["--json", str(options.json.absolute())] if options.json else []
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), _ONE_THREAD: "1"}
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def _say(text: str) -> None:
    print(text, flush=True)


def run(size: Size, *, tasks: Sequence[str], say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Run tasks and return what was found, as JSON values.

    Parameters
    ----------
    size
        Of the autoencoders and the run.
    tasks
        Names from `TASKS`.
    say
        Told of every task as it ends.
    """
    here, known, found = machine(), with_what(), Found(size)
    say("\n".join(f"{name}: {value}" for name, value in (here | {"versions": known}).items()))
    with one_thread():
        for name in (name for name in TASKS if name in tasks):
            start = time.perf_counter()
            TASKS[name][1](found)
            rows = [row for row in found.rows if row["task"] == name]
            say(f"\n{TASKS[name][0]}\n{table(rows)}\n({time.perf_counter() - start:.0f} s)\n")
    here["load_at_end"] = machine()["load_at_start"]
    return {
        "claims": found.claims,
        "rows": found.rows,
        "size": {name: getattr(value, "__dict__", value) for name, value in vars(size).items()},
        "machine": here,
        "versions": known,
        "date": time.strftime("%Y-%m-%d"),
    }


def with_what() -> dict[str, str]:
    """Return the versions of what computes, and of the peers."""
    found = {name: versions()[name] for name in _SHOWN}
    for name in _PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def markdown(report: dict[str, Any]) -> str:
    """Return a run as Markdown, for the documentation."""
    here = report["machine"]
    busy = f" (**{here['warning']}**)" if here.get("warning") else ""
    load = f"load {here['load_at_start']:.1f} at the start and {here['load_at_end']:.1f} at the end{busy}"
    told = [
        f"{report['date']}, {here['processor']}, one thread, {load}. "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + "."
    ]
    for name, (title, _) in TASKS.items():
        rows = [row for row in report["rows"] if row["task"] == name]
        if rows:
            told += [f"**{title}**", table(rows, markdown=True)]
    return "\n\n".join([*told, verdicts(report["claims"], markdown=True)])


if __name__ == "__main__":
    main()
