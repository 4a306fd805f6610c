"""When did each stimulus begin, by what the recording says? Marks, trigger channels, event tables, the file's start."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from brainalign.align.clock import ListeningClock
from brainalign.align.line import Line, robust_line
from brainalign.core.errors import GridMismatch, MissingFile, UnknownName, UnreadableFile, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import Number, exact

Onsets = dict[str, tuple[Fraction, ...]]
NOTHING = ("", "n/a")
# A table's sample numbers may be rounded, or counted from 1.
SAMPLE_SLACK = Fraction(3, 2)
_DIGITS = 12


def with_onsets(recording: Recording, onsets: Mapping[str, Iterable[Number]], *, source: str) -> Recording:
    """Return a recording with these onsets in place of its own.

    Parameters
    ----------
    recording
        The recording; it stays as it was.
    onsets
        Stimulus name -> times in seconds of the recording.
    source
        Where they come from, for the provenance.
    """
    told = {name: tuple(sorted(exact(time) for time in times)) for name, times in onsets.items()}
    provenance = recording.provenance.then("with_onsets", source=source, onsets=told)
    return replace(recording, onsets=told, provenance=provenance)


def onsets_from_annotations(recording: Recording, names: Mapping[str, str]) -> Onsets:
    """Return the onsets of annotations, under the stimuli's names.

    Parameters
    ----------
    recording
        With annotations.
    names
        Annotation (e.g. ``"Stimulus/S 11"``) -> stimulus.
    """
    missing = sorted(set(names) - set(recording.onsets))
    if missing:
        raise UnknownName(
            f"{recording.label} lacks some of the annotations",
            got=", ".join(missing),
            fix=f"it has: {', '.join(sorted(recording.onsets)[:12]) or 'none'}",
        )
    return _gathered((names[mark], time) for mark in names for time in recording.onsets[mark])


def onsets_from_channel(
    recording: Recording, channel: str, names: Mapping[int, str], *, mask: int = 0xFFFF, shortest: Number = 0
) -> Onsets:
    """Return when a trigger channel took the values that stand for stimuli.

    Parameters
    ----------
    recording
        As it was recorded: a filtered or resampled trigger channel is refused.
    channel
        Its name (``"Status"``, ``"STI 014"``, ...).
    names
        Trigger value -> stimulus. Each change to that value counts, also straight from another one.
    mask
        Bits that count: ``0xFF`` for a BioSemi, whose upper bits tell of batteries and ranges.
    shortest
        Values that are held for less, in seconds, are passed over: cables switch bit by bit.
    """
    if channel not in recording.channels:
        raise UnknownName(
            f"{recording.label} has no trigger channel of that name",
            got=repr(channel),
            fix=f"its channels end with: {', '.join(recording.channels[-6:])}",
        )
    column = np.asarray(recording.values[:, recording.channels.index(channel)], dtype=float)
    if not np.array_equal(column, np.round(column)):
        raise ValueProblem(
            f"channel {channel!r} does not hold whole numbers",
            got=f"{column[np.argmax(column != np.round(column))]:.6g}",
            fix="read triggers from the recording as it was recorded, before filters and resampling",
        )
    codes = column.astype(np.int64) & mask
    first = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])
    held = np.diff(np.concatenate([first, [codes.size]]))
    steady = first[held >= float(exact(shortest) * recording.axis.rate)] if codes.size else first[:0]
    found = _gathered((names[int(codes[i])], recording.axis.time(int(i))) for i in steady if int(codes[i]) in names)
    missing = sorted(set(names.values()) - set(found))
    if missing:
        seen = ", ".join(str(code) for code in np.unique(codes[steady])[:12])
        raise UnknownName(
            f"channel {channel!r} never says that some stimuli began",
            got=", ".join(missing),
            fix=f"check the values and mask=; seen: {seen}",
        )
    return found


def onsets_from_table(path: str | Path, *, column: str = "trial_type", rate: Number | None = None) -> Onsets:
    """Return the onsets in a table of events, as BIDS writes it (tab-separated, ``onset`` in seconds).

    Parameters
    ----------
    path
        An ``events.tsv``.
    column
        The column that names the stimulus (``"trial_type"``, ``"stim_file"``, ``"value"``, ...).
    rate
        The recording's samples per second. If given and the table has a column ``sample``, both columns must
        tell the same times: a table made for another rate is refused.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFile("there is no such table of events", got=path.as_posix(), fix="check the path")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    have = list(rows[0]) if rows else []
    missing = [name for name in ("onset", column) if name not in have]
    if missing:
        raise UnreadableFile(
            f"{path.name} lacks a column",
            got=f"columns {', '.join(map(str, have)) or 'none'}",
            fix=f"needed: {', '.join(missing)}; name the stimuli's column with column=",
        )
    rows = [row for row in rows if row["onset"] not in NOTHING and row[column] not in NOTHING]
    if rate is not None and "sample" in have:
        _require_samples(rows, rate=exact(rate), name=path.name)
    return _gathered((str(row[column]), exact(row["onset"])) for row in rows)


def _require_samples(rows: list[dict[str, str]], *, rate: Fraction, name: str) -> None:
    for row in rows:
        if row["sample"] in NOTHING:
            continue
        apart = exact(row["sample"]) - exact(row["onset"]) * rate
        if abs(apart) > SAMPLE_SLACK:
            raise GridMismatch(
                f"{name} tells two times of one event",
                got=f"onset {row['onset']} s is sample {float(exact(row['onset']) * rate):g} at {float(rate):g} Hz, "
                f"and the table says {row['sample']}",
                fix="find out at which rate the samples were counted, or whether the recording was cut",
            )


def onset_at_start(recording: Recording, name: str) -> Onsets:
    """Return the onset of a stimulus that began with the file.

    Parameters
    ----------
    recording
        One run, cut at the stimulus' onset.
    name
        Of the stimulus.
    """
    return {name: (recording.axis.t0,)}


def clock_from_marks(
    stimulus_times: Iterable[Number], recording_times: Iterable[Number], *, tolerance: float = 0.01
) -> tuple[ListeningClock, Line]:
    """Fit a clock to marks whose times in the stimulus are known, e.g. a trigger at every word.

    Parameters
    ----------
    stimulus_times, recording_times
        The same marks in both, in seconds; at least three.
    tolerance
        Most of the marks must lie this close to the clock, in seconds.

    Returns
    -------
    clock, line
        The clock, and the fit with its residuals (seconds) and standard errors.
    """
    there = np.array([float(exact(time)) for time in stimulus_times])
    here = np.array([float(exact(time)) for time in recording_times])
    line = robust_line(there, here - there, floor=1e-6)
    near = np.abs(line.residuals) <= tolerance
    if np.mean(near) < 0.75:
        worst = int(np.argmax(np.abs(line.residuals)))
        raise ValueProblem(
            "the marks do not lie on one clock",
            got=f"{np.count_nonzero(near)} of {near.size} within {1e3 * tolerance:g} ms; mark {worst} is "
            f"{1e3 * line.residuals[worst]:+.1f} ms off",
            fix="check that marks and stimulus belong together, that none is missing, and that no samples were dropped",
        )
    return ListeningClock(exact(round(line.intercept, _DIGITS)), exact(round(line.slope, _DIGITS))), line


def _gathered(pairs: Iterable[tuple[str, Fraction]]) -> Onsets:
    found: Onsets = {}
    for name, time in pairs:
        found[name] = (*found.get(name, ()), time)
    return {name: tuple(sorted(times)) for name, times in found.items()}
