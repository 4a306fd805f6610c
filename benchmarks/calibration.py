"""Is a p-value what it says? Realised error rates of every null and correction where there is nothing to find.

Made-up worlds (EEG-like noise beside sparse, bursty and envelope-like stimuli) without effects, with some, and with
what breaks a null's assumption; the p-value that takes frames for independent beside all of them.
Named command: ``python -m benchmarks.calibration --json docs/calibration.json --figure FILE.png``.
"""

from __future__ import annotations

import time
from functools import partial

from benchmarks._calibration_figure import draw
from benchmarks._calibration_report import claims_of, markdown, rows_of, text
from benchmarks._calibration_study import FULL, QUICK, Size, plan, run_all, scaled
from benchmarks._report import Row, Say, conduct, quiet, say, simulated, simulation_parser

SEED = 20261121


def main() -> None:
    """Run all worlds, print what was found, and leave with 1 if a claim does not hold."""
    about = "few worlds and surrogates, seconds; nothing is judged"
    options = simulation_parser(__doc__, what="worlds", quick=about, seed=SEED).parse_args()
    size = QUICK if options.quick else scaled(FULL, options.share)
    started = partial(run, size, seed=options.seed, n_jobs=options.jobs, say=say)
    conduct(options, started, text=text, markdown=markdown, draw=draw)


def run(size: Size, *, seed: int = SEED, n_jobs: int = 1, say: Say = quiet) -> Row:
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
    how_many = {"without": size.quiet, "with": size.some, "hard": size.hard, "permutations": size.n_permutations}
    claims = claims_of(rows, judged=size.judged)
    return simulated(claims, rows, size=how_many, seed=seed, n_jobs=n_jobs, start=start)


if __name__ == "__main__":
    main()
