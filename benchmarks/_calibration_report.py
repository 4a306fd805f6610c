"""What did the worlds say? Rows and claims from what every world found, and tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks._calibration_nulls import LEVELS, SIGN_FLIP
from benchmarks._calibration_rates import Row, family_rows, mean_of, single_rows
from benchmarks._calibration_study import ALL_PATTERNS, HARD, Found
from benchmarks._calibration_worlds import KINDS
from benchmarks._report import Table, in_pipes, page_of, text_of

NAIVE, T_TEST = "parametric: frames as samples", "t-test across listeners"
CURVE = (0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)


def rows_of(task: str, key: str, found: Sequence[Found], *, n_members: int) -> list[Row]:
    """Return a task's rows.

    Parameters
    ----------
    task, key
        From `benchmarks._calibration_study.plan`.
    found
        One per world.
    n_members
        Data and surrogates of nulls that are drawn from a design.
    """
    if task == "quiet":
        return _quiet(key, found, n_members=ALL_PATTERNS + 1 if key == SIGN_FLIP else n_members)
    return _some(key, found) if task == "some" else [_hard(task.removeprefix("hard: "), key, found, n_members)]


def _quiet(key: str, found: Sequence[Found], *, n_members: int) -> list[Row]:
    rows = _single(key, np.array([item["p"] for item in found]), n_members)
    if key == "circular-shift":
        rows += _single(NAIVE, np.array([item["naive"] for item in found]))
    if key == SIGN_FLIP:
        rows += _single(T_TEST, np.array([item["t"] for item in found]))
    near = [item["neighbours"] for item in found if item["neighbours"]]
    families = _stacked([item["families"] for item in found]) | _stacked(near)
    rows += [{"task": "family", "null": key} | row for row in family_rows(families, levels=LEVELS)]
    levels = _counted([item["support"] for item in found])
    return [*rows, {"task": "support", "null": key, "world": "no effect", "support": levels}]


def _single(name: str, p: np.ndarray, n_members: int = 0) -> list[Row]:
    rows = single_rows(p, KINDS, levels=LEVELS, n_members=n_members)
    shares = [float(np.mean(p <= level * (1 + 1e-9))) for level in CURVE]
    curve = {"task": "curve", "null": name, "levels": list(CURVE), "shares": shares, "tests": p.size}
    return [*({"task": "single", "null": name} | row for row in rows), curve]


def _some(key: str, found: Sequence[Found]) -> list[Row]:
    power, rows = float(np.mean([item["power"] for item in found])), []
    for place, level in enumerate(LEVELS):
        shares = _stacked([[item["false"][place]] for item in found])
        rows += [
            {"task": "false discoveries", "null": key, "correction": name, "power_alone": power}
            | mean_of(values[:, 0], level=level)
            for name, values in shares.items()
        ]
    return rows


def _hard(name: str, key: str, found: Sequence[Found], n_members: int) -> Row:
    row: Row = {"task": "hard", "world": name, "null": key, "support": _counted([item["support"] for item in found])}
    refusals = _counted([item["refused"] for item in found if "refused" in item])
    p = [item["p"] for item in found if item["p"] is not None]
    row |= {"refusals": refusals, "worlds": len(found)}
    if not p:
        return row
    tested = single_rows(np.array(p), KINDS, levels=LEVELS[:1], n_members=n_members)
    return row | next(part for part in tested if part["kind"] == HARD[name][1])


def _stacked(worlds: Sequence[Sequence[dict[str, float]]]) -> dict[str, np.ndarray]:
    """Return name -> values, ``(n_worlds, n_families)``."""
    names = list(worlds[0][0]) if worlds else []
    return {name: np.array([[family[name] for family in families] for families in worlds]) for name in names}


def _counted(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def claims_of(rows: Sequence[Row], *, judged: bool) -> list[Row]:
    """Return claims; with few worlds they tell what was found and are not judged."""
    claims = [_claim_single(row) for row in rows if row["task"] == "single" and row["kind"] == "all"]
    for task in ("family", "false discoveries"):
        for null in dict.fromkeys(row["null"] for row in rows if row["task"] == task):
            claims.append(_claim_cells(task, null, [r for r in rows if r["task"] == task and r["null"] == null]))
    claims += [_claim_hard(row) for row in rows if row["task"] == "hard" and "share" in row]
    return claims if judged else [claim | {"ok": None} for claim in claims]


def _claim_single(row: Row) -> Row:
    naive, ok = row["null"] == NAIVE, row["inside"]
    low, high = (100 * edge for edge in row["band"])
    target = f"outside {low:.3g} to {high:.3g} %: shown failing" if naive else f"{low:.3g} to {high:.3g} % (99 %)"
    return {
        "name": f"{row['null']}: false positives of single tests at {row['level']:g}",
        "value": 100 * row["share"],
        "unit": "%",
        "target": target,
        # The t-test stands beside as what others do; its errors are not ours to answer for.
        "ok": None if row["null"] == T_TEST else ok != naive,
    }


_ASKED = {
    "family": "no effect anywhere: corrections that find something too often",
    "false discoveries": "beside true effects: corrections with too many false discoveries",
}


def _claim_cells(task: str, null: str, rows: Sequence[Row]) -> Row:
    above = [f"{row['correction']} at {row['level']:g} ({100 * row['share']:.2g} %)" for row in rows if _above(row)]
    told = f"{len(above)} of {len(rows)}" + (f": {', '.join(above)}" if above else "")
    return {"name": f"{null}: {_ASKED[task]}", "value": told, "unit": "cells", "target": "0", "ok": not above}


def _above(row: Row) -> bool:
    return not row["not_above"]


def _claim_hard(row: Row) -> Row:
    good = set(row["support"]) == {"good"}
    told = ", ".join(f"{level} in {n}" for level, n in row["support"].items())
    other = row["world"].startswith("an acoustic") and row["null"] == "circular-shift"
    ok = None if not good or other else row["inside"]
    target = "another question is asked: reported" if other else f"{_band(row)} where support is good ({told})"
    return {
        "name": f"{row['world']}, {row['null']}: false positives at 0.05",
        "value": 100 * row["share"],
        "unit": "%",
        "target": target if ok is not None or other else f"reported; support() says {told}",
        "ok": ok,
    }


def _band(row: Row) -> str:
    return " to ".join(f"{100 * edge:.3g}" for edge in row["band"]) + " %"


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return titles, heads and bodies of all tables."""
    return [_table_single(rows), _table_family(rows), _table_false(rows), _table_hard(rows)]


