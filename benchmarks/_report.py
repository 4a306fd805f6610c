"""What do all benchmarks share? Their options, what they say as they run, tables, verdicts, and the file they keep."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from benchmarks._engine_machine import versions

Row = dict[str, Any]
Say = Callable[[str], None]
Table = tuple[str, list[str], list[list[str]]]
NOT_JUDGED = "not judged here"


class Findings(Protocol):
    """Where tasks leave what they find."""

    rows: list[Row]
    claims: list[Row]


def parser(about: str | None, *, quick: str, tasks: Iterable[str] = ()) -> argparse.ArgumentParser:
    """Return the options of every benchmark; each adds its own.

    Parameters
    ----------
    about
        The benchmark's own docstring.
    quick
        What its quick form is.
    tasks
        Names to choose from, where tasks can be run alone.
    """
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help=quick)
    if names := list(tasks):
        made.add_argument("--only", action="append", choices=names, help="this task (may be given several times)")
    made.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go")
    made.add_argument("--table", type=Path, metavar="FILE", help="print such a file as Markdown, and run nothing")
    return made


def simulation_parser(about: str | None, *, what: str, quick: str, seed: int) -> argparse.ArgumentParser:
    """Return the options of a benchmark that simulates many of the same and draws a figure.

    Parameters
    ----------
    about
        The benchmark's own docstring.
    what
        What is simulated, in the plural.
    quick
        What its quick form is.
    seed
        Unless another is given.
    """
    made = parser(about, quick=quick)
    made.add_argument("--share", type=float, default=1.0, help=f"of the {what}, in a hurry")
    made.add_argument("--seed", type=int, default=seed, help=f"of all {what} and surrogates")
    made.add_argument("--jobs", type=int, default=1, help=f"{what} at a time; changes no number")
    made.add_argument("--figure", type=Path, metavar="FILE.png", help="where the figure goes")
    return made


def conduct(
    options: argparse.Namespace,
    run: Callable[[], Row],
    *,
    markdown: Callable[[Row], str],
    text: Callable[[Row], str] | None = None,
    draw: Callable[[Row], bytes] | None = None,
) -> NoReturn:
    """Run a benchmark, or show the file of an earlier run; leave with 1 if a claim does not hold.

    Parameters
    ----------
    options
        As `parser` reads them.
    run
        Returns the report.
    markdown
        What is printed of an earlier run.
    text
        What is printed after a run; only its claims where tasks have told of themselves.
    draw
        Returns the figure as PNG, where there is one (`simulation_parser`).
    """
    if options.table:
        report = json.loads(options.table.read_text(encoding="utf-8"))
        print(markdown(report))
    else:
        report = run()
        print(text(report) if text else verdicts(report["claims"]))
        keep(report, options.json)
    if draw is not None and options.figure:
        options.figure.write_bytes(draw(report))
    sys.exit(not options.table and failed(report))


def keep(report: Row, path: Path | None) -> None:
    """Write a report, if it is to be kept."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def failed(report: Row) -> bool:
    """Return whether a claim that was judged does not hold."""
    return any(claim["ok"] is False for claim in report["claims"])


def say(text: str) -> None:
    """Print at once, also into a file."""
    print(text, flush=True)


def quiet(text: str) -> None:
    """Say nothing."""


def run_tasks(
    names: Iterable[str],
    tasks: Mapping[str, tuple[str, Callable[[Any], None]]],
    found: Findings,
    *,
    say: Say,
) -> None:
    """Run tasks one after the other, and tell of each as it ends.

    Parameters
    ----------
    names
        Of the tasks, in order.
    tasks
        Name -> title and function.
    found
        Given to every task, which adds to it.
    say
        Told of every task.
    """
    for name in names:
        start = time.perf_counter()
        tasks[name][1](found)
        rows = [row for row in found.rows if row["task"] == name]
        say(told(tasks[name][0], rows, seconds=time.perf_counter() - start))


def told(title: str, rows: Sequence[Row], *, seconds: float) -> str:
    """Return a task's rows for a terminal."""
    return f"\n{title}\n{table(rows)}\n({seconds:.0f} s)\n"


def heading(here: Row, known: Mapping[str, str]) -> str:
    """Return on what and with what a benchmark runs, for a terminal."""
    return "\n".join(f"{name}: {value}" for name, value in (here | {"versions": known}).items())


def findings(claims: list[Row], rows: list[Row], *, size: Any, here: Row, known: Mapping[str, str]) -> Row:
    """Return a report: what was found, how much was run, on what, with what and when.

    Parameters
    ----------
    claims, rows
        What was found.
    size
        Of the run, as JSON values.
    here
        The machine.
    known
        Versions.
    """
    report = {"claims": claims, "rows": rows, "size": size, "machine": here, "versions": known}
    return report | {"date": today()}


