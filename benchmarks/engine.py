"""How fast is the engine, and does it find what others find? Side by side with the real toolboxes, in one run.

Same data, same mathematics where the toolbox can do it; what is found is compared before times are. Every time is taken
in a process of its own with one thread in BLAS. Named command: ``python -m benchmarks.engine --whole --json FILE``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._engine_cost import density, growth, layer, peak, workers
from benchmarks._engine_data import FULL, QUICK, Size
from benchmarks._engine_machine import machine, versions
from benchmarks._engine_rows import Bench, table, verdicts
from benchmarks._engine_versus import joint, rotated, single

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
    options = _options()
    if options.table:
        print(markdown(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    size = QUICK if options.quick else FULL
    report = run(size, tasks=options.only or list(TASKS), n_jobs=options.jobs, whole=options.whole, say=_say)
    print(verdicts(report["claims"]))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(claim["ok"] is False for claim in report["claims"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute; times are not judged")
    parser.add_argument("--only", action="append", choices=list(TASKS), help="this task (may be given several times)")
    parser.add_argument("--whole", action="store_true", help="really run a whole layer (most of an hour)")
    parser.add_argument("--jobs", type=int, default=2, help="workers for the layer")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print such a file as Markdown, and run nothing")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, flush=True)


def run(
    size: Size,
    *,
    tasks: Sequence[str],
    n_jobs: int = 2,
    whole: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
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
    say("\n".join(f"{name}: {value}" for name, value in (here | {"versions": versions()}).items()))
    # What is not judged may be measured two at a time.
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1 if size.judged else 2) as pool:
        empty = Bench(size, Path(folder), n_jobs, whole)
        ended = []
        for name, (bench, spent) in zip(tasks, pool.map(partial(_task, empty), tasks), strict=True):
            say(f"\n{TASKS[name][0]}\n{table(bench.rows)}\n({spent:.0f} s)\n")
            ended.append(bench)
    return {
        "claims": [claim for bench in ended for claim in bench.claims],
        "rows": _plain([row for bench in ended for row in bench.rows]),
        "size": vars(size),
        "machine": here,
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _task(empty: Bench, name: str) -> tuple[Bench, float]:
    bench, start = replace(empty, rows=[], claims=[]), time.perf_counter()
    TASKS[name][1](bench)
    return bench, time.perf_counter() - start


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without NaN, which JSON does not know."""
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


def markdown(report: dict[str, Any]) -> str:
    """Return a run as Markdown, for the documentation."""
    here, known = report["machine"], report["versions"]
    told = [
        f"{report['date']}, {here['processor']}, {here['cores']} cores, load at the start {here['load_at_start']:.2f}"
        + (f" (**{here['warning']}**)" if here.get("warning") else "")
        + ". "
        + ", ".join(f"{name} {version}" for name, version in known.items())
        + "."
    ]
    for name, (title, _) in TASKS.items():
        rows = [row for row in report["rows"] if row["task"] == name]
        if rows:
            told += [f"**{title}**", table(rows, markdown=True)]
    return "\n\n".join([*told, verdicts(report["claims"], markdown=True)])


if __name__ == "__main__":
    main()
