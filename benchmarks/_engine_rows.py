"""What is found in a run? Rows, and claims with verdicts: agreement first, and no good ratio without it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from benchmarks._engine_data import Size, write_data
from benchmarks._engine_job import Job, Measured, run_job
from benchmarks._report import Row
from benchmarks._report import table as table
from benchmarks._report import verdicts as verdicts


@dataclass(eq=False)
class Bench:
    """A run: how large, where its data stand, and what has been found.

    Attributes
    ----------
    size
        Of the problem.
    folder
        For data and results.
    n_jobs
        Workers where several are used.
    whole
        Whether a whole layer is really run.
    rows, claims
        Found so far.
    lock
        Held while data are made.
    """

    size: Size
    folder: Path
    n_jobs: int = 2
    whole: bool = False
    rows: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def data(self, n_features: int, **kind: Any) -> str:
        """Return the folder of data with so many features, made on first use."""
        with self.lock:
            return str(write_data(self.folder / "data", self.size, n_features=n_features, **kind))

    def measure(self, call: str, data: str = "", *, needs: str = "", repeats: int = 1, **rest: Any) -> Measured:
        """Run a job; ``take`` and ``options`` go to it as they are."""
        return run_job(Job(call, data, repeats=repeats, **rest), self.folder, needs=needs)

    def add(self, task: str, who: str, measured: Measured | None = None, **more: Any) -> Row:
        """Keep a row, with a measurement's numbers if there is one."""
        row: Row = {"task": task, "who": who}
        if measured is not None and measured.problem:
            row["problem"] = measured.problem
        elif measured is not None:
            names = ("core_s", "wall_s", "above_mb", "peak_mb", "runs", "part")
            row |= {name: getattr(measured, name) for name in names}
        self.rows.append(row | more)
        return self.rows[-1]

    def claim(self, name: str, value: Any, *, unit: str, target: str, ok: bool | None, timed: bool = True) -> None:
        """Keep a claim; one about times or memory is judged at full size only."""
        verdict = None if ok is None or (timed and not self.size.judged) else bool(ok)
        shown = None if isinstance(value, float) and not math.isfinite(value) else value
        self.claims.append({"name": name, "value": shown, "unit": unit, "target": target, "ok": verdict})

    def agree(self, name: str, row: Row, tolerance: float) -> None:
        """Claim that a row's numbers are the package's own; a peer that is not there is no contradiction."""
        row["tolerance"] = tolerance
        parts = [row.get("r_difference"), row.get("weights_difference")]
        found = [part for part in parts if part is not None]
        missing = row.get("problem") == "not installed"
        row["agrees"] = None if missing else bool(found) and all(part <= tolerance for part in found)
        value = row["problem"] if "problem" in row else max(found)
        self.claim(
            name, value, unit="largest difference", target=f"at most {tolerance:g}", ok=row["agrees"], timed=False
        )

    def ratio(self, name: str, peer: Row, own: Row, *, at_least: float) -> None:
        """Claim that a peer takes so many times our core-seconds; void where the two do not agree."""
        value = peer.get("core_s", math.nan) / own.get("core_s", math.nan)
        ok = None if peer.get("problem") == "not installed" else value >= at_least and peer.get("agrees") is not False
        note = "not installed" if peer.get("problem") == "not installed" else value
        self.claim(name, note, unit="x our core-seconds", target=f"at least {at_least:,g}", ok=ok)


def differences(own: Measured, other: Measured) -> dict[str, float]:
    """Return the largest difference of r, and of weights as a share of the largest weight, where both have them."""
    found = {}
    for name in ("r", "weights"):
        if name not in own.arrays or name not in other.arrays:
            continue
        one, two = own.arrays[name], other.arrays[name]
        both = np.isfinite(one) & np.isfinite(two)
        size = np.abs(one[both]).max() if name == "weights" else 1.0
        # NaN, and so no agreement, where there is nothing to compare or something is missing on our side.
        whole = both.any() and np.isfinite(one).all()
        found[f"{name}_difference"] = float(np.abs(one - two)[both].max() / size) if whole else math.nan
    return found
