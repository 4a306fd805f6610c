"""Do encoders give what transformers gives, at its speed, in flat memory? Side by side, in one run.

Numbers are compared before times are. Weights are random, except that Whisper's seams are measured with real ones where
``--weights`` names a folder. Times are core-seconds of one thread, taken in turns in one process; memory is the largest
resident size of a process of its own. Named command: ``python -m benchmarks.encoders --json FILE``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks._encoders_tasks import FULL, QUICK, Found, Size, equal, memory, seams, speed
from benchmarks._engine_machine import machine, versions
from benchmarks._engine_rows import table, verdicts

TASKS: dict[str, tuple[str, Callable[[Found], None]]] = {
    "equal": ("(a) Largest difference from transformers' own hidden states and from plain hooks, small models", equal),
    "speed": ("(b) All hidden states of one batch; ratios of the plain loop's core-seconds to ours", speed),
    "memory": ("(c) Long sounds through `encode_to`", memory),
    "seams": (
        "(d) Windows against one pass: error of the median feature (of the 95th percentile), in standard deviations "
        "over time, after so many seconds of seam",
        seams,
    ),
}
_SHOWN = ("python", "brainalign", "numpy")


def main() -> None:
    """Run the tasks, print each as it ends and the claims at the end; leave with 1 if one does not hold."""
    options = _options()
    if options.table:
        print(markdown(json.loads(options.table.read_text(encoding="utf-8"))))
        return
    size = QUICK if options.quick else FULL
    report = run(size, tasks=options.only or list(TASKS), weights=(options.weights, options.speech), say=_say)
    print(verdicts(report["claims"]))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(claim["ok"] is False for claim in report["claims"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, under half a minute; times are not judged")
    parser.add_argument("--only", action="append", choices=list(TASKS), help="this task (may be given several times)")
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help="a real Whisper, for its seams")
    parser.add_argument("--speech", type=Path, metavar="FILE", help="speech of half a minute, for the real Whisper")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print such a file as Markdown, and run nothing")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, flush=True)


def run(
    size: Size,
    *,
    tasks: Sequence[str],
    weights: tuple[Path | None, Path | None] = (None, None),
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run tasks and return what was found, as JSON values.

    Parameters
    ----------
    size
        Of models and sounds.
    tasks
        Names from `TASKS`.
    weights
        Folder of a real Whisper and a sound file, for its seams.
    say
        Told of every task as it ends.
    """
    here, known = machine(), with_what()
    say("\n".join(f"{name}: {value}" for name, value in (here | {"versions": known}).items()))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # transformers' own remark on the filters of the spectrogram transformer, which was trained with them.
        warnings.filterwarnings("ignore", message="At least one mel filter")
        found = Found(size, Path(folder), *weights)
        for name in tasks:
            start = time.perf_counter()
            TASKS[name][1](found)
            rows = [row for row in found.rows if row["task"] == name]
            say(f"\n{TASKS[name][0]}\n{table(rows)}\n({time.perf_counter() - start:.0f} s)\n")
    return {
        "claims": found.claims,
        "rows": found.rows,
        "size": vars(size),
        "machine": here,
        "versions": known,
        "date": time.strftime("%Y-%m-%d"),
    }


def with_what() -> dict[str, str]:
    """Return the versions of what computes."""
    return {name: versions()[name] for name in _SHOWN} | {
        name: metadata.version(name) for name in ("torch", "transformers")
    }


def markdown(report: dict[str, Any]) -> str:
    """Return a run as Markdown, for the documentation."""
    here = report["machine"]
    busy = f" (**{here['warning']}**)" if here.get("warning") else ""
    told = [
        f"{report['date']}, {here['processor']}, one thread, load at the start {here['load_at_start']:.2f}{busy}. "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + "."
    ]
    for name, (title, _) in TASKS.items():
        rows = [row for row in report["rows"] if row["task"] == name]
        if rows:
            told += [f"**{title}**", table(rows, markdown=True)]
    return "\n\n".join([*told, verdicts(report["claims"], markdown=True)])


if __name__ == "__main__":
    main()