def simulated(claims: list[Row], rows: list[Row], *, size: Row, seed: int, n_jobs: int, start: float) -> Row:
    """Return a report of simulations.

    Parameters
    ----------
    claims, rows
        What was found.
    size
        How many of what.
    seed
        Of everything.
    n_jobs
        Workers.
    start
        When it began, by `time.perf_counter`.
    """
    seconds = round(time.perf_counter() - start, 1)
    report = {"claims": claims, "rows": rows, "size": size, "seed": seed, "versions": versions()}
    return report | {"seconds": seconds, "workers": n_jobs, "date": today()}


def today() -> str:
    """Return the date that a report bears."""
    return time.strftime("%Y-%m-%d")


COLUMNS = (
    ("who", "who", "{}"),
    ("r_difference", "max diff r", "{:.1e}"),
    ("weights_difference", "max diff w", "{:.1e}"),
    ("core_s", "core-s", "{:.4g}"),
    ("wall_s", "wall s", "{:.4g}"),
    ("ratio", "x ours", "{:,.4g}"),
    ("above_mb", "MB above data", "{:,.0f}"),
    ("peak_mb", "MB in all", "{:,.0f}"),
)


def table(rows: Sequence[Row], *, markdown: bool = False) -> str:
    """Lay rows of one task out: agreement first, then times, then remarks."""
    used = [column for column in COLUMNS if any(column[0] in row for row in rows)]
    extra = list(dict.fromkeys(name for row in rows for name in row.get("shown", {})))
    head = [title for _, title, _ in used] + extra + ["remarks"]
    body = [[_cell(row, name, form) for name, _, form in used] for row in rows]
    for line, row in zip(body, rows, strict=True):
        line += [str(row.get("shown", {}).get(name, "")) for name in extra]
        line.append("; ".join(part for part in (row.get("problem", ""), row.get("note", "")) if part))
    return in_pipes(head, body) if markdown else in_columns(head, body, right=range(1, len(head) - 1))


def _cell(row: Row, name: str, form: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    return form.format(value) if isinstance(value, str) or math.isfinite(value) else "-"


def in_columns(head: Sequence[str], body: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Lay a table out for a terminal.

    Parameters
    ----------
    head, body
        Titles, and lines of cells.
    right
        Columns whose cells stand at the right.

    Examples
    --------
    >>> print(in_columns(["who", "s", "note"], [["we", "10", ""], ["they", "9", "old"]], right=[1]))
    who    s  note
    we    10
    they   9  old
    """
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    lines = (
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (head, *body)
    )
    return "\n".join(line.rstrip() for line in lines)


def in_pipes(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Lay a table out as Markdown.

    >>> print(in_pipes(["who", "s"], [["we", "10"]]))
    | who | s |
    | --- | --- |
    | we | 10 |
    """
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body))


def verdicts(claims: Sequence[Row], *, markdown: bool = False) -> str:
    """Lay claims out, one a line."""
    if markdown:
        says = {True: "yes", False: "**no**", None: "not judged"}
        lines = [f"| {c['name']} | {_value(c)} {c['unit']} | {c['target']} | {says[c['ok']]} |" for c in claims]
        return "\n".join(["| claim | value | target | holds |", "|---|---|---|---|", *lines])
    says = {True: "ok  ", False: "FAIL", None: "-   "}
    lines = []
    for claim in claims:
        doubt = f"; {NOT_JUDGED}" if claim["ok"] is None and claim["target"] != "reported" else ""
        lines.append(f"{says[claim['ok']]} {claim['name']}: {_value(claim)} {claim['unit']} ({claim['target']}{doubt})")
    return "\n".join(lines)


def _value(claim: Row) -> str:
    value = claim["value"]
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def text_of(tables: Iterable[Table], claims: Sequence[Row]) -> str:
    """Return titled tables and claims for a terminal."""
    parts = [f"{title}\n{in_columns(head, body)}" for title, head, body in tables]
    return "\n\n".join([*parts, verdicts(claims)])


def page_of(first: str, tables: Iterable[tuple[str, str]], claims: Sequence[Row]) -> str:
    """Return a page of Markdown.

    Parameters
    ----------
    first
        What stands above.
    tables
        Titles, and tables that are laid out.
    claims
        Stand below.
    """
    parts = [f"**{title}**\n\n{body}" for title, body in tables]
    return "\n\n".join([first, *parts, verdicts(claims, markdown=True)])


def page_of_tasks(report: Row, tasks: Mapping[str, tuple[str, Any]], *, how: str) -> str:
    """Return a report as Markdown, for the documentation.

    Parameters
    ----------
    report
        From `findings`.
    tasks
        Name -> title and anything.
    how
        On how many threads or cores, and how busy they were.
    """
    here = report["machine"]
    busy = f" (**{here['warning']}**)" if here.get("warning") else ""
    known = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    of_task = {name: [row for row in report["rows"] if row["task"] == name] for name in tasks}
    tables = [(tasks[name][0], table(rows, markdown=True)) for name, rows in of_task.items() if rows]
    return page_of(f"{report['date']}, {here['processor']}, {how}{busy}. {known}.", tables, report["claims"])
