"""Do sparse coders find a planted dictionary? Ours, plain bases, SAELens and dictionary_learning at equal budget.

The truth is known: Zipf frequencies, causes that last, come together or depend on a parent, a mean frame far from the
origin. All trainings have the same frames, steps, batch, k and width. Other libraries run in a Python of their own:
``python -m benchmarks.sae_recovery --peers PYTHON --json FILE``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._engine_machine import machine, versions
from benchmarks._engine_rows import table, verdicts
from benchmarks._recovery_runs import OURS, PEERS, Bench, Found, PeerFailed
from benchmarks._recovery_world import FULL, QUICK, Size, build

SHOWN = {"mmcs": "MMCS", "f1": "F1", "explained": "explained", "l0": "L0", "alive": "alive", "seconds": "core-s"}


def main() -> None:
    """Run all trainings, print a line of each as it ends, then the table and the claims."""
    options = _options()
    if options.table:
        print(markdown(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    size = QUICK if options.quick else FULL
    n_seeds = options.seeds or (1 if options.quick else 3)
    report = run(size, n_seeds=n_seeds, python=options.peers, only=options.only, quick=options.quick)
    print(f"\n{table(report['rows'])}\n\n{verdicts(report['claims'])}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(claim["ok"] is False for claim in report["claims"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small world, one seed, under a minute; nothing judged")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="a Python with sae-lens and dictionary-learning")
    parser.add_argument("--seeds", type=int, help="trainings of each, from seeds 0, 1, ... (3; 1 with --quick)")
    parser.add_argument("--only", action="append", choices=[*OURS, *PEERS], help="this (may be given several times)")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print such a file as Markdown, and run nothing")
    return parser.parse_args()


def run(
    size: Size, *, n_seeds: int, python: Path | None = None, only: list[str] | None = None, quick: bool = False
) -> dict[str, Any]:
    """Train everything and return rows and claims, as JSON values.

    Parameters
    ----------
    size
        Of the world and of the budget.
    n_seeds
        Trainings of each, on one world.
    python
        The Python that has the other libraries; None leaves them out, and says so.
    only
        Names from `OURS` and `PEERS`; all by default.
    quick
        Leave the claims unjudged: so small a world says nothing about the libraries.
    """
    here, known = machine(), {name: versions()[name] for name in ("python", "brainalign", "numpy")}
    known["torch"] = metadata.version("torch")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(size, build(size, seed=0), Path(folder), python)
        for name in [name for name in (*OURS, *PEERS) if not only or name in only]:
            if name in PEERS and python is None:
                rows.append({"who": name, "problem": "not run: no --peers"})
                continue
            rows.append(_trained(name, bench, range(n_seeds)))
            print(_told(rows[-1]), flush=True)
    theirs = {row["who"].split(",")[0]: row["version"] for row in rows if "version" in row}
    return {
        "claims": claims(rows, judged=not quick),
        "rows": rows,
        "size": vars(size),
        "seeds": n_seeds,
        "machine": here,
        "versions": known | theirs,
        "date": time.strftime("%Y-%m-%d"),
    }


def _trained(name: str, bench: Bench, seeds: range) -> dict[str, Any]:
    if name in OURS:
        return _row(name, [OURS[name](bench, seed) for seed in seeds])
    try:
        return _row(name, PEERS[name](bench, seeds))
    except PeerFailed as error:
        return {"who": name, "problem": f"did not run: {str(error).splitlines()[-1]}"}


def _row(name: str, found: list[Found]) -> dict[str, Any]:
    row: dict[str, Any] = {"who": name, "seeds": found}
    row["shown"] = {title: _mean_and_spread([one[key] for one in found if key in one]) for key, title in SHOWN.items()}
    if "agrees" in found[0]:
        row["version"] = found[0]["version"]
        row["note"] = f"inference as theirs to {max(one['off'] for one in found):.0e}"
        if not all(one["agrees"] for one in found):
            row["problem"] = "its own reconstruction differs from ours of its arrays"
    return row


def _mean_and_spread(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _told(row: dict[str, Any]) -> str:
    return f"{row['who']}: {row.get('problem', '')}" + ", ".join(
        f"{name} {value}" for name, value in row.get("shown", {}).items() if value
    )


def claims(rows: list[dict[str, Any]], *, judged: bool) -> list[dict[str, Any]]:
    """Return one claim per library and measure: how far ours is above, beside the noise of reseeding."""
    by_name = {row["who"]: row["seeds"] for row in rows if "seeds" in row}
    made = []
    for name, (key, title) in product(PEERS, (("mmcs", "MMCS"), ("f1", "F1"))):
        mine = "topk" if "TopK" in name else "batchtopk"
        if name not in by_name or mine not in by_name:
            continue
        ours, theirs = ([one[key] for one in by_name[who]] for who in (mine, name))
        gain = float(np.mean(ours) - np.mean(theirs))
        noise = f" (reseeding: {max(np.std(ours, ddof=1), np.std(theirs, ddof=1)):.3f})" if len(ours) > 1 else ""
        claim = {"name": f"{title} of our {mine} less that of {name}{noise}", "value": gain, "unit": ""}
        made.append({**claim, "target": "above 0", "ok": gain > 0 if judged else None})
    return made


def markdown(report: dict[str, Any]) -> str:
    """Return a run as Markdown, for the documentation."""
    here, size = report["machine"], report["size"]
    told = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    world = (
        f"{size['n_atoms']} directions in {size['d_in']} inputs, {size['n_active']:g} active, "
        f"{size['n_sounds'] * size['n_frames']:,} frames; {size['n_steps']:,} steps of {size['n_batch']} frames, "
        f"{report['seeds']} seeds (mean ± standard deviation)"
    )
    body = table(report["rows"], markdown=True)
    head = f"{report['date']}, {here['processor']}, one thread. {told}.\n\n{world}."
    return "\n\n".join([head, body, verdicts(report["claims"], markdown=True)])


if __name__ == "__main__":
    main()
