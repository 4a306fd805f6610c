"""When was which word or phoneme said, in a table of whatever make? Columns by usual names, units never guessed.

Aligners, annotators and BIDS call the same columns by different names, which is harmless, and
count in seconds, milliseconds or samples, which is not: a table says its unit, or its reader does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from brainalign.audio.annotations import MISSING, Events, header_of, read_table, read_textgrid
from brainalign.core.errors import UnreadableFile, ValueProblem, unknown_name
from brainalign.core.time import Number, exact

ONSETS = ("onset", "start", "begin", "tmin", "xmin", "start_time", "begin_time", "onset_time", "word_onset")
"""What the beginning's column may be called, in any case; a unit may follow: ``onset_ms``, ``Start (s)``."""
OFFSETS = ("offset", "end", "stop", "tmax", "xmax", "end_time", "stop_time", "offset_time", "word_offset")
DURATIONS = ("duration", "dur")
LABELS = ("word", "phoneme", "phone", "token", "text", "label")
UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("sample", "samples", "smp"), "samples"),
}
LATE, CUT = ("refuse", "drop"), ("keep", "refuse", "drop")
_TEXTGRID = ".textgrid"
_BIDS = "_events.tsv"
# A word that ends this little after the sound's last sample was rounded, not cut.
ROUNDING = Fraction(1, 1000)

Unit = Literal["s", "ms", "samples"]


@dataclass(frozen=True)
class _Clock:
    """What the reader declared about the table's numbers."""

    unit: Unit | None
    rate: Fraction | None
    file: str


def read_words(
    path: Path | str,
    *,
    unit: Unit | None = None,
    rate: Number | None = None,
    onset: str | None = None,
    offset: str | None = None,
    label: str | None = None,
    name: str | None = None,
    tier: str | None = None,
) -> Events:
    """Read words or phonemes from a table or a TextGrid, in seconds.

    Parameters
    ----------
    path
        A table with a header (tabs, commas or semicolons) or a ``.TextGrid``, in UTF-8 or UTF-16.
    unit
        What the table counts in: ``"s"``, ``"ms"`` or ``"samples"``. May be left out where the column's name ends
        with it (``onset_ms``), in BIDS' ``*_events.tsv`` and in TextGrids, which are in seconds by their standards;
        otherwise it is asked for, and where name and argument differ, the table is refused.
    rate
        Samples per second; goes with samples, and only with them.
    onset, offset, label
        Columns. Left out, they are found by their usual names (`ONSETS`, `OFFSETS` or `DURATIONS`, `LABELS`), if
        only one fits.
    name
        What the events are; the file's name without its ending, or the tier's, by default.
    tier
        Of a TextGrid.

    Returns
    -------
    Events
        One per row. ``columns["offset"]`` and ``columns["duration"]`` are in seconds, where the table has either;
        all other columns are as they were written.
    """
    path = Path(path)
    if path.suffix.lower() == _TEXTGRID:
        return _textgrid(path, tier=tier, name=name, told={"unit": unit, "onset": onset, "offset": offset})
    declared = _Clock(unit, None if rate is None else exact(rate), path.name)
    header = header_of(path)
    begins = onset or _only(header, ONSETS, what="onset", file=path.name)
    says = label or _only(header, LABELS, what="label", file=path.name, needed=False)
    table = read_table(path, onset=begins, label=says or None, name=name, unit=_seconds_per(begins, declared))
    stops = offset or _only(header, OFFSETS, what="offset", file=path.name, needed=False)
    lasts = "" if stops else _only(header, DURATIONS, what="duration", file=path.name, needed=False)
    ends = _ends(table, stops or lasts, declared)
    if ends is not None and lasts:
        ends = tuple(None if d is None else start + d for start, d in zip(table.onsets, ends, strict=True))
    return table if ends is None else replace(table, columns={**table.columns, **_told(table, ends, path.name)})


def within_sound(
    events: Events,
    seconds: Number,
    *,
    late: Literal["refuse", "drop"] = "refuse",
    cut: Literal["keep", "refuse", "drop"] = "keep",
) -> Events:
    """Return the events that lie in a sound, or say which do not.

    Parameters
    ----------
    events
        In seconds from the sound's first sample.
    seconds
        Length of the sound.
    late
        What happens to events that begin at its end or later: the table is longer than the sound.
    cut
        What happens to events that begin in it and end after it. Kept, they end when they end: an onset is where
        an impulse stands, whatever follows.
    """
    for chosen, known, what in ((late, LATE, "events after the end"), (cut, CUT, "events across the end")):
        if chosen not in known:
            raise unknown_name(chosen, among=known, kind=f"treatment of {what}")
    end = exact(seconds)
    _require_no(events, [onset < 0 for onset in events.onsets], what="events begin before the sound", end=end)
    after = [onset >= end for onset in events.onsets]
    if late == "refuse":
        _require_no(events, after, what=f"the table of {events.name!r} is longer than its sound", end=end)
    over = [ends is not None and ends > end + ROUNDING for ends in offsets_of(events)]
    across = [beyond and not gone for beyond, gone in zip(over, after, strict=True)]
    if cut == "refuse":
        _require_no(events, across, what="events end after the sound", end=end)
    lost = [gone or (cut == "drop" and over_it) for gone, over_it in zip(after, across, strict=True)]
    kept = events.select([not gone for gone in lost])
    return replace(kept, provenance=kept.provenance.then("within_sound", seconds=end, late=late, cut=cut))


