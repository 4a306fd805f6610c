"""Does the demonstration find what was planted, and nothing that was not? Twenty seeds of it.

Every seed draws new sounds, a new untrained encoder, new planted features, listeners and
noise. Named command: ``python -m benchmarks.demo_study --json docs/demo_study.json``.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks._report import keep, say, today, verdicts
from brainalign.pipeline.execute import execute
from brainalign.pipeline.log import make_log
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import demo_config, load_study, write_outputs
from brainalign.stats.binomial import binomial_interval

N_SEEDS = 20


def main() -> None:
    """Run the seeds, print a line for each and the claims at the end."""
    options = _options()
    rows = []
    for seed in range(options.seeds):
        rows.append(run_seed(seed, folder=options.folder, quick=options.quick, jobs=options.jobs))
        say(_line(rows[-1]))
    report = {
        "claims": claims(rows),
        "rows": rows,
        "machine": {"cores": os.cpu_count()},
        "date": today(),
    }
    print(verdicts(report["claims"]))
    keep(report, options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help="number of seeds, counted from 0")
    parser.add_argument("--quick", action="store_true", help="the quick form of the demonstration")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--folder", type=Path, default=Path("runs/demo_study"), help="where reports are kept")
    parser.add_argument("--jobs", type=int, default=None, help="tasks at a time")
    return parser.parse_args()


def run_seed(seed: int, *, folder: Path, quick: bool, jobs: int | None) -> dict[str, Any]:
    """Run one seed, keep its report and summary, and drop its store (about 1 GB)."""
    out = folder / f"seed-{seed:02d}"
    study = load_study(demo_config(quick), {"seed": seed, "out": out})
    store = Store(study.store_folder)
    with make_log(quiet=True, verbose=False) as log:
        ended = execute(study.plan, store, n_jobs=jobs, log=log)
    summary = write_outputs(study, store, seconds=ended.seconds if ended.made else None)
    shutil.rmtree(study.store_folder)
    found = [row for row in summary["planted"] if row["found"]]
    return {
        "seed": seed,
        "n_planted": len(summary["planted"]),
        "n_planted_found": len(found),
        "n_candidates": summary["n_candidates"],
        "n_found": len(summary["found"]),
        "n_decoys_found": summary["n_decoys_found"],
        "latency_error_ms": summary["latency_error_ms"],
        "latency_errors_ms": [row["latency_error_ms"] for row in found],
        "unique_ranks": [row.get("unique_rank") for row in summary["planted"]],
        "seconds": summary["seconds"],
        "versions": summary["versions"],
    }


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the study's claims with their values, targets and verdicts."""
    planted, hits = (sum(row[name] for row in rows) for name in ("n_planted", "n_planted_found"))
    found, decoys = (sum(row[name] for row in rows) for name in ("n_found", "n_decoys_found"))
    errors = sorted(abs(error) for row in rows for error in row["latency_errors_ms"])
    low, high = binomial_interval(decoys, found)
    seeds_with_decoys = sum(row["n_decoys_found"] > 0 for row in rows)
    worst = min(row["n_planted_found"] / row["n_planted"] for row in rows)
    first = sum(rank is not None and rank <= row["n_planted"] for row in rows for rank in row["unique_ranks"])
    return [
        _claim("planted features found", f"{hits} of {planted}", "features", "at least 80 %", hits >= 0.8 * planted),
        _claim("smallest share found in one seed", worst, "share", "at least 0.8", worst >= 0.8),
        _claim("decoys among discoveries", f"{decoys} of {found}", "features", "at most 5 %", decoys <= 0.05 * found),
        _claim(
            "interval of that share",
            f"{low:.4f} to {high:.4f}",
            "95 % Clopper-Pearson",
            "upper end at most 0.05",
            high <= 0.05,
        ),
        _claim("seeds with any decoy", f"{seeds_with_decoys} of {len(rows)}", "seeds", "reported", True),
        _claim(
            "largest latency error", max(errors, default=None), "ms", "at most 20 ms", bool(errors) and errors[-1] <= 20
        ),
        _claim(
            "planted features among the first by unique contribution",
            f"{first} of {planted}",
            "features",
            "reported",
            True,
        ),
    ]


def _claim(name: str, value: Any, unit: str, target: str, ok: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "target": target, "ok": bool(ok)}


def _line(row: dict[str, Any]) -> str:
    return (
        f"seed {row['seed']:2d}: planted {row['n_planted_found']}/{row['n_planted']}, discoveries {row['n_found']:3d} "
        f"of {row['n_candidates']}, decoys {row['n_decoys_found']}, latency error {row['latency_error_ms']} ms, "
        f"unique ranks {row['unique_ranks']}, {row['seconds']:.0f} s"
    )


if __name__ == "__main__":
    main()
