"""Which recordings lie in a dataset's folder, and from which files is each read? Told by names, nothing is opened.

A sitting is what one call of a reader returns: a run, or all trials of a file that holds several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainalign.core.errors import MissingFile, UnknownName, ValueProblem
from brainalign.datasets.alice import WORDS
from brainalign.datasets.bids import BidsRun, list_bids, recording_files
from brainalign.datasets.choose import matching
from brainalign.datasets.manifest import find_dataset


@dataclass(frozen=True)
class Sitting:
    """One or more recordings that are read together.

    Parameters
    ----------
    subject, session, task, run
        As the dataset writes them; empty where its files do not say.
    sound
        The sound that it starts with, where the manifest knows; else empty.
    files
        All that is read for it.
    """

    subject: str
    session: str = ""
    task: str = ""
    run: str = ""
    sound: str = ""
    files: tuple[Path, ...] = ()

    @property
    def label(self) -> str:
        """A name that no other sitting of the dataset has."""
        return "-".join(part for part in (self.subject, self.session, self.task, self.run) if part)


def list_sittings(
    name: str, folder: str | Path, *, subjects: Sequence[str] = (), runs: Sequence[str] = ()
) -> tuple[Sitting, ...]:
    """List what lies in the folder of a dataset of the manifest, sorted by listener and run.

    Parameters
    ----------
    name
        The dataset, as ``brainalign datasets`` lists it.
    folder
        Where its files lie, as ``brainalign fetch`` laid them out.
    subjects, runs
        Which ones, as the dataset writes them or as numbers, ranges included (``["1-3", "7"]``); none given
        means all that are there. What is asked for and not there is refused.
    """
    dataset, folder = find_dataset(name), Path(folder)
    if dataset.format == "bids":
        return list_bids_sittings(folder, subjects=subjects, runs=runs, starts_with=dataset.starts_with)
    if dataset.format not in _LAYOUTS:
        raise ValueProblem(
            f"{name} has no reader of its own",
            got=f"format {dataset.format}",
            fix="read its files with brainalign.read_eeg or MNE and save them as FIF, one per listener",
        )
    there = tuple(_LAYOUTS[dataset.format](_existing(folder)))
    return _chosen(there, folder, subjects=subjects, runs=runs)


def list_bids_sittings(
    root: str | Path,
    *,
    subjects: Sequence[str] = (),
    sessions: Sequence[str] = (),
    task: str = "",
    runs: Sequence[str] = (),
    starts_with: str = "",
) -> tuple[Sitting, ...]:
    """List the recordings of any BIDS dataset, sorted by listener, session and run.

    Parameters
    ----------
    root
        The folder that holds ``dataset_description.json``.
    subjects, sessions, runs
        Which ones; none given means all.
    task
        Only recordings of this task; empty means all.
    starts_with
        The sound that each run starts with, ``{run}`` standing for the run's name; empty where events say.
    """
    root = Path(root)
    there = [item for item in list_bids(root) if task in ("", item.task)]
    if task and not there:
        known = ", ".join(sorted({item.task for item in list_bids(root)} - {""})) or "none"
        raise UnknownName("no recording of this dataset is of that task", got=repr(task), fix=f"known: {known}")
    sittings = tuple(_of_bids(root, item, starts_with) for item in there)
    kept = _chosen(sittings, root, subjects=subjects, runs=runs)
    if not sessions:
        return kept
    wanted = matching({item.session for item in kept} - {""}, sessions, kind="session")
    return tuple(item for item in kept if item.session in wanted)


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sort names as people do: run 2 before run 10.

    >>> sorted(["S10", "S2"], key=natural)
    ['S2', 'S10']
    """
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text))


def _of_bids(root: Path, item: BidsRun, starts_with: str) -> Sitting:
    sound = starts_with.format(run=item.run) if item.run else starts_with
    files = recording_files(root, item)
    return Sitting(item.subject, item.session, item.task, item.run, sound, files)


def _chosen(
    there: Iterable[Sitting], folder: Path, *, subjects: Sequence[str], runs: Sequence[str]
) -> tuple[Sitting, ...]:
    kept = sorted(
        there, key=lambda item: tuple(natural(part) for part in (item.subject, item.session, item.task, item.run))
    )
    if not kept:
        raise MissingFile(
            "there is no recording in this folder",
            got=folder.as_posix(),
            fix="give the folder that brainalign fetch filled, or fetch the recordings first",
        )
    for kind, asked in (("subject", subjects), ("run", runs)):
        if asked:
            wanted = matching({getattr(item, kind) for item in kept} - {""}, asked, kind=kind)
            kept = [item for item in kept if getattr(item, kind) in wanted]
    if not kept:
        raise MissingFile(
            "no listener has such a run", got=f"subjects {list(subjects)}, runs {list(runs)}", fix="choose others"
        )
    return tuple(kept)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise MissingFile(
            "the dataset's folder does not exist",
            got=folder.as_posix(),
            fix="fetch the dataset (brainalign fetch), or correct the path",
        )
    return folder


def _named(folder: Path, pattern: str) -> Iterator[tuple[Path, re.Match[str]]]:
    """Go through the files below a folder whose names fit; what fetch keeps for itself is passed over."""
    for path in sorted(folder.rglob("*")):
        match = re.fullmatch(pattern, path.name, flags=re.IGNORECASE)
        if match and path.is_file() and ".brainalign" not in path.parts:
            yield path, match


def _broderick(folder: Path) -> Iterator[Sitting]:
    for path, told in _named(folder, r"Subject(?P<subject>\d+)_Run(?P<run>\d+)\.mat"):
        sound = f"audio{int(told['run']):02d}"
        yield Sitting(told["subject"], run=told["run"], sound=sound, files=(path,))


def _cnd(folder: Path) -> Iterator[Sitting]:
    for path, told in _named(folder, r"dataSub(?P<subject>\w+)\.mat"):
        stimuli = path.with_name("dataStim.mat")
        yield Sitting(told["subject"], files=(path, *([stimuli] if stimuli.exists() else [])))


def _cocoha(folder: Path) -> Iterator[Sitting]:
    whole = {told["subject"]: path for path, told in _named(folder, r"S(?P<subject>\d+)\.mat")}
    parted = {told["subject"]: path for path, told in _named(folder, r"S(?P<subject>\d+)_data_preproc\.mat")}
    for subject, path in {**parted, **whole}.items():
        yield Sitting(subject, files=(path,))


def _fieldtrip(folder: Path) -> Iterator[Sitting]:
    for path, told in _named(folder, r"(?P<subject>S\d+)\.mat"):
        if path.parent.name == "proc":
            continue  # the epochs of its words, not the recording
        beside = (path.parent / "proc" / path.name, path.with_name(WORDS))
        yield Sitting(told["subject"], files=(path, *(item for item in beside if item.exists())))


def _hdf5(folder: Path) -> Iterator[Sitting]:
    for path, told in _named(folder, r"(?P<subject>[\w-]+)\.h5"):
        yield Sitting(told["subject"], files=(path,))


def _kul(folder: Path) -> Iterator[Sitting]:
    for path, told in _named(folder, r"S(?P<subject>\d+)\.mat"):
        yield Sitting(told["subject"], files=(path,))


_LAYOUTS: dict[str, Callable[[Path], Iterator[Sitting]]] = {
    "broderick-mat": _broderick,
    "cnd": _cnd,
    "cocoha": _cocoha,
    "fieldtrip": _fieldtrip,
    "hdf5-parts": _hdf5,
    "kul-mat": _kul,
}
