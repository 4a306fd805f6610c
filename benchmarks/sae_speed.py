"""How fast is a sparse autoencoder trained and applied? Against SAELens and dictionary_learning, in one run.

Gradients, losses and features are compared before times are. Everybody starts from the same weights and takes its steps
on the same frames, in turns, in one process of one thread; times are its core-seconds, the least over the turns.

The peers need many packages. They may stand in an environment of their own: ``--peers PYTHON`` runs everything, ours as
well, with that interpreter. Named command: ``python -m benchmarks.sae_speed --peers PYTHON --json FILE``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks._engine_machine import machine, versions
from benchmarks._report import Row, Say, conduct, findings, heading, page_of_tasks, parser, quiet, run_tasks, say
from benchmarks._sae_speed_steps import one_thread
from benchmarks._sae_speed_tasks import FULL, QUICK, TASKS, Found, Size

_SHOWN = ("brainalign", "numpy", "scipy", "torch", "sae-lens", "dictionary-learning")
_ONE_THREAD = "OMP_NUM_THREADS"


def main() -> None:
    """Run the tasks, print each as it ends and the claims at the end; leave with 1 if one does not hold."""
    made = parser(__doc__, quick="small sizes, under half a minute; times are not judged", tasks=TASKS)
    made.add_argument("--peers", type=Path, metavar="PYTHON", help="run with this interpreter, which has the peers")
    options = made.parse_args()
    conduct(options, partial(_run, options), markdown=markdown)


def _run(options: argparse.Namespace) -> Row:
    if options.peers or os.environ.get(_ONE_THREAD) != "1":
        sys.exit(_with_interpreter(options))
    return run(QUICK if options.quick else FULL, tasks=options.only or list(TASKS), say=say)


def _with_interpreter(options: argparse.Namespace) -> int:
    """Run the same command with the peers' interpreter or this one, on one thread from the start."""
    command = [str(options.peers or sys.executable), "-m", "benchmarks.sae_speed"]
    command += ["--quick"] if options.quick else []
    command += [part for name in options.only or () for part in ("--only", name)]
    command += ["--json", str(options.json.absolute())] if options.json else []
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), _ONE_THREAD: "1"}
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def run(size: Size, *, tasks: Sequence[str], say: Say = quiet) -> Row:
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
    here, known, found = machine(), versions(_SHOWN), Found(size)
    say(heading(here, known))
    with one_thread():
        run_tasks((name for name in TASKS if name in tasks), TASKS, found, say=say)
    here["load_at_end"] = machine()["load_at_start"]
    sizes = {name: getattr(value, "__dict__", value) for name, value in vars(size).items()}
    return findings(found.claims, found.rows, size=sizes, here=here, known=known)


def markdown(report: Row) -> str:
    """Return a run as Markdown, for the documentation."""
    here = report["machine"]
    load = f"load {here['load_at_start']:.1f} at the start and {here['load_at_end']:.1f} at the end"
    return page_of_tasks(report, TASKS, how=f"one thread, {load}")


if __name__ == "__main__":
    main()
