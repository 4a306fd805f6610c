"""Were the recordings any good, and was everything heard? A section of the report, and a page of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.pipeline.outputs import Results
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.recipes.base import RecipeStudy
from brainalign.pipeline.schema import CleaningPart
from brainalign.pipeline.stage import Task
from brainalign.plots.quality import Spectrum, psd_before_after
from brainalign.report.blocks import png_bytes
from brainalign.report.page import Column, Note, Page, Picture, Section, Table, write_page

if TYPE_CHECKING:
    from brainalign.eeg.quality import Quality
    from brainalign.pipeline.store import Store
    from brainalign.pipeline.study import AnyStudy, Study

JUDGED = ("clean[", "quality[", "hearing[", "sound-check[")
PAGE = "quality.html"
_CHECKED = ("onset", "drift")
MICROVOLT = 1e-6
MAX_TOLD = 8


def recordings(results: Results) -> Section:
    """Show what cleaning did, recording by recording or listener by listener, and what does not fit the sounds."""
    found = results.quality
    figure = psd_before_after(*_spectra(found), **_cleaning_marks(results.study.config.cleaning))
    rows = listener_rows(found)
    columns = (
        Column("label", "Listener"),
        *((Column("runs", "Recordings", kind="integer"),) if len(rows) < len(found) else ()),
        Column("minutes", "Length", unit="min", kind="number", digits=1),
        Column("kept", "Usable", unit="%", kind="number", digits=1),
        Column("bad", "Interpolated channels"),
        Column("before", "Median rms before", unit="µV", kind="number", digits=1),
        Column("after", "Median rms after", unit="µV", kind="number", digits=1),
    )
    alt = "Power spectra before and after cleaning."
    caption = "Median sensor, before and after cleaning; the line is the median recording, the band the middle 80 %."
    return Section("The recordings", (Picture(figure, alt, caption), Table(rows, columns), *_misfits(results)))


def listener_rows(found: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return a row per listener, whatever the order of the recordings.

    Parameters
    ----------
    found
        What each recording was like.
    """
    listeners = dict.fromkeys(_listener(item["label"]) for item in found)
    return tuple(_row(label, [item for item in found if _listener(item["label"]) == label]) for label in listeners)


def require_recordings(study: AnyStudy) -> Study:
    """Return a study that keeps whole clean recordings, or say that this one does not.

    Parameters
    ----------
    study
        A study, or a recipe.
    """
    if isinstance(study, RecipeStudy):
        raise ValueProblem(
            "this study keeps no whole clean recordings",
            got=study.name,
            fix="judge them by a study of the usual kind: copy configs/own-eeg.yaml or configs/own-bids.yaml",
        )
    return study


def recordings_plan(study: Study) -> Plan:
    """Lay out a study's work as far as its recordings are read, cleaned and judged.

    Parameters
    ----------
    study
        A study of the usual kind.
    """
    wanted = [task.name for task in study.plan if task.name.startswith(JUDGED)]
    needed: dict[str, Task] = {}
    while wanted:
        task = study.plan[wanted.pop()]
        needed[task.name] = task
        wanted += [name for name in task.needs() if name not in needed]
    return Plan(study.name, [task for task in study.plan if task.name in needed])


def recordings_page(results: Results, *, show: int) -> Page:
    """Return a page that judges every recording, and draws some: those with the most bad channels and masked time.

    Parameters
    ----------
    results
        Of a study whose recordings are done.
    show
        How many are drawn.
    """
    from brainalign.eeg.quality import Quality
    from brainalign.plots.recording import recording_page

    found = [Quality.from_json(item) for item in results.quality]
    worst = sorted(found, key=lambda item: -len(item.bad_channels) / len(item.channels) - (1 - item.kept_share))
    rows = tuple(_judged(item) for item in found)
    columns = (
        Column("label", "Recording"),
        Column("minutes", "Length", unit="min", kind="number", digits=1),
        Column("kept", "Usable", unit="%", kind="number", digits=1),
        Column("n_bad", "Bad channels", kind="integer"),
        Column("bad", "Which"),
        Column("line", "Mains before", unit="dB", kind="number", digits=0),
        Column("line_after", "Mains after", unit="dB", kind="number", digits=0),
        Column("after", "Median rms after", unit="µV", kind="number", digits=1),
    )
    note = (
        "Mains: how far 50 or 60 Hz stands out of its neighbourhood. A dash: the recording does not "
        "reach it. Why channels are bad stands beside each recording's picture."
    )
    drawn = [
        Section(
            item.label,
            (Picture(png_bytes(recording_page(item)), f"Spectra, sensors and masked time of {item.label}."),),
        )
        for item in worst[:show]
    ]
    table = Section("All recordings", (Table(rows, columns, note=note), *_misfits(results)))
    left = len(found) - len(drawn)
    subtitle = f"{len(found)} recordings" + (f"; drawn below are the {len(drawn)} worst." if left else ".")
    return Page(f"{results.study.name}: the recordings", subtitle, (table, *drawn))


