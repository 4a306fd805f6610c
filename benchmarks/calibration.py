"""Is a p-value what it says? Realised error rates of every null and correction where there is nothing to find.

Made-up worlds (EEG-like noise beside sparse, bursty and envelope-like stimuli) without effects, with some, and with
what breaks a null's assumption; the p-value that takes frames for independent beside all of them.
Named command: ``python -m benchmarks.calibration --json docs/calibration.json --figure FILE.png``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._calibration_figure import draw
from benchmarks._calibration_report import claims_of, markdown, rows_of, text
from benchmarks._calibration_study import FULL, QUICK, Size, plan, run_all, scaled
from benchmarks._engine_machine import versions

SEED = 20261121


def main() -> None:
    """Run all worlds, print what was found, and leave with 1 if a claim does not hold."""
    options = _options()
    if options.table:
        report = json.loads(options.table.read_text(encoding="utf-8"))
        print(markdown(report))
    else:
        size = QUICK if options.quick else scaled(FULL, options.share)
        report = run(size, seed=options.seed, n_jobs=options.jobs, say=_say)
        print(text(report))
    if options.json and not options.table:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.figure:
        options.figure.write_bytes(draw(report))
    sys.exit(not options.table and any(claim["ok"] is False for claim in report["claims"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few worlds and surrogates, seconds; nothing is judged")
    parser.add_argument("--share", type=float, default=1.0, help="of the worlds, in a hurry")
    parser.add_argument("--seed", type=int, default=SEED, help="of all worlds and surrogates")
    parser.add_argument("--jobs", type=int, default=1, help="worlds at a time; changes no number")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="where the figure goes")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="print such a JSON file as Markdown, and run nothing"
    )
    return parser.parse_args()


def _say(told: str) -> None:
    print(told, flush=True)


def run(
    size: Size, *, seed: int = SEED, n_jobs: int = 1, say: Callable[[str], None] = lambda told: None
) -> dict[str, Any]:
    """Run every task and return claims, rows and versions as JSON values.

    Parameters
    ----------
    size
        How many worlds.
    seed
        Of everything.
    n_jobs
        Worlds at a time.
    say
        Told of every task as it ends.
    """
    start, rows = time.perf_counter(), []
    for task, key, job, n in plan(size, seed):
        began = time.perf_counter()
        rows += rows_of(task, key, run_all(job, n, n_jobs=n_jobs), n_members=1 + size.n_permutations)
        say(f"{task}, {key}: {n} worlds, {time.perf_counter() - began:.0f} s")
    return {
        "claims": claims_of(rows, judged=size.judged),
        "rows": rows,
        "size": {"without": size.quiet, "with": size.some, "hard": size.hard, "permutations": size.n_permutations},
        "seed": seed,
        "versions": versions(),
        "seconds": round(time.perf_counter() - start, 1),
        "workers": n_jobs,
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
