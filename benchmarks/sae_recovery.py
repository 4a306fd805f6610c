"""Do sparse coders find a planted dictionary? Ours, plain bases, SAELens and dictionary_learning at equal budget.

The truth is known: Zipf frequencies, causes that last, come together or depend on a parent, a mean frame far from the
origin. All trainings have the same frames, steps, batch, k and width. Other libraries run in a Python of their own:
``python -m benchmarks.sae_recovery --peers PYTHON --json FILE``.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._engine_machine import machine, versions
from benchmarks._recovery_runs import OURS, PEERS, Bench, Found, PeerFailed
from benchmarks._recovery_world import FULL, QUICK, Size, build
from benchmarks._report import conduct, parser, table, today, verdicts

N_SEEDS = 5
SHOWN = {"mmcs": "MMCS", "f1": "F1", "explained": "explained", "l0": "L0", "alive": "alive", "seconds": "core-s"}


def main() -> None:
    """Run all trainings, print a line of each as it ends, then the table and the claims."""
    made = parser(__doc__, quick="a small world, one seed, under a minute; nothing judged", tasks=[*OURS, *PEERS])
    made.add_argument("--peers", type=Path, metavar="PYTHON", help="a Python with sae-lens and dictionary-learning")
    made.add_argument("--seeds", type=int, help=f"trainings of each, from seeds 0, 1, ... ({N_SEEDS}; 1 with --quick)")
    options = made.parse_args()
    conduct(options, partial(_run, options), markdown=markdown, text=_text)


def _run(options: argparse.Namespace) -> dict[str, Any]:
    size, n_seeds = (QUICK, 1) if options.quick else (FULL, N_SEEDS)
    chosen = options.seeds or n_seeds
    return run(size, n_seeds=chosen, python=options.peers, only=options.only, quick=options.quick)


def _text(report: dict[str, Any]) -> str:
    return f"\n{table(report['rows'])}\n\n{verdicts(report['claims'])}"


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
    theirs = {row["who"].split(",")[0].removesuffix(" TopK"): row["version"] for row in rows if "version" in row}
    return {
        "claims": claims(rows, judged=not quick),
        "rows": rows,
        "size": vars(size),
        "seeds": n_seeds,
        "machine": here,
        "versions": known | theirs,
        "date": today(),
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
    row["shown"] = {title: _mean_and_range([one[key] for one in found if key in one]) for key, title in SHOWN.items()}
    if "agrees" in found[0]:
        row["version"] = found[0]["version"]
        row["note"] = f"inference as theirs to {max(one['off'] for one in found):.0e}"
        if not all(one["agrees"] for one in found):
            row["problem"] = "its own reconstruction differs from ours of its arrays"
    return row


def _mean_and_range(values: list[float]) -> str:
    if not values:
        return ""
    around = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{around}"


def _told(row: dict[str, Any]) -> str:
    return f"{row['who']}: {row.get('problem', '')}" + ", ".join(
        f"{name} {value}" for name, value in row.get("shown", {}).items() if value
    )


def claims(rows: list[dict[str, Any]], *, judged: bool) -> list[dict[str, Any]]:
    """Return one claim per library and measure: how far ours is above.

    A difference of less than twice its standard error over seeds is called level, and is not judged.
    """
    by_name = {row["who"]: row["seeds"] for row in rows if "seeds" in row}
    made = []
    for name, (key, title) in product(PEERS, (("mmcs", "MMCS"), ("f1", "F1"))):
        mine = "topk" if "TopK" in name else "batchtopk"
        if name not in by_name or mine not in by_name:
            continue
        ours, theirs = (np.array([one[key] for one in by_name[who]]) for who in (mine, name))
        gain, error = float(ours.mean() - theirs.mean()), _standard_error(ours, theirs)
        level = abs(gain) < 2 * error
        noise = f" (standard error {error:.3f}{': level' if level else ''})" if error else ""
        claim = {"name": f"{title} of our {mine} less that of {name}{noise}", "value": gain, "unit": ""}
        made.append({**claim, "target": "above 0", "ok": gain > 0 if judged and not level else None})
    return made


def _standard_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    if min(len(ours), len(theirs)) < 2:
        return 0.0
    return float(np.sqrt(sum(np.var(values, ddof=1) / len(values) for values in (ours, theirs))))


def markdown(report: dict[str, Any]) -> str:
    """Return a run as Markdown, for the documentation."""
    here, size = report["machine"], report["size"]
    told = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    world = (
        f"{size['n_atoms']} directions in {size['d_in']} inputs, {size['n_active']:g} active, "
        f"{size['n_sounds'] * size['n_frames']:,} frames; {size['n_steps']:,} steps of {size['n_batch']} frames, "
        f"{report['seeds']} seeds (mean, least and most)"
    )
    body = table(report["rows"], markdown=True)
    head = f"{report['date']}, {here['processor']}, one thread. {told}.\n\n{world}."
    return "\n\n".join([head, body, verdicts(report["claims"], markdown=True)])


if __name__ == "__main__":
    main()
