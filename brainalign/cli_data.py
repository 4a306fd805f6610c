"""Which public data are there, and how do I get them? ``brainalign datasets`` and ``brainalign fetch``.

Only typer is imported at the top, so that help comes at once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

if TYPE_CHECKING:
    from brainalign.datasets.fetch import FetchReport
    from brainalign.datasets.manifest import Dataset
    from brainalign.datasets.plan import FetchPlan

# How wide a table is that is written to a file or a pipe, and how often a log line tells of progress there.
PIPE_COLUMNS = 140
LINE_EVERY_S = 30.0

Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset, or some of its parts: NAME:PART,PART.")]
Chosen = Annotated[str, typer.Option(help="Which ones: '1,3-5' or the dataset's own names. Default: all.")]
To = Annotated[Path | None, typer.Option("--to", help="Where the files go. Default: data/NAME.")]
From = Annotated[
    Path | None, typer.Option("--from", help="Take the files from a folder that somebody copied, and check them.")
]
Accept = Annotated[bool, typer.Option("--accept-licence", help="Accept the dataset's terms; remembered in the folder.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=32, help="Files at a time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show where an error arose.")]


class Guard(Protocol):
    """What turns errors into messages and exit codes around a command."""

    def __call__(self, *, verbose: bool) -> AbstractContextManager[object]:
        """Return a context to run a command in."""


def register(app: typer.Typer, *, guard: Guard) -> None:
    """Add the commands that deal with public data.

    Parameters
    ----------
    app
        The command line.
    guard
        Around each command.
    """

    @app.command(epilog="Example: brainalign datasets ds004408")
    def datasets(
        name: Annotated[str, typer.Argument(metavar="[NAME]", help="Tell everything about one dataset.")] = "",
        *,
        verbose: Verbose = False,
    ) -> None:
        """List the public datasets that are known.

        What is not verified comes from the datasets' own pages and other people's code; a known hash decides.
        """
        with guard(verbose=verbose):
            from brainalign.datasets.manifest import find_dataset, load_manifest

            if name:
                _tell_dataset(name, find_dataset(name))
            else:
                _tell_datasets(load_manifest().datasets)

    @app.command(epilog="Example: brainalign fetch ds004408 --subjects 1-3 --runs 1,2 --dry-run")
    def fetch(
        name: Name,
        *,
        subjects: Chosen = "",
        runs: Chosen = "",
        to: To = None,
        source: From = None,
        accept_licence: Accept = False,
        jobs: Jobs = 4,
        dry_run: DryRun = False,
        verbose: Verbose = False,
    ) -> None:
        """Fetch files of a public dataset, and check every one of them.

        Files that are there and whole are kept. Stopped half-way? The same command goes on where it stopped.
        """
        with guard(verbose=verbose):
            from brainalign.datasets.fetch import carry_out
            from brainalign.datasets.plan import plan_fetch

            name, _, parts = name.partition(":")
            folder = Path("data") / name if to is None else to
            plan = plan_fetch(
                name, folder, subjects=_words(subjects), runs=_words(runs), parts=_words(parts), source=source
            )
            for line in _plan_lines(plan):
                typer.echo(line)
            if dry_run:
                return
            accepted = accept_licence or _ask(plan)
            with _meter(plan) as tell:
                report = carry_out(plan, accept_licence=accepted, jobs=jobs, tell=tell)
            for line in _report_lines(report):
                typer.echo(line)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _ask(plan: FetchPlan) -> bool:
    """Ask a person at a terminal whether the terms are accepted; nobody else is asked."""
    if plan.licence_accepted or not sys.stdin.isatty():
        return False
    return typer.confirm("Do you accept these terms?", err=True)


def _size(n_bytes: int | None) -> str:
    if n_bytes is None:
        return "?"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.3g} {unit}" if n_bytes < 999 * scale else f"{n_bytes / scale:.0f} {unit}"
    return f"{n_bytes} B"


def _licence_line(plan: FetchPlan) -> str:
    terms = plan.dataset.licence
    text = "; ".join(part for part in (terms.name, terms.restrictions, terms.url or "") if part)
    return f"licence: {text} ({'accepted' if plan.licence_accepted else 'not yet accepted for this folder'})"


def _plan_lines(plan: FetchPlan) -> Iterator[str]:
    yield f"{plan.name}: {plan.dataset.title}"
    yield _licence_line(plan)
    yield from (f"trap: {trap}" for trap in plan.dataset.traps)
    unknown = f", and {plan.n_unknown} of unknown size" if plan.n_unknown else ""
    yield f"to come: {len(plan.missing)} files, {_size(plan.n_bytes)}{unknown}; there already: {len(plan.kept)}"
    unhashed = sum(not file.hash for file in plan.missing)
    if unhashed:
        yield f"without a known hash: {unhashed} files, which are taken as they come"
    yield f"folder: {plan.folder} ({_size(plan.n_free)} free)"


def _report_lines(report: FetchReport) -> Iterator[str]:
    yield f"fetched {len(report.fetched)} files; {len(report.kept)} were there already"
    if report.unverified:
        yield f"{len(report.unverified)} had no known hash; what came is remembered and checked from now on"
    if report.absent:
        yield f"{len(report.absent)} optional files are not at the source, e.g. {report.absent[0]}"
    if report.replaced:
        yield f"{len(report.replaced)} files that were there differed; they lie in .brainalign/replaced"
    if report.unpacked:
        yield f"{len(report.unpacked)} files came out of archives"
    yield f"folder: {report.folder}"


def _tell_datasets(datasets: dict[str, Dataset]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_COLUMNS)
    table = Table("name", "what", "kind", "sound", "licence", "access", box=None, pad_edge=False, header_style="bold")
    for title in ("listeners", "channels", "Hz", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, item in sorted(datasets.items()):
        numbers = (item.subjects, item.channels, item.rate)
        told = ("?" if number is None else f"{number:g}" for number in numbers)
        row = (name, item.title, item.modality, item.audio, item.licence.name, item.access)
        table.add_row(*row, *told, _size(item.size))
    console.print(table)
    unverified = sum(not item.verified for item in datasets.values())
    console.print(f"{len(datasets)} datasets; {unverified} not verified here. More: brainalign datasets NAME")


def _tell_dataset(name: str, item: Dataset) -> None:
    listeners = "?" if item.subjects is None else item.subjects
    rate = "?" if item.rate is None else f"{item.rate:g}"
    rows: list[tuple[str, object]] = [
        ("", f"{name}: {item.title}"),
        *(("citation", text) for text in item.citation),
        ("doi", item.doi),
        ("page", item.page),
        ("licence", " - ".join(part for part in (item.licence.name, item.licence.restrictions) if part)),
        ("access", item.access),
        ("listeners", f"{listeners}, {item.modality}, {item.channels or '?'} channels at {rate} Hz"),
        ("reference", item.reference),
        ("sensors", item.montage),
        ("format", f"{item.format}, sound {item.audio}"),
        ("onsets", item.onsets),
        ("size", _size(item.size)),
        ("verified", "yes" if item.verified else "no: nobody has compared its bytes here"),
        *(
            ("part", f"{part}{'' if told.default else ' (only if asked for)'}: {told.about}")
            for part, told in item.parts.items()
        ),
        *(("trap", text) for text in item.traps),
    ]
    for label, value in rows:
        if value:
            typer.echo(f"{label + ':' if label else '':<11}{value}" if label else str(value))


@contextmanager
def _meter(plan: FetchPlan) -> Iterator[Callable[[str, int], None]]:
    """Show how far a fetch is: a bar at a terminal, now and then a line elsewhere."""
    if sys.stderr.isatty():
        with _bar(plan) as advance:
            yield advance
        return
    yield _Lines(_size(plan.n_bytes))


class _Lines:
    """Count what has come, from any thread, and say so in a line now and then."""

    def __init__(self, total: str) -> None:
        self._total, self._done = total, 0
        self._last, self._lock = time.monotonic(), threading.Lock()

    def __call__(self, _path: str, count: int) -> None:
        with self._lock:
            self._done += count
            if time.monotonic() - self._last >= LINE_EVERY_S:
                self._last = time.monotonic()
                typer.echo(f"{_size(max(0, self._done))} of {self._total} have come", err=True)


@contextmanager
def _bar(plan: FetchPlan) -> Iterator[Callable[[str, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(plan.name, total=plan.n_bytes if not plan.n_unknown else None)
        yield lambda _path, count: progress.update(task, advance=count)