def write_quality(study: Study, store: Store, *, show: int) -> Path:
    """Write ``quality.html`` into the study's folder, and return its path.

    Parameters
    ----------
    study, store
        A study whose recordings are done, and where they are kept.
    show
        How many recordings are drawn.
    """
    path = study.out_folder / PAGE
    write_page(recordings_page(Results(study, store), show=show), path)
    return path


def _judged(item: Quality) -> dict[str, Any]:
    return {
        "label": item.label,
        "minutes": item.minutes,
        "kept": 100 * item.kept_share,
        "n_bad": len(item.bad_channels),
        "bad": _some(item.bad_channels) or "none",
        "line": item.line_decibels,
        "line_after": item.line_decibels_after,
        "after": float(np.median(item.rms_after)),
    }


def _listener(label: str) -> str:
    return re.split("_(?:ses|run)-", label)[0]


def _spectra(found: Sequence[Mapping[str, Any]]) -> list[Spectrum]:
    """Return spectra before and after, on the frequencies that all recordings have."""
    n = min(len(item["frequencies"]) for item in found)
    hertz = np.array(found[0]["frequencies"][:n])
    decibels = ([item[name][:n] for item in found] for name in ("psd_before", "psd_after"))
    return [Spectrum(hertz, 10 ** (np.array(values).T / 10) * MICROVOLT**2) for values in decibels]


def _cleaning_marks(cleaning: CleaningPart) -> dict[str, Any]:
    """Return what the figure marks: the pass band and the mains frequency that were asked for."""
    if cleaning.preset is None:
        return {"passband": (cleaning.low, cleaning.high), "mains": cleaning.line[0] if cleaning.line else None}
    from brainalign.eeg.clean import BandPass, LineNoise, preset

    steps = preset(cleaning.preset)
    band = next((step for step in steps if isinstance(step, BandPass)), None)
    hum = next((step for step in steps if isinstance(step, LineNoise)), None)
    whole = band is not None and band.low is not None and band.high is not None
    return {
        "passband": (band.low, band.high) if band is not None and whole else None,
        "mains": hum.frequencies[0] if hum is not None else None,
    }


def _row(label: str, own: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    minutes = np.array([item["minutes"] for item in own])
    return {
        "label": label,
        "runs": len(own),
        "minutes": float(minutes.sum()),
        "kept": 100 * float(np.average([item["kept_share"] for item in own], weights=minutes)),
        "bad": _bad_channels(own),
        "before": float(np.median([np.median(item["rms_before"]) for item in own])),
        "after": float(np.median([np.median(item["rms_after"]) for item in own])),
    }


def _bad_channels(own: Sequence[Mapping[str, Any]]) -> str:
    """Name the channels that were bad; of several recordings, in how many, the worst first."""
    counts = Counter(name for item in own for name in item["bad_channels"])
    if not counts:
        return "none"
    told = [name if len(own) == 1 else f"{name} ({n})" for name, n in counts.most_common(MAX_TOLD)]
    more = len(counts) - MAX_TOLD
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _misfits(results: Results) -> list[Note]:
    """Say who missed which stories, which recordings hold none, and which sounds do not fit into them."""
    told = []
    for item in results.hearing:
        if item["missed"]:
            told.append(f"Listener {item['subject']} did not hear {_some(item['missed'])}.")
        if item["without_story"]:
            told.append(f"No sound of this study was heard in {_some(item['without_story'])}: left out.")
        told += [f"{row['recording']}: {row['story']} was {row['told']}." for row in item["misfits"]]
    checks = [row for item in results.sound_checks for row in item["rows"]]
    told += [
        f"{row['recording']}: {row['what']} of {row['story']}: {row['told']}." for row in checks if not row["fits"]
    ]
    unchecked = [label for item in results.sound_checks for label in item["unchecked"]]
    told += [f"Not held against the sound that was recorded: {_some(unchecked)}."] if unchecked else []
    if told:
        return [Note("What does not fit, and was not moved until it did. " + " ".join(told))]
    if not results.hearing:
        return []
    return [
        Note("Every listener heard every sound, and every sound ends before its recording does." + _agreement(checks))
    ]


def _agreement(checks: Sequence[Mapping[str, Any]]) -> str:
    """Say how well told onsets agree with the recorded sound; nothing where none was recorded."""
    worst = {what: max((abs(row["seconds"]) for row in checks if row["what"] == what), default=0) for what in _CHECKED}
    if not checks:
        return ""
    return (
        f" The sound that was recorded agrees: onsets to {1e3 * worst['onset']:.2g} ms, and clocks drift apart by at "
        f"most {1e3 * worst['drift']:.2g} ms within a sound."
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_TOLD
    return ", ".join(names[:MAX_TOLD]) + (f" and {more} more" if more > 0 else "")