def _table_single(rows: Sequence[Row]) -> Table:
    single = [row for row in rows if row["task"] == "single"]
    body = []
    for null in dict.fromkeys(row["null"] for row in single):
        own = {(row["kind"], row["level"]): row for row in single if row["null"] == null}
        cells = [_percent(own["all", level]) + f" ({_band(own['all', level])})" for level in LEVELS]
        kinds = [_percent(own[kind, LEVELS[0]]) for kind in KINDS]
        whole = own["all", LEVELS[0]]
        body.append([null, *cells, *kinds, f"{whole['tests']:,}", str(whole["worlds"]), f"{whole['clustering']:.2f}"])
    head = ["null", *(f"at {level:g} (99 % of nominal)" for level in LEVELS), *(f"{kind}, 0.05" for kind in KINDS)]
    title = "False positives of single tests, %, no effect anywhere"
    return title, [*head, "tests", "worlds", "clustering"], body


def _table_family(rows: Sequence[Row]) -> Table:
    title = "Any finding where there is nothing, % of families, at " + " / ".join(f"{level:g}" for level in LEVELS)
    return title, *_crossed([row for row in rows if row["task"] == "family"])


def _table_false(rows: Sequence[Row]) -> Table:
    title = (
        "Beside true effects, at " + " / ".join(f"{level:g}" for level in LEVELS) + ": % of families with any false "
        "discovery (max-statistic, step-down, Holm), mean % of false ones among discoveries (others)"
    )
    return title, *_crossed([row for row in rows if row["task"] == "false discoveries"])


def _crossed(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Lay corrections out as lines and nulls as columns."""
    nulls = list(dict.fromkeys(row["null"] for row in rows))
    cells: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        cells.setdefault((row["correction"], row["null"]), []).append(_percent(row))
    lines = [
        [name, *(" / ".join(cells.get((name, null), ["-"])) for null in nulls)]
        for name in dict.fromkeys(row["correction"] for row in rows)
    ]
    worlds = {row["null"]: f"{row.get('tests', row['worlds']):,}" for row in rows if row["correction"] == "holm"}
    return ["correction", *nulls], [*lines, ["families", *(worlds[null] for null in nulls)]]


def _table_hard(rows: Sequence[Row]) -> Table:
    body = []
    for row in (row for row in rows if row["task"] == "hard"):
        told = ", ".join(f"{level} in {n}" for level, n in row["support"].items())
        refused = "; ".join(f"{problem} ({n})" for problem, n in row["refusals"].items())
        share = f"{_percent(row)} ({_band(row)})" if "share" in row else "-"
        body.append([row["world"], row["null"], row.get("kind", "-"), share, told, refused])
    head = ["world", "null", "features", "at 0.05 (99 % of nominal)", "support() says", "refuses"]
    return "Where assumptions break: false positives of single tests, %", head, body


def _percent(row: Row) -> str:
    """Write a share in percent, with a star where it lies outside of its band or above its level."""
    bad = not row["inside"] if row["task"] in ("single", "hard") else _above(row)
    return f"{100 * row['share']:.2g}" + ("*" if bad else "")


def text(report: Row) -> str:
    """Return tables and claims for a terminal."""
    return text_of(tables(report["rows"]), report["claims"])


def markdown(report: Row) -> str:
    """Return a run as Markdown, for the documentation."""
    known = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    first = (
        f"{report['date']}, seed {report['seed']}, {report['seconds']:.0f} s with {report['workers']} worker(s). "
        f"{known}."
    )
    laid = (
        (title, in_pipes(_escaped(head), [_escaped(line) for line in body]))
        for title, head, body in tables(report["rows"])
    )
    return page_of(first, laid, report["claims"])


def _escaped(line: Sequence[str]) -> list[str]:
    return [cell.replace("*", r"\*") for cell in line]
