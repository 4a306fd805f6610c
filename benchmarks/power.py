"""How weak an effect is still found? Our tests against those of others, at one realised error rate.

Twelve listeners, twelve features, eight channels; one sparse feature drives half of the channels, from not at all to
strongly. Every method's threshold is moved until it errs in 5 % of studies without effect; nominal ones stand beside.
Named command: ``python -m benchmarks.power --json docs/power.json --figure FILE.png``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

from benchmarks._calibration_study import run_all
from benchmarks._power_figure import draw
from benchmarks._power_methods import smallest_p
from benchmarks._power_report import claims_of, error_rows, markdown, power_rows, text
from benchmarks._report import Row, Say, conduct, quiet, say, simulated, simulation_parser

SEED = 20261121


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Attributes
    ----------
    without
        Studies without effect.
    each
        Studies per strength.
    gains
        Scenario -> strengths, in standard deviations of the noise.
    n_permutations
        Surrogates of the tests that turn or pair stimuli.
    judged
        Whether claims are judged.
    """

    without: int
    each: int
    gains: dict[str, tuple[float, ...]]
    n_permutations: int = 199
    judged: bool = True


EVERYBODY, FEW = "all listeners respond", "4 of 12 listeners respond, three times as strongly"
RESPONDERS = {EVERYBODY: 0, FEW: 4}
FULL = Size(240, 50, {EVERYBODY: (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08), FEW: (0.01, 0.02, 0.04, 0.08)})
QUICK = Size(4, 2, {EVERYBODY: (0.06, 0.2)}, n_permutations=39, judged=False)


def main() -> None:
    """Run all studies, print what was found, and leave with 1 if a claim does not hold."""
    about = "few studies, seconds; nothing is judged"
    options = simulation_parser(__doc__, what="studies", quick=about, seed=SEED).parse_args()
    size = replace(FULL, without=round(options.share * FULL.without), each=round(options.share * FULL.each))
    size = QUICK if options.quick else size
    started = partial(run, size, seed=options.seed, n_jobs=options.jobs, say=say)
    conduct(options, started, text=text, markdown=markdown, draw=draw)


def run(size: Size, *, seed: int = SEED, n_jobs: int = 1, say: Say = quiet) -> Row:
    """Run studies without effect, then of every strength; return claims, rows and versions as JSON values.

    Parameters
    ----------
    size
        How many of what.
    seed
        Of everything. Studies of one number have the same noise and stimuli at every strength.
    n_jobs
        Studies at a time.
    say
        Told of every strength as it ends.
    """
    start = time.perf_counter()
    study = partial(smallest_p, n_permutations=size.n_permutations, seed=seed)
    empty = run_all(partial(study, gain=0.0, responders=0), size.without, n_jobs=n_jobs)
    rows = error_rows(empty)
    say(f"no effect: {size.without} studies, {time.perf_counter() - start:.0f} s")
    kept = {}
    for scenario, gains in size.gains.items():
        for gain in gains:
            job = partial(study, gain=gain, responders=RESPONDERS[scenario])
            kept[scenario, gain] = run_all(job, size.each, n_jobs=n_jobs)
            say(f"{scenario}, {gain:g}: {size.each} studies, {time.perf_counter() - start:.0f} s since the start")
    rows += power_rows(rows, kept)
    how_many = {"without": size.without, "each": size.each, "permutations": size.n_permutations}
    claims = claims_of(rows, empty, kept, judged=size.judged)
    return simulated(claims, rows, size=how_many, seed=seed, n_jobs=n_jobs, start=start)


if __name__ == "__main__":
    main()
