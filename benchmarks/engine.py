"""How fast is the engine, and does it find what others find? Side by side with the real toolboxes, in one run.

Same data, same mathematics where the toolbox can do it; what is found is compared before times are. Every time is taken
in a process of its own with one thread in BLAS. Named command: ``python -m benchmarks.engine --whole --json FILE``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks._engine_cost import density, growth, layer, peak, workers
from benchmarks._engine_data import FULL, QUICK, Size
from benchmarks._engine_machine import machine, versions
from benchmarks._engine_rows import Bench
from benchmarks._engine_versus import joint, rotated, single
from benchmarks._report import Row, Say, conduct, findings, heading, page_of_tasks, parser, quiet, say, told

TASKS: dict[str, tuple[str, Callable[[Bench], None]]] = {
    "joint": ("(a) One model of all features together, cross-validated over all penalties", joint),
    "single": ("(b) Every feature alone, per feature", single),
    "rotations": ("(c) Every feature alone under rotations, the penalty chosen anew in each, per feature", rotated),
    "layer": ("(d) A layer of a model: features x channels x rotations", layer),
    "growth": ("(e) What the cost grows with: each doubled twice", growth),
    "workers": ("(f) One worker and two", workers),
    "density": ("(g) Sparse features", density),
    "peak": ("(h) Share of the machine's peak, and where the time goes", peak),
}


def main() -> None:
    """Run the tasks, print each as it ends and the claims at the end; leave with 1 if one does not hold."""
    made = parser(__doc__, quick="small sizes, under a minute; times are not judged", tasks=TASKS)
    made.add_argument("--whole", action="store_true", help="really run a whole layer (most of an hour)")
    made.add_argument("--jobs", type=int, default=2, help="workers for the layer")
    options = made.parse_args()
    size, tasks = QUICK if options.quick else FULL, options.only or list(TASKS)
    started = partial(run, size, tasks=tasks, n_jobs=options.jobs, whole=options.whole, say=say)
    conduct(options, started, markdown=markdown)


def run(
    size: Size,
    *,
    tasks: Sequence[str],
    n_jobs: int = 2,
    whole: bool = False,
    say: Say = quiet,
) -> Row:
    """Run tasks and return what was found, as JSON values.

    Parameters
    ----------
    size
        Of the problem.
    tasks
        Names from `TASKS`.
    n_jobs
        Workers for the layer.
    whole
        Whether all features of the layer are really run.
    say
        Told of every task as it ends.
    """
    here = machine()
    say(heading(here, versions()))
    # What is not judged may be measured two at a time.
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1 if size.judged else 2) as pool:
        empty = Bench(size, Path(folder), n_jobs, whole)
        ended = []
        for name, (bench, spent) in zip(tasks, pool.map(partial(_task, empty), tasks), strict=True):
            say(told(TASKS[name][0], bench.rows, seconds=spent))
            ended.append(bench)
    claims = [claim for bench in ended for claim in bench.claims]
    rows = _plain([row for bench in ended for row in bench.rows])
    return findings(claims, rows, size=vars(size), here=here, known=versions())


def _task(empty: Bench, name: str) -> tuple[Bench, float]:
    bench, start = replace(empty, rows=[], claims=[]), time.perf_counter()
    TASKS[name][1](bench)
    return bench, time.perf_counter() - start


def _plain(rows: list[Row]) -> list[Row]:
    """Return rows without NaN, which JSON does not know."""
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


def markdown(report: Row) -> str:
    """Return a run as Markdown, for the documentation."""
    here = report["machine"]
    return page_of_tasks(report, TASKS, how=f"{here['cores']} cores, load at the start {here['load_at_start']:.2f}")


if __name__ == "__main__":
    main()
