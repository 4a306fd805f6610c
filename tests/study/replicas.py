"""Small replicas of whole datasets, in their own layouts: real speech, real sidecars, EEG that follows the speech."""

from pathlib import Path

import numpy as np
import scipy.io
import soxr

from tests.datasets.replicas import DATASET_DESCRIPTION, SIDECARS, WORDS, cell, write_brainvision
from tests.study import heads

MORE_S = 2


def write_ds004408(folder: Path, people: heads.Heads, *, subjects: tuple[str, ...], n_runs: int) -> None:
    """Write OpenNeuro ds004408: real sidecars, a run per sound, no events; the recording outlasts the sound."""
    for path in SIDECARS.rglob("*"):
        told = path.relative_to(SIDECARS).parts
        if (
            path.is_file()
            and path.name != "SOURCE.txt"
            and (len(told) == 1 or told[0] in [f"sub-{s}" for s in subjects])
        ):
            target = folder / path.relative_to(SIDECARS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    names, places = heads.cap("biosemi128")
    for number in range(1, n_runs + 1):
        sound = people.write_speech(folder / "stimuli" / f"audio{number:02d}.wav", number - 1)
        n = 512 * (people.seconds + MORE_S)
        course = people.response(sound, rate=512, n_samples=n)
        for i, subject in enumerate(subjects):
            stem = folder / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-listening_run-{number:02d}_eeg"
            write_brainvision(stem, heads.eeg(course, places, seed=100 * i + number), rate=512, names=names)


def write_alice(folder: Path, people: heads.Heads, *, subjects: tuple[str, ...], n_sounds: int = 12) -> None:
    """Write the Alice deposit: FieldTrip's struct, the words' epochs in proc/, the table of words, the sounds."""
    rate, pause = 500, 1.3
    onsets = [2.0 + i * (people.seconds + pause) for i in range(n_sounds)]
    n_samples = round((onsets[-1] + people.seconds + MORE_S) * rate)
    course, heard = np.zeros(n_samples), np.zeros(n_samples)
    for number, onset in enumerate(onsets, start=1):
        path = folder / "audio" / f"DownTheRabbitHoleFinal_SoundFile{number}.wav"
        sound = people.write_speech(path, number - 1)
        course += people.response(sound, rate=rate, n_samples=n_samples, onset=onset)
        first = round(onset * rate)
        heard[first : first + people.seconds * rate] = 1000 * soxr.resample(sound, heads.SOUND_HZ, rate)
    rows = [
        line for line in WORDS.read_text("utf-8-sig").splitlines()[1:] if float(line.split(",")[4]) < people.seconds
    ]
    header = WORDS.read_text("utf-8-sig").splitlines()[0]
    (folder / WORDS.name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    words = [(int(row.split(",")[2]), float(row.split(",")[3])) for row in rows]
    first = np.round([(onsets[segment - 1] + at) * rate for segment, at in words]) + 1
    trl = np.column_stack([first - 0.3 * rate, first + rate, np.full(len(first), -0.3 * rate)])
    channels = [str(i) for i in range(1, 62) if i != 29]
    names, places = heads.cap("easycap-M10", channels)
    (folder / "proc").mkdir()
    for i, subject in enumerate(subjects):
        values = heads.eeg(course, places, seed=i)
        eye = 50 * np.random.default_rng(i).standard_normal(n_samples)
        labels = np.array([*names, "VEOG", "AUD"], dtype=object)[:, None]
        units = np.array(["uV"] * len(labels), dtype=object)[:, None]
        raw = {
            "hdr": {"Fs": rate, "label": labels, "chanunit": units},
            "fsample": rate,
            "label": labels,
            "trial": cell([np.column_stack([values, eye, heard]).T]),
            "time": cell([np.arange(n_samples)[None] / rate]),
            "sampleinfo": np.array([[1, n_samples]]),
        }
        scipy.io.savemat(folder / f"{subject}.mat", {"raw": raw})
        scipy.io.savemat(folder / "proc" / f"{subject}.mat", {"proc": {"trl": trl}})


def write_own_bids(folder: Path, people: heads.Heads, *, subjects: tuple[str, ...], n_sounds: int) -> None:
    """Write a laboratory's own dataset: one recording per listener, sensors in electrodes.tsv, sounds in events.tsv."""
    rate, pause = 256, 1.7
    onsets = [1.5 + i * (people.seconds + pause) for i in range(n_sounds)]
    n_samples = round((onsets[-1] + people.seconds + MORE_S) * rate)
    course, lines = np.zeros(n_samples), []
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(DATASET_DESCRIPTION, encoding="utf-8")
    for number, onset in enumerate(onsets, start=1):
        name = f"chapter-{number:02d}.wav"
        sound = people.write_speech(folder / "stimuli" / name, number - 1)
        course += people.response(sound, rate=rate, n_samples=n_samples, onset=onset)
        lines.append(f"{onset}\t{people.seconds}\tlistening\tstimuli/{name}")
    names, places = heads.cap("biosemi32")
    sensors = "".join(f"{name}\t{x}\t{y}\t{z}\n" for name, (x, y, z) in zip(names, places, strict=True))
    kinds = "".join(f"{name}\tEEG\tuV\tgood\n" for name in names)
    for i, subject in enumerate(subjects):
        stem = folder / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-listening_eeg"
        write_brainvision(stem, heads.eeg(course, places, seed=i), rate=rate, names=names)
        beside = stem.parent / stem.name.removesuffix("eeg")
        stem.with_suffix(".json").write_text(f'{{"TaskName": "listening", "SamplingFrequency": {rate}}}')
        Path(f"{beside}channels.tsv").write_text(f"name\ttype\tunits\tstatus\n{kinds}")
        Path(f"{beside}events.tsv").write_text("\n".join(["onset\tduration\ttrial_type\tstim_file", *lines]) + "\n")
        space = stem.parent / f"sub-{subject}_space-CapTrak_"
        Path(f"{space}electrodes.tsv").write_text(f"name\tx\ty\tz\n{sensors}")
        Path(f"{space}coordsystem.json").write_text('{"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"}')
