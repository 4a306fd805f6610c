"""What did the studies say? Error rates, thresholds at which all methods err alike, power, and tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from benchmarks._power_methods import METHODS, OWN, PEERS, PLANTED
from benchmarks._report import Row, Table, in_pipes, page_of, text_of
from brainalign.stats.binomial import binomial_interval

LEVEL, CONFIDENCE, ROUNDING = 0.05, 0.95, 1e-9
Study = dict[str, np.ndarray]
Kept = Mapping[tuple[str, float], Sequence[Study]]


def equal_threshold(smallest: np.ndarray, *, level: float = LEVEL) -> tuple[float, float, float]:
    """Return two thresholds and how often to take the larger, so that exactly ``level`` of the values are reached.

    Counted p-values come in steps, and a method must not win by its steps.

    Parameters
    ----------
    smallest
        The smallest corrected p of every study without effect.
    level
        Share that shall be reached.

    Examples
    --------
    >>> equal_threshold(np.array([0.1, 0.2, 0.3, 0.4]), level=0.3)
    (0.1, 0.2, 0.2)
    """
    values, counts = np.unique(np.round(smallest, 12), return_counts=True)
    reached = np.concatenate([[0.0], np.cumsum(counts) / len(smallest)])
    below = int(np.searchsorted(reached, level + ROUNDING, side="right")) - 1
    if below >= len(values):
        return float(values[-1]), float(values[-1]), 0.0
    lower = float(values[below - 1]) if below else 0.0
    weight = (level - reached[below]) / (reached[below + 1] - reached[below])
    return lower, float(values[below]), round(float(weight), 12)


def detected(p: np.ndarray, threshold: tuple[float, float, float]) -> np.ndarray:
    """Return how surely each study's p is reached by a threshold of `equal_threshold`, 0 to 1."""
    low, high, weight = threshold
    return (1 - weight) * (p <= low + ROUNDING) + weight * (p <= high + ROUNDING)


def error_rows(empty: Sequence[Study]) -> list[Row]:
    """Return every method's realised family-wise error at the nominal level, and the threshold that makes it 5 %."""
    rows = []
    for method in METHODS:
        smallest = np.array([study[method].min() for study in empty])
        rows.append(
            {"task": "error", "method": method, "equal": equal_threshold(smallest)}
            | _share(smallest <= LEVEL + ROUNDING)
        )
    return rows


def power_rows(errors: Sequence[Row], kept: Kept) -> list[Row]:
    """Return every method's power at nominal thresholds and at thresholds of equal error, per scenario and strength."""
    thresholds = {row["method"]: row["equal"] for row in errors}
    rows = []
    for (scenario, gain), studies in kept.items():
        r = float(np.mean([study["r"] for study in studies]))
        for method in METHODS:
            p = np.array([study[method][PLANTED] for study in studies])
            others = np.array([np.delete(study[method], PLANTED).min() for study in studies])
            rows.append(
                {"task": "power", "scenario": scenario, "gain": gain, "r": r, "method": method}
                | {"nominal": _share(p <= LEVEL + ROUNDING), "equal": _share(detected(p, thresholds[method]))}
                | {"false_beside": _share(others <= LEVEL + ROUNDING)}
            )
    return rows


def _share(hits: np.ndarray) -> Row:
    n = len(hits)
    low, high = binomial_interval(round(float(hits.sum())), n, level=CONFIDENCE)
    return {"share": float(hits.mean()), "low": low, "high": high, "studies": n}


def claims_of(rows: Sequence[Row], empty: Sequence[Study], kept: Kept, *, judged: bool) -> list[Row]:
    """Return claims: errors at most nominal, and our tests more powerful than each peer's, paired over studies."""
    claims = []
    for row in (row for row in rows if row["task"] == "error"):
        low, _ = binomial_interval(round(row["share"] * row["studies"]), row["studies"], level=0.99)
        claims.append(
            {
                "name": f"{row['method']}: family-wise error without effect, nominal 5 %",
                "value": 100 * row["share"],
                "unit": "%",
                "target": "99 % interval reaches down to 5 %",
                "ok": low <= LEVEL,
            }
        )
    thresholds = {row["method"]: row["equal"] for row in rows if row["task"] == "error"}
    for scenario in dict.fromkeys(scenario for scenario, _ in kept):
        found = {method: _mean_detection(kept, scenario, method, thresholds[method]) for method in METHODS}
        claims += [_versus(scenario, own, peer, found) for own in OWN for peer in PEERS]
    return claims if judged else [claim | {"ok": None} for claim in claims]


def _mean_detection(kept: Kept, scenario: str, method: str, threshold: tuple[float, float, float]) -> np.ndarray:
    """Return each study number's detection, mean over strengths."""
    strengths = [studies for (name, _), studies in kept.items() if name == scenario]
    return np.mean([detected(np.array([s[method][PLANTED] for s in part]), threshold) for part in strengths], axis=0)


def _versus(scenario: str, own: str, peer: str, found: Mapping[str, np.ndarray]) -> Row:
    gain = 100 * (found[own] - found[peer])
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain)))
    low, high = gain.mean() - reach, gain.mean() + reach
    return {
        "name": f"{scenario}: power at equal error, mean over strengths, {own} less {peer}",
        "value": f"{gain.mean():+.1f} ({low:+.1f} to {high:+.1f})",
        "unit": "points",
        "target": "95 % interval above 0",
        "ok": bool(low > 0),
    }


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return titles, heads and bodies of all tables."""
    body = [
        [row["method"], _cell(row), f"{row['equal'][0]:.3g} to {row['equal'][1]:.3g}"]
        for row in rows
        if row["task"] == "error"
    ]
    found = [("Studies without effect in which anything is found, %", ["method", "at p 0.05", "5 % at p"], body)]
    power = [row for row in rows if row["task"] == "power"]
    for scenario in dict.fromkeys(row["scenario"] for row in power):
        for which, told in (("equal", "at equal error"), ("nominal", "at nominal 0.05")):
            own = [row for row in power if row["scenario"] == scenario]
            strengths = dict.fromkeys((row["gain"], row["r"]) for row in own)
            lines = [[m, *(_cell(row[which]) for row in own if row["method"] == m)] for m in METHODS]
            head = ["planted effect (held-out r)", *(f"{gain:g} ({r:.3f})" for gain, r in strengths)]
            found.append((f"{scenario}: planted feature found, % of studies, {told}", head, lines))
    return found


def _cell(share: Row) -> str:
    return f"{100 * share['share']:.0f} ({100 * share['low']:.0f} to {100 * share['high']:.0f})"


def text(report: Row) -> str:
    """Return tables and claims for a terminal."""
    return text_of(tables(report["rows"]), report["claims"])


def markdown(report: Row) -> str:
    """Return a run as Markdown, for the documentation."""
    first = f"{report['date']}, seed {report['seed']}, {report['seconds']:.0f} s with {report['workers']} worker(s)."
    laid = ((title, in_pipes(head, body)) for title, head, body in tables(report["rows"]))
    return page_of(first, laid, report["claims"])
