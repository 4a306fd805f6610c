"""Do encoders give what transformers gives, at its speed, in flat memory? Side by side, in one run.

Numbers are compared before times are. Weights are random, except that Whisper's seams are measured with real ones where
``--weights`` names a folder. Times are core-seconds of one thread, taken in turns in one process; memory is the largest
resident size of a process of its own. Named command: ``python -m benchmarks.encoders --json FILE``.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks._encoders_tasks import FULL, QUICK, Found, Size, equal, memory, seams, speed
from benchmarks._engine_machine import machine, versions
from benchmarks._report import Row, Say, conduct, findings, heading, page_of_tasks, parser, quiet, run_tasks, say

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
_SHOWN = ("brainalign", "numpy", "torch", "transformers")


def main() -> None:
    """Run the tasks, print each as it ends and the claims at the end; leave with 1 if one does not hold."""
    made = parser(__doc__, quick="small sizes, under half a minute; times are not judged", tasks=TASKS)
    made.add_argument("--weights", type=Path, metavar="FOLDER", help="a real Whisper, for its seams")
    made.add_argument("--speech", type=Path, metavar="FILE", help="speech of half a minute, for the real Whisper")
    options = made.parse_args()
    size, real = QUICK if options.quick else FULL, (options.weights, options.speech)
    started = partial(run, size, tasks=options.only or list(TASKS), weights=real, say=say)
    conduct(options, started, markdown=markdown)


def run(
    size: Size,
    *,
    tasks: Sequence[str],
    weights: tuple[Path | None, Path | None] = (None, None),
    say: Say = quiet,
) -> Row:
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
    say(heading(here, known))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # transformers' own remark on the filters of the spectrogram transformer, which was trained with them.
        warnings.filterwarnings("ignore", message="At least one mel filter")
        found = Found(size, Path(folder), *weights)
        run_tasks(tasks, TASKS, found, say=say)
    return findings(found.claims, found.rows, size=vars(size), here=here, known=known)


def with_what() -> dict[str, str]:
    """Return the versions of what computes."""
    return versions(_SHOWN)


def markdown(report: Row) -> str:
    """Return a run as Markdown, for the documentation."""
    load = report["machine"]["load_at_start"]
    return page_of_tasks(report, TASKS, how=f"one thread, load at the start {load:.2f}")


if __name__ == "__main__":
    main()
