"""Do sparse coders hold what real speech gives them? whisper-base, every layer, held-out speakers and utterances.

Trains coders on spoken digits and read speech, and sets beside each a random coder and principal components of
equal sparsity. Needs the data folder (``--data``): ``whisper_base_encoder``, ``fsdd``, ``speech_aligned_small``.
Named command: ``python -m benchmarks.sae_real --data FOLDER --json FILE``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks._engine_machine import machine
from benchmarks._engine_rows import verdicts
from benchmarks._sae_real_data import DIGITS, ENCODER, SPEECH
from benchmarks._sae_real_tasks import FULL, QUICK, TASKS, Found
from benchmarks.encoders import with_what
from brainalign.core.hashing import plain

CACHED = "States and coders that an earlier run left in the cache are not in the core-seconds."


def main() -> None:
    """Run the tasks, print each as it ends and the claims at the end; leave with 1 if one does not hold."""
    options = _options()
    if options.table:
        print(markdown(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    if missing := [name for name in (ENCODER, DIGITS, SPEECH) if not (options.data / name).is_dir()]:
        sys.exit(f"the data are not here: {', '.join(missing)} in {options.data}; give their folder with --data")
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        found = Found(QUICK if options.quick else FULL, options.data, cache, _say)
        found.note = CACHED if options.cache else ""
        report = run(found, tasks=options.only or list(TASKS), keep=options.json)
    print(verdicts(report["claims"]))
    sys.exit(any(claim["ok"] is False for claim in report["claims"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few digits and steps; nothing is judged")
    parser.add_argument("--only", action="append", choices=list(TASKS), help="this task (may be given several times)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the model and the speech")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep states and coders there for another run")
    parser.add_argument("--json", type=Path, help="where the numbers go, after every row")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print such a file as Markdown, and run nothing")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, flush=True)


def run(found: Found, *, tasks: Sequence[str], keep: Path | None = None) -> dict[str, Any]:
    """Run tasks and return what was found, as JSON values.

    Parameters
    ----------
    found
        The data, and where findings go.
    tasks
        Names from `TASKS`.
    keep
        Written after every row, so that a run that is stopped has said what it found.
    """
    here, begun = machine(), time.process_time()
    found.say("\n".join(f"{name}: {value}" for name, value in here.items()))
    found.keep = lambda: _keep(report_of(found, here, begun), keep)
    for name in tasks:
        start = time.process_time()
        TASKS[name][1](found)
        rows = [row for row in found.rows if row["task"] == name]
        found.say(f"\n{TASKS[name][0]}\n{table(rows)}\n({time.process_time() - start:.0f} core-s)\n")
        found.keep()
    return report_of(found, here, begun)


def report_of(found: Found, here: dict[str, Any], begun: float) -> dict[str, Any]:
    """Return what has been found so far, as JSON values."""
    halves = {"train": False, "held out": True}
    return {
        "claims": found.claims,
        "rows": found.rows,
        "size": plain(asdict(found.size)),
        "minutes": {name: round(found.states.seconds(held_out=which) / 60, 1) for name, which in halves.items()},
        "core_seconds": round(time.process_time() - begun),
        "note": found.note,
        "machine": here,
        "versions": with_what(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _keep(report: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[dict[str, Any]], *, markdown: bool = False) -> str:
    """Lay rows of one task out, a column for every name that one of them has."""
    head = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in ("task", "theta")]
    body = [["" if (value := row.get(name)) is None else str(value) for name in head] for row in rows]
    titles = [name.replace("_", " ") for name in head]
    if markdown:
        return "\n".join("| " + " | ".join(line) + " |" for line in (titles, ["---"] * len(head), *body))
    widths = [max(len(line[i]) for line in (titles, *body)) for i in range(len(head))]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in (titles, *body))
    return "\n".join(lines)


def markdown(report: dict[str, Any]) -> str:
    """Return a run as Markdown, for the documentation."""
    here, size = report["machine"], report["size"]
    busy = f" (**{here['warning']}**)" if here.get("warning") else ""
    told = [
        f"{report['date']}, {here['processor']}, one thread, load at the start {here['load_at_start']:.2f}{busy}, "
        f"{report['core_seconds']} core-seconds. "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + (f". {report['note']}" if report["note"] else "."),
        f"{report['minutes']['train']} minutes of training sound, {report['minutes']['held out']} held out. Coders: "
        f"BatchTopK, {size['expansion']} x wide, k = {size['k']}, {size['n_steps']} steps of 1,024 frames, learning "
        f"rate {size['learning_rate']:g}, seed 0.",
    ]
    for name, (title, _) in TASKS.items():
        rows = [row for row in report["rows"] if row["task"] == name]
        if rows:
            told += [f"**{title}**", table(rows, markdown=True)]
    return "\n\n".join([*told, verdicts(report["claims"], markdown=True)])


if __name__ == "__main__":
    main()
