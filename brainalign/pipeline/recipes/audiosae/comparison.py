"""What does each of the two tests say about each feature, and how often do they say the same?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from brainalign.core.artefact import Artefact
from brainalign.core.result import NullTest
from brainalign.core.time import Lags
from brainalign.pipeline.stage import Stage

CELLS = ("both", "paper_only", "own_only", "neither")
SIDES = {(True, True): "both", (True, False): "negative", (False, True): "positive", (False, False): "none"}


def compare(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Set the paper's test beside ours, feature by feature."""
    lag_tests, own = inputs["lag_tests"], NullTest.unpack(inputs["test"])
    rows = [_row(f, lag_tests, own, settings=settings) for f in range(len(own.features))]
    counts = {name: sum(_cell(row) == name for row in rows) for name in CELLS}
    sides = {name: sum(row["paper_sign"] == name for row in rows) for name in ("negative", "positive", "both")}
    return Artefact("comparison", {"features": rows, "agreement": counts, "signs": sides})


def _row(f: int, lag_tests: Artefact, own: NullTest, *, settings: Any) -> dict[str, Any]:
    arrays, lags = lag_tests.arrays, Lags.from_json(lag_tests.meta["lags"])
    negative, positive = (bool(p <= settings["paper_level"]) for p in arrays["p_adjusted"][f])
    trough, peak = np.median(1000 * lags.seconds[arrays["lags"][f]], axis=1)
    own_found = bool(own.p_corrected[f, 0] <= settings["own_level"])
    return {
        "feature": own.features[f],
        "trough_ms": float(trough),
        "trough_t": float(arrays["t"][f, 0]),
        "trough_p": float(arrays["p"][f, 0]),
        "trough_p_holm": float(arrays["p_adjusted"][f, 0]),
        "peak_ms": float(peak),
        "peak_t": float(arrays["t"][f, 1]),
        "peak_p": float(arrays["p"][f, 1]),
        "peak_p_holm": float(arrays["p_adjusted"][f, 1]),
        "paper_sign": SIDES[negative, positive],
        "paper_found": negative or positive,
        "r": float(own.observed[f, 0]),
        "z": float(own.z[f, 0]),
        "p": float(own.p[f, 0]),
        "p_corrected": float(own.p_corrected[f, 0]),
        "own_found": own_found,
        "agree": (negative or positive) == own_found,
    }


def _cell(row: dict[str, Any]) -> str:
    if row["paper_found"]:
        return "both" if row["own_found"] else "paper_only"
    return "own_only" if row["own_found"] else "neither"


COMPARE = Stage("audiosae-compare", 1, compare)
