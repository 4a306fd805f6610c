"""When was what said? Words and phonemes from TextGrids and tables.

Times are read as the decimals that are written in the file, and stay exact.
`brainalign.audio.impulses.impulses` puts them on a clock.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from brainalign.audio.textgrid import Tier, decode, read_tiers
from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem, unknown_name
from brainalign.core.hashing import file_digest
from brainalign.core.provenance import Provenance
from brainalign.core.time import Number, exact

SILENCES = frozenset({"", "sil", "sp", "spn", "pau", "h#", "<eps>", "<sil>", "{sl}", "{ns}"})
"""What aligners call stretches without speech (compared in lower case)."""

MISSING = frozenset({"", "n/a", "na", "nan"})
"""How tables say that a value is missing (compared in lower case)."""


@dataclass(frozen=True, eq=False)
class Events:
    """Things that happened in a sound: words, phonemes, anything with an onset.

    Parameters
    ----------
    name
        What they are, e.g. the tier's name; features are called after it.
    onsets
        When each began, exactly, in seconds from the sound's first sample.
    labels
        What each was.
    columns
        Further columns of the table as they were written, one entry per event.
    provenance
        The steps that made them.
    """

    name: str
    onsets: tuple[Fraction, ...]
    labels: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def n(self) -> int:
        """Number of events."""
        return len(self.onsets)

    def select(self, keep: Sequence[bool] | np.ndarray) -> Events:
        """Return the events where a mask is true."""
        if len(keep) != self.n:
            raise ValueProblem("a mask needs one entry per event", got=f"{len(keep)} for {self.n}", fix="check it")
        index = np.flatnonzero(np.asarray(keep, dtype=bool))
        columns = {name: tuple(values[i] for i in index) for name, values in self.columns.items()}
        onsets, labels = tuple(self.onsets[i] for i in index), tuple(self.labels[i] for i in index)
        return replace(self, onsets=onsets, labels=labels, columns=columns)

    def where(self, column: str, value: str) -> Events:
        """Return the events whose column reads so, e.g. ``where("Segment", "1")``."""
        return self.select([entry == str(value) for entry in self._column(column)])

    def heights(self, column: str) -> np.ndarray:
        """Return a column as numbers, shape ``(n,)``; every one must be there and finite."""
        entries = self._column(column)
        numbers = np.array([_number(entry) for entry in entries])
        if not np.isfinite(numbers).all():
            row = int(np.argmin(np.isfinite(numbers)))
            raise ValueProblem(
                f"column {column!r} of {self.name!r} is not a number everywhere",
                got=f"{entries[row]!r} at event {row + 1} ({self.labels[row]!r})",
                fix="fill it in, or leave such events out with Events.select",
            )
        return numbers

    def _column(self, column: str) -> tuple[str, ...]:
        if column not in self.columns:
            raise unknown_name(column, among=self.columns, kind=f"column of {self.name!r}")
        return self.columns[column]


def _number(entry: str) -> float:
    try:
        return float(entry)
    except ValueError:
        return math.nan


def read_textgrid(path: Path | str, *, tier: str | None = None, silences: Collection[str] = SILENCES) -> Events:
    """Read one tier of a Praat TextGrid.

    Parameters
    ----------
    path
        A TextGrid as text, long or short, in UTF-8 or UTF-16.
    tier
        The tier's name; it may be left out if there is only one.
    silences
        Intervals with these labels (whatever their case) are no events.

    Returns
    -------
    Events
        One per interval or point, with columns ``"offset"`` and ``"duration"`` in seconds for
        intervals.
    """
    path = _existing(path)
    found = _chosen(read_tiers(path), tier, path)
    quiet = {label.lower() for label in silences}
    kept = [mark for mark in found.marks if mark.label.strip().lower() not in quiet]
    columns: dict[str, tuple[str, ...]] = {}
    if found.is_intervals:
        columns["offset"] = tuple(repr(float(mark.stop)) for mark in kept)
        columns["duration"] = tuple(repr(float(mark.stop - mark.start)) for mark in kept)
    provenance = Provenance().then("read_textgrid", file=path.name, sha256=file_digest(path), tier=found.name)
    return Events(
        found.name,
        tuple(mark.start for mark in kept),
        tuple(mark.label.strip() for mark in kept),
        columns,
        provenance,
    )


def _chosen(tiers: Sequence[Tier], name: str | None, path: Path) -> Tier:
    names = [tier.name for tier in tiers]
    if name is None and len(tiers) == 1:
        return tiers[0]
    if name is None:
        raise ValueProblem(
            "a TextGrid has several tiers", got=f"{path.name}: {', '.join(names)}", fix="name one with tier=..."
        )
    if name not in names:
        raise unknown_name(name, among=names, kind=f"tier in {path.name}")
    if names.count(name) > 1:
        raise ValueProblem("a tier's name is not unique", got=f"{path.name}: {name!r} twice", fix="rename one in Praat")
    return tiers[names.index(name)]


def read_table(
    path: Path | str,
    *,
    onset: str = "onset",
    label: str | None = None,
    name: str | None = None,
    unit: Number = 1,
) -> Events:
    """Read a table of words or phonemes, one row each.

    Parameters
    ----------
    path
        A table with a header: tabs (``.tsv``), commas or semicolons, in UTF-8 or UTF-16.
    onset
        The column that says when each event began.
    label
        The column that says what it was; nothing by default.
    name
        What the events are; the file's name without its ending by default.
    unit
        Seconds per unit of the onset column: 1 for seconds, ``"1/1000"`` for milliseconds,
        ``"1/16000"`` for samples at 16 kHz.

    Returns
    -------
    Events
        Every column is kept as it was written; `Events.heights` reads one as numbers.
    """
    path = _existing(path)
    header, rows = _rows(path)
    columns = {column: tuple(row[i] for row in rows) for i, column in enumerate(header)}
    for wanted in (onset, *(() if label is None else (label,))):
        if wanted not in columns:
            raise unknown_name(wanted, among=columns, kind=f"column in {path.name}")
    scale = exact(unit)
    onsets = tuple(_time(entry, row=i, path=path) * scale for i, entry in enumerate(columns[onset], start=2))
    labels = columns[label] if label is not None else ("",) * len(rows)
    provenance = Provenance().then("read_table", file=path.name, sha256=file_digest(path), onset=onset, unit=scale)
    return Events(name or path.stem, onsets, labels, columns, provenance)


def header_of(path: Path | str) -> tuple[str, ...]:
    """Return the names of a table's columns.

    Parameters
    ----------
    path
        As `read_table` takes it.
    """
    return tuple(_rows(_existing(path))[0])


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    text = decode(path).lstrip("\r\n")
    if not text:
        raise UnreadableFile("a table is empty", got=f"{path.name}: no header", fix="export it again")
    top = text.splitlines()[0]
    separator = "\t" if "\t" in top else max(",;", key=top.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header, *rows = [[entry.strip() for entry in row] for row in table if any(row)]
    for i, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UnreadableFile(
                "a row does not fit its header",
                got=f"{path.name}, row {i}: {len(row)} entries under {len(header)} names",
                fix="check the separator, and put quotes around text that contains it",
            )
    if len(set(header)) < len(header):
        raise UnreadableFile("column names must differ", got=f"{path.name}: {', '.join(header)}", fix="rename them")
    return header, rows


def _time(entry: str, *, row: int, path: Path) -> Fraction:
    if entry.lower() not in MISSING:
        try:
            return exact(entry)
        except ValueProblem:
            pass
    raise ValueProblem(
        "an onset is not a number", got=f"{path.name}, row {row}: {entry!r}", fix="fill it in, or leave the row out"
    )


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise MissingFile("there is no annotation file here", got=path, fix="check the path")
    return path
