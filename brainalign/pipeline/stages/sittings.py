"""From a dataset's files to clean recordings, several runs per listener; and does what was heard fit the sounds?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainalign.core.artefact import Artefact
from brainalign.core.errors import BrainalignError
from brainalign.core.recording import Recording
from brainalign.core.stimulus import Stimulus
from brainalign.core.trajectory import Trajectory
from brainalign.pipeline.stage import Stage
from brainalign.pipeline.stages.listening import require_places

if TYPE_CHECKING:
    from brainalign.core.design import Design

KIND = "sitting"
END_TOLERANCE_S = 0.25


def prepare(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Read what one sitting recorded, clean each recording, and judge it; what was raw stays in its files."""
    from brainalign.api import clean
    from brainalign.eeg.quality import quality

    raws = _raws(settings, files)
    recordings, judged = [], []
    for number, raw in enumerate(raws):
        progress(number, len(raws), raw.label)
        require_places(raw)
        recordings.append(clean(raw, **settings["cleaning"].model_dump()))
        judged.append(asdict(quality(raw, recordings[-1])))
    return _pack(recordings, judged)


def _raws(settings: Mapping[str, Any], files: Sequence[Path]) -> list[Recording]:
    return [_renamed(raw, settings["events"]) for raw in _read(settings["reading"], files)]


def _read(reading: Mapping[str, Any], files: Sequence[Path]) -> tuple[Recording, ...]:
    from brainalign.datasets.bids import read_bids, root_of
    from brainalign.datasets.read import read_dataset

    which = {name: reading[name] for name in ("subject", "session", "task", "run")}
    if reading["format"] == "bids":
        return (read_bids(root_of(files[0]), **which, montage=reading["montage"] or None, sound=reading["sound"]),)
    return read_dataset(reading["dataset"], files[0].parent, subject=which["subject"], run=which["run"])


def _renamed(recording: Recording, events: Mapping[str, str]) -> Recording:
    onsets: dict[str, Any] = {}
    for event, times in recording.onsets.items():
        name = events.get(event, event)
        onsets[name] = tuple(sorted((*onsets.get(name, ()), *times)))
    return replace(recording, onsets=onsets)


def _pack(recordings: Sequence[Recording], judged: Sequence[Mapping[str, Any]]) -> Artefact:
    packed = [recording.pack() for recording in recordings]
    arrays = {f"{i}.{name}": values for i, item in enumerate(packed) for name, values in item.arrays.items()}
    return Artefact(KIND, {"recordings": [item.meta for item in packed], "quality": list(judged)}, arrays)


def recordings_of(artefacts: Iterable[Artefact]) -> list[Recording]:
    """Return one listener's clean recordings, of one sitting or many.

    Parameters
    ----------
    artefacts
        Made by the stages that clean.
    """
    found: list[Recording] = []
    for item in artefacts:
        if item.kind != KIND:
            found.append(Recording.unpack(item))
            continue
        for i, meta in enumerate(item.meta["recordings"]):
            arrays = {name.partition(".")[2]: item.arrays[name] for name in item.arrays if name.startswith(f"{i}.")}
            found.append(Recording.unpack(Artefact("recording", meta, arrays)))
    return found


def heard_design(features: Mapping[str, Trajectory], recordings: Sequence[Recording], settings: Any) -> Design:
    """Put features beside all recordings of one listener.

    Parameters
    ----------
    features
        Story -> features.
    recordings
        The listener's.
    settings
        ``lags``, ``trim``, and ``partial``: whether stories that this listener did not hear, and recordings without
        a story, are left out. Where they are not, they are refused.
    """
    from brainalign.align.build import align
    from brainalign.align.many import align_many

    window = {"lags": settings["lags"], "trim": settings["trim"]}
    if not settings["partial"] and len(recordings) == 1:
        return align(features, recordings[0], **window)
    kept = [item for item in recordings if item.onsets.keys() & features.keys()] if settings["partial"] else []
    names = {name for item in kept for name in item.onsets}
    own = {name: item for name, item in features.items() if not kept or name in names}
    return align_many(own, kept or recordings, **window)[0]


def hear(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Tell which stories one listener heard, in which recordings, and whether they fit into them."""
    from brainalign.align.checks import check_lengths

    lengths = {item.name: item.axis.duration for item in map(Stimulus.unpack, inputs["stimuli"])}
    recordings = recordings_of(inputs["recordings"])
    heard = {name for item in recordings for name in item.onsets}
    misfits = [
        {"recording": item.label, "story": found.stimulus, "what": found.what, "told": found.told}
        for item in recordings
        for found in check_lengths(item, lengths, tolerance=END_TOLERANCE_S)
        if not found.fits
    ]
    meta = {
        "subject": recordings[0].subject,
        "n_recordings": len(recordings),
        "missed": [name for name in lengths if name not in heard],
        "without_story": [item.label for item in recordings if not item.onsets.keys() & lengths.keys()],
        "misfits": misfits,
    }
    return Artefact("hearing", meta)


def check_sound(settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Any) -> Artefact:
    """Hold the onsets that recordings tell against the sound that one of their channels recorded."""
    raws = [Recording.unpack(inputs["recording"])] if "recording" in inputs else _raws(settings, files)
    stimuli = [Stimulus.unpack(item) for item in inputs["stimuli"]]
    rows: list[dict[str, Any]] = []
    unchecked = []
    for raw in raws:
        if settings["channel"] not in raw.channels:
            unchecked.append(f"{raw.label} (no channel {settings['channel']})")
            continue
        for number, stimulus in enumerate(stimuli):
            progress(number, len(stimuli), raw.label)
            rows += _held_against(raw, stimulus, settings["channel"])
    return Artefact("sound-check", {"rows": rows, "unchecked": unchecked})


def _held_against(raw: Recording, stimulus: Stimulus, channel: str) -> list[dict[str, Any]]:
    """Check every hearing of one sound; a channel in which it cannot be found is a finding like others."""
    from brainalign.align.checks import check_onsets

    rows: list[dict[str, Any]] = []
    for time in raw.onsets.get(stimulus.name, ()):
        once = replace(raw, onsets={stimulus.name: (time,)})
        place = {"recording": raw.label, "story": stimulus.name}
        try:
            findings, _ = check_onsets(once, [stimulus], channel=channel)
        except BrainalignError as error:
            told = f"not found in channel {channel} ({error.what}; {error.got})"
            rows.append({**place, "what": "sound", "seconds": None, "fits": False, "told": told})
            continue
        for found in findings:
            row = {"what": found.what, "seconds": found.seconds, "fits": found.fits, "told": found.told}
            rows.append({**place, **row})
    return rows


SOUND_CHECK = Stage("sound-check", 1, check_sound)
PREPARE = Stage("prepare", 1, prepare)
HEARING = Stage("hearing", 1, hear)
