"""How is a run of a known dataset read? By the reader of its family, with what the manifest knows of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from brainalign.core.errors import MissingFile, ValueProblem
from brainalign.core.recording import Recording
from brainalign.datasets.alice import WORDS, alice_onsets
from brainalign.datasets.bids import read_bids
from brainalign.datasets.broderick import read_broderick
from brainalign.datasets.cnd import read_cnd
from brainalign.datasets.cocoha import read_cocoha
from brainalign.datasets.fieldtrip import read_fieldtrip
from brainalign.datasets.hdf5 import read_hdf5_parts
from brainalign.datasets.kul import read_kul
from brainalign.datasets.manifest import Dataset, find_dataset

Reader = Callable[[Dataset, Path, str, str], tuple[Recording, ...]]


def read_dataset(name: str, folder: str | Path, *, subject: str, run: str = "") -> tuple[Recording, ...]:
    """Read a listener's recordings of a dataset of the manifest.

    Sensor positions, units and the sound that a run starts with are taken from the manifest.

    Parameters
    ----------
    name
        The dataset, as ``brainalign datasets`` lists it.
    folder
        Where its files lie, as ``brainalign fetch`` laid them out.
    subject
        Which listener, as the dataset's files write it.
    run
        Which run; needed where each run is a file of its own.

    Returns
    -------
    tuple of Recording
        One per trial or run.
    """
    dataset = find_dataset(name)
    if dataset.format not in READERS:
        raise ValueProblem(
            f"{name} has no reader of its own",
            got=f"format {dataset.format}",
            fix="read its files with brainalign.read_eeg or MNE; traps are told by brainalign datasets NAME",
        )
    return READERS[dataset.format](dataset, Path(folder), subject, run)


def _bids(dataset: Dataset, folder: Path, subject: str, run: str) -> tuple[Recording, ...]:
    sound = dataset.starts_with.format(run=run.removeprefix("run-").zfill(2)) if dataset.starts_with and run else ""
    return (read_bids(folder, subject=subject, run=run, montage=dataset.montage or None, sound=sound),)


def _broderick(dataset: Dataset, folder: Path, subject: str, run: str) -> tuple[Recording, ...]:
    path = _find(folder, f"Subject{subject}_Run{run or '*'}.mat")
    return (read_broderick(path, units=dataset.units),)


def _cnd(dataset: Dataset, folder: Path, subject: str, run: str) -> tuple[Recording, ...]:
    path = _find(folder, f"dataSub{subject}.mat")
    stimuli = path.with_name("dataStim.mat")
    trials = read_cnd(path, stimuli=stimuli if stimuli.exists() else None, units=dataset.units)
    return _runs(trials, run)


def _cocoha(dataset: Dataset, folder: Path, subject: str, run: str) -> tuple[Recording, ...]:
    path = _find(folder, f"S{subject.removeprefix('S')}.mat", f"S{subject.removeprefix('S')}_data_preproc.mat")
    return _runs(read_cocoha(path, montage=dataset.montage or None, units=dataset.units), run)


def _fieldtrip(dataset: Dataset, folder: Path, subject: str, run: str) -> tuple[Recording, ...]:
    # The Alice deposit has two files of each listener's name: the recording, and in proc/ the epochs of its words.
    beside = folder / f"{subject}.mat"
    path = beside if beside.exists() else _find(folder, f"{subject}.mat")
    trials = read_fieldtrip(path, montage=dataset.montage or None)
    proc, words = path.parent / "proc" / path.name, path.with_name(WORDS)
    if proc.exists() and words.exists() and len(trials) == 1:
        sounds = alice_onsets(proc, words, rate=trials[0].axis.rate)
        trials = (replace(trials[0], onsets={**trials[0].onsets, **sounds}),)
    return _runs(trials, run)


def _hdf5(dataset: Dataset, folder: Path, subject: str, run: str) -> tuple[Recording, ...]:
    path, rate = _find(folder, f"{subject}.h5"), dataset.rate or 1000
    return read_hdf5_parts(path, rate=rate, parts=[run] if run else [], units=dataset.units)


def _kul(dataset: Dataset, folder: Path, subject: str, run: str) -> tuple[Recording, ...]:
    path = _find(folder, f"S{subject.removeprefix('S')}.mat")
    return _runs(read_kul(path, montage=dataset.montage or "biosemi64", units=dataset.units), run)


READERS: dict[str, Reader] = {
    "bids": _bids,
    "broderick-mat": _broderick,
    "cnd": _cnd,
    "cocoha": _cocoha,
    "fieldtrip": _fieldtrip,
    "hdf5-parts": _hdf5,
    "kul-mat": _kul,
}


def _runs(trials: tuple[Recording, ...], run: str) -> tuple[Recording, ...]:
    if not run:
        return trials
    kept = tuple(trial for trial in trials if trial.run == run)
    if not kept:
        known = ", ".join(trial.run or "(unnamed)" for trial in trials)
        raise ValueProblem("there is no such run in this file", got=repr(run), fix=f"there are: {known}")
    return kept


def _find(folder: Path, *patterns: str) -> Path:
    """Find the only file of a name anywhere below a folder; of several patterns the first that fits counts."""
    for pattern in patterns:
        found = sorted(path for path in folder.rglob(pattern) if ".brainalign" not in path.parts)
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(path.relative_to(folder).as_posix() for path in found[:4])
            raise ValueProblem(
                "more than one file fits",
                got=f"{len(found)} of {pattern}: {some}",
                fix="say which run, or give a deeper folder",
            )
    raise MissingFile(
        "this listener's file is not there",
        got=f"no {' or '.join(patterns)} below {folder.as_posix()}",
        fix="fetch it first (brainalign fetch), or give the folder that it lies in",
    )
