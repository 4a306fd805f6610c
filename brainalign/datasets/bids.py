"""How is a run of a BIDS dataset read? Through MNE-BIDS: recording, bad channels, sensors and events together."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath

import mne
import mne_bids
import numpy as np

from brainalign.core.errors import GridMismatch, MissingFile, MissingPackage, NotFinite, UnreadableFile, ValueProblem
from brainalign.core.montage import place_sensors
from brainalign.core.provenance import Provenance
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis, exact
from brainalign.core.volts import require_volts

DATATYPES = ("eeg", "ieeg")
ENDINGS = (".vhdr", ".edf", ".bdf", ".set", ".fif", ".mefd", ".nwb")
SUFFIXES = (*DATATYPES, "channels", "electrodes", "coordsystem", "events")
_ENTITIES = re.compile(r"(?P<key>sub|ses|task|run)-(?P<value>[a-zA-Z0-9]+)")


@dataclass(frozen=True, order=True)
class BidsRun:
    """One recording of a BIDS dataset, by its entities; those it does not have are empty."""

    subject: str
    session: str = ""
    task: str = ""
    run: str = ""
    datatype: str = "eeg"


def list_bids(root: str | Path) -> tuple[BidsRun, ...]:
    """List the recordings of a BIDS dataset that lie in its folder, sorted.

    Parameters
    ----------
    root
        The dataset's folder, where ``dataset_description.json`` lies. Derivatives are not listed.
    """
    found: set[BidsRun] = set()
    for path in _existing(Path(root)).glob("sub-*/**/*"):
        if path.parent.name in DATATYPES and path.name.lower().endswith(ENDINGS):
            told = {match["key"]: match["value"] for match in _ENTITIES.finditer(path.name)}
            subject, session, task, run = (told.get(key, "") for key in ("sub", "ses", "task", "run"))
            found.add(BidsRun(subject, session, task, run, path.parent.name))
    return tuple(sorted(found))


def recording_files(root: str | Path, run: BidsRun) -> tuple[Path, ...]:
    """Return all files that reading a recording depends on, sorted: samples, sidecars, and those it inherits.

    Parameters
    ----------
    root
        The dataset's folder.
    run
        From `list_bids`.
    """
    root = Path(root)
    own = {"sub": run.subject, "ses": run.session, "task": run.task, "run": run.run}
    folder = root / f"sub-{run.subject}"
    folders = [root, folder, *([folder / f"ses-{run.session}"] if run.session else [])]
    folders.append(folders[-1] / run.datatype)
    found = [path for place in folders for path in place.iterdir() if _belongs(path, own)]
    return tuple(sorted(found))


def root_of(file: str | Path) -> Path:
    """Return the top folder of the BIDS dataset that a file of a recording lies in.

    Parameters
    ----------
    file
        Any of `recording_files`.
    """
    above = Path(file).parents
    return _existing(next((place for place in above if (place / "dataset_description.json").exists()), above[0]))


def _belongs(path: Path, own: Mapping[str, str]) -> bool:
    """Tell whether a file is of a recording: BIDS inherits from files that name nothing else than it does."""
    suffix = path.name.partition(".")[0].rpartition("_")[2]
    told = {match["key"]: match["value"] for match in _ENTITIES.finditer(path.name)}
    return bool(path.suffix) and suffix in SUFFIXES and all(own[key] == value for key, value in told.items())


def read_bids(
    root: str | Path,
    *,
    subject: str,
    session: str = "",
    task: str = "",
    run: str = "",
    montage: str | Path | None = None,
    sound: str = "",
) -> Recording:
    """Read one recording of a BIDS dataset.

    Parameters
    ----------
    root
        The dataset's folder, where ``dataset_description.json`` lies.
    subject, session, task, run
        Which recording, as the dataset writes them (``"001"``). What is left out must not matter:
        if several recordings fit, the message lists them.
    montage
        Sensor positions for datasets without an ``electrodes.tsv``: the cap's name (``"biosemi128"``)
        or a file of positions.
    sound
        Mark that this sound began with the first sample, for datasets without events (ds004408).

    Returns
    -------
    Recording
        Bad channels and kinds as ``channels.tsv`` has them, positions as ``electrodes.tsv`` or
        `montage` has them, events as ``events.tsv`` has them (named by ``trial_type``, and by the
        sound's name without its ending where there is a ``stim_file``) or, where there is none, as
        the recording itself has them.
    """
    root = _existing(Path(root))
    chosen = _one(root, subject=subject, session=session, task=task, run=run)
    name = mne_bids.BIDSPath(
        root=root,
        subject=chosen.subject,
        session=chosen.session or None,
        task=chosen.task or None,
        run=chosen.run or None,
        datatype=chosen.datatype,
        suffix=chosen.datatype,
    )
    raw = _read(name)
    _require_sound(raw, name.basename)
    rate = _rate(raw, name)
    if montage is not None:
        place_sensors(raw, montage)
    told = {"sound": sound} if sound else {}
    told |= {"montage": Path(montage).name} if montage is not None else {}
    recording = Recording.from_mne(
        raw,
        subject=chosen.subject,
        session=chosen.session,
        run=chosen.run,
        provenance=Provenance().then("read_bids", file=name.basename, **told),
    )
    onsets = {**recording.onsets, **_sounds(name), **({sound: (Fraction(0),)} if sound else {})}
    return replace(recording, onsets=onsets, axis=TimeAxis(rate, recording.axis.n))


def _sounds(name: mne_bids.BIDSPath) -> dict[str, tuple[Fraction, ...]]:
    """Return the onsets of the sounds that the events name as their ``stim_file``."""
    path = name.copy().update(suffix="events", extension=".tsv").fpath
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    onsets: dict[str, tuple[Fraction, ...]] = {}
    for row in rows:
        file, onset = row.get("stim_file") or "n/a", row.get("onset") or "n/a"
        if "n/a" not in (file, onset):
            sound = PurePosixPath(file).stem
            onsets[sound] = (*onsets.get(sound, ()), Fraction(onset))
    return onsets


def _existing(root: Path) -> Path:
    if not (root / "dataset_description.json").exists():
        raise MissingFile(
            "this folder is not the top of a BIDS dataset",
            got=f"no dataset_description.json in {root.as_posix()}",
            fix="give the folder that holds dataset_description.json and the folders sub-...",
        )
    return root


def _one(root: Path, *, subject: str, session: str, task: str, run: str) -> BidsRun:
    """Find the only recording that fits what was asked."""
    asked = {"subject": subject.removeprefix("sub-"), "session": session.removeprefix("ses-"), "task": task}
    asked["run"] = run.removeprefix("run-")
    there = list_bids(root)
    fitting = [item for item in there if all(_fits(getattr(item, key), value) for key, value in asked.items())]
    if len(fitting) == 1:
        return fitting[0]
    wanted = ", ".join(f"{key} {value}" for key, value in asked.items() if value)
    some = "; ".join(_label(item) for item in (fitting or there)[:6]) or "no recording at all"
    if fitting:
        raise ValueProblem(
            "more than one recording fits",
            got=f"{len(fitting)} of {wanted}: {some}",
            fix="also say which run, task or session",
        )
    raise MissingFile("there is no such recording in this dataset", got=wanted, fix=f"there are: {some}")


def _fits(have: str, asked: str) -> bool:
    """Compare as text, and runs also as numbers: run 1 is run 01."""
    return not asked or have == asked or (have.isdigit() and asked.isdigit() and int(have) == int(asked))


def _label(item: BidsRun) -> str:
    parts = (("sub", item.subject), ("ses", item.session), ("task", item.task), ("run", item.run))
    return "_".join(f"{key}-{value}" for key, value in parts if value)


def _read(name: mne_bids.BIDSPath) -> mne.io.BaseRaw:
    try:
        return mne_bids.read_raw_bids(name, verbose="error").load_data(verbose="error")
    except ImportError as error:
        raise MissingPackage(
            f"reading {name.basename} needs another package",
            got=str(error).splitlines()[0],
            fix="pip install it into this environment",
        ) from error
    # Readers of damaged files fail in every way there is; all of them mean the same to the user.
    except Exception as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UnreadableFile(
            "this recording of a BIDS dataset cannot be read",
            got=f"{name.basename}: {type(error).__name__}: {reason}",
            fix="check it with the BIDS validator; brainalign fetch completes datasets that are not whole",
        ) from error


def _rate(raw: mne.io.BaseRaw, name: mne_bids.BIDSPath) -> Fraction:
    """Return the rate that the sidecar states, which must be the recording's.

    BrainVision's header keeps the time between samples in microseconds; where a writer cut that to
    a whole number, 512 Hz becomes 512.03 Hz, and sound and recording drift apart by 11 ms in three minutes.
    """
    own = float(raw.info["sfreq"])
    sidecar = name.copy().update(extension=".json").fpath
    told = json.loads(sidecar.read_text(encoding="utf-8-sig")) if sidecar.exists() else {}
    stated = told.get("SamplingFrequency")
    if not isinstance(stated, (int, float)) or stated <= 0:
        return exact(own)
    if abs(1e6 / own - 1e6 / stated) >= 1.0:
        raise GridMismatch(
            f"the sidecar of {name.basename} states another rate than the recording",
            got=f"{stated:g} Hz, and {own:.6g} Hz in the recording",
            fix="find out which is right (does the recording last as long as its sound?), and mend the other file",
        )
    return exact(stated)


def _require_sound(raw: mne.io.BaseRaw, name: str) -> None:
    values = raw.get_data()
    if not np.isfinite(values).all():
        holed = [raw.ch_names[i] for i in np.flatnonzero(~np.isfinite(values).all(axis=1))]
        raise NotFinite(
            f"{name} holds values that are not finite",
            got=f"{len(holed)} of {len(values)} channels: {', '.join(holed[:8])}",
            fix="cut the span with raw.crop, or set the gaps to 0 and mark those channels bad, and save the file again",
        )
    if "eeg" in raw.get_channel_types():
        require_volts(raw.get_data(picks="eeg"), rate=raw.info["sfreq"], name=name)