def offsets_of(events: Events) -> tuple[Fraction | None, ...]:
    """Return when each event ended, in seconds; None where nobody says.

    Parameters
    ----------
    events
        From `read_words` or `read_textgrid`.
    """
    told = events.columns.get("offset", ("",) * events.n)
    return tuple(None if entry.lower() in MISSING else exact(entry) for entry in told)


def _require_no(events: Events, found: Sequence[bool], *, what: str, end: Fraction) -> None:
    if not any(found):
        return
    first = found.index(True)
    times = f"at {float(events.onsets[first]):.6g} s"
    ratio = max(events.onsets) / end if end else Fraction(0)
    unit = " The numbers are so large that they may be milliseconds or samples: see unit=." if ratio > 50 else ""
    raise ValueProblem(
        what,
        got=f"{sum(found)} of {events.n}, the first {times} ({events.labels[first]!r}), in a sound of "
        f"{float(end):.6g} s",
        fix=f"check that table and sound belong together, or say what to do with late= and cut=.{unit}",
    )


def _textgrid(path: Path, *, tier: str | None, name: str | None, told: dict[str, str | None]) -> Events:
    wrong = [f"{key}={value!r}" for key, value in told.items() if value not in (None, "s")]
    if wrong:
        raise ValueProblem(
            "a TextGrid has tiers, no columns, and counts in seconds",
            got=f"{path.name}: {', '.join(wrong)}",
            fix="give tier= only",
        )
    found = read_textgrid(path, tier=tier)
    return replace(found, name=name or found.name)


def _plain(column: str) -> tuple[str, str]:
    """Split a column's name into what it is and its unit: ``"Onset (ms)"`` is ``("onset", "ms")``."""
    parts = [part for part in re.split(r"[^a-z0-9]+", column.lower()) if part]
    unit = UNITS.get(parts[-1], "") if len(parts) > 1 else ""
    return "_".join(parts[:-1] if unit else parts), unit


def _only(header: Sequence[str], names: Sequence[str], *, what: str, file: str, needed: bool = True) -> str:
    """Return the one column that goes by one of these names; labels take the first name that fits."""
    fitting = [column for column in header if _plain(column)[0] in names]
    if what == "label":
        fitting = sorted(fitting, key=lambda column: names.index(_plain(column)[0]))[:1]
    if len(fitting) == 1 or (not fitting and not needed):
        return fitting[0] if fitting else ""
    raise UnreadableFile(
        f"{file}: it is not clear which column holds the {what}",
        got=", ".join(fitting) or f"columns {', '.join(header)}",
        fix=f"name it with {what}=; understood by themselves: {', '.join(names)}",
    )


def _seconds_per(column: str, declared: _Clock) -> Fraction:
    """Return the seconds per unit of a column, as its name or its reader says."""
    named = _plain(column)[1] or ("s" if declared.file.endswith(_BIDS) else "")
    unit = declared.unit or named
    if declared.unit is not None and declared.unit not in ("s", "ms", "samples"):
        raise unknown_name(declared.unit, among=("s", "ms", "samples"), kind="unit of a table")
    if not unit:
        raise ValueProblem(
            f"{declared.file} does not say what column {column!r} counts in",
            got="no unit in its name and none given",
            fix='say unit="s", unit="ms", or unit="samples" and rate=',
        )
    if named and named != unit:
        raise ValueProblem(
            f"{declared.file}: two units for one column",
            got=f"{column!r} is in {named}, and unit={unit!r}",
            fix="leave unit= out, or rename the column",
        )
    if (unit == "samples") != (declared.rate is not None):
        raise ValueProblem(
            "samples have a rate, and seconds have none",
            got=f"{declared.file}: {unit}, rate={declared.rate}",
            fix="give rate= with samples, and only with them",
        )
    return {"s": Fraction(1), "ms": Fraction(1, 1000)}.get(unit) or 1 / (declared.rate or Fraction(1))


def _ends(table: Events, column: str, declared: _Clock) -> tuple[Fraction | None, ...] | None:
    """Read a further column of times, in seconds; None where an entry is missing, or altogether without it."""
    if not column:
        return None
    if column not in table.columns:
        raise unknown_name(column, among=table.columns, kind=f"column in {declared.file}")
    scale, times = _seconds_per(column, declared), []
    for row, entry in enumerate(table.columns[column], start=2):
        try:
            times.append(None if entry.lower() in MISSING else exact(entry) * scale)
        except ValueProblem as error:
            raise ValueProblem(
                "a time is not a number",
                got=f"{declared.file}, row {row}, column {column!r}: {entry!r}",
                fix="fill it in, or leave it empty",
            ) from error
    return tuple(times)


def _told(table: Events, ends: Sequence[Fraction | None], file: str) -> dict[str, tuple[str, ...]]:
    """Return the columns ``offset`` and ``duration`` in seconds, refusing what ends before it begins."""
    for row, (start, end) in enumerate(zip(table.onsets, ends, strict=True), start=2):
        if end is not None and end < start:
            raise ValueProblem(
                "an event ends before it begins",
                got=f"{file}, row {row}: {float(start):.6g} to {float(end):.6g} s",
                fix="check that the columns count in the same unit, and which of them is the onset",
            )
    offset = tuple("" if end is None else repr(float(end)) for end in ends)
    lengths = tuple(
        "" if end is None else repr(float(end - start)) for start, end in zip(table.onsets, ends, strict=True)
    )
    return {"offset": offset, "duration": lengths}
