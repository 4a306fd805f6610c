"""Small recordings in the layouts of the public datasets, so that readers meet what they will meet."""

from pathlib import Path

import h5py
import mne
import numpy as np
import scipy.io

DATA = Path(__file__).parents[2] / "../shared/data"
SIDECARS = DATA / "ds004408_bids_sidecars"
CND = DATA / "cnd_fixture_naplib"
WORDS = DATA / "alice_word_annotations" / "AliceChapterOne-EEG.csv"
DATASET_DESCRIPTION = '{"Name": "made up", "BIDSVersion": "1.7.0", "DatasetType": "raw"}'


def microvolts(n_samples: int, n_channels: int, *, seed: int = 0) -> np.ndarray:
    """Noise as large as EEG, with offsets as unreferenced amplifiers have them."""
    rng = np.random.default_rng(seed)
    return 10 * rng.standard_normal((n_samples, n_channels)) + 200 * rng.standard_normal(n_channels)


def write_brainvision(stem: Path, values: np.ndarray, *, rate: int, names: list[str], marks: list = ()) -> Path:
    """Write STEM.vhdr, STEM.vmrk and STEM.eeg in microvolts as 32 bit floats, as ds004408 keeps them."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".eeg").write_bytes(values.astype("<f4").tobytes())
    channels = "".join(f"Ch{i}={name},,1,µV\n" for i, name in enumerate(names, start=1))
    stem.with_suffix(".vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem.name}.eeg\nMarkerFile={stem.name}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels={len(names)}\nSamplingInterval={1e6 / rate!r}\n\n[Binary Infos]\n"
        f"BinaryFormat=IEEE_FLOAT_32\n\n[Channel Infos]\n{channels}",
        encoding="utf-8",
    )
    lines = [f"Mk{i}=Stimulus,{name},{sample + 1},1,0\n" for i, (sample, name) in enumerate(marks, start=2)]
    stem.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem.name}.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0\n" + "".join(lines),
        encoding="utf-8",
    )
    return stem.with_suffix(".vhdr")


def biosemi_names(n: int = 128) -> list[str]:
    return list(mne.channels.make_standard_montage(f"biosemi{n}").ch_names)


def write_ds004408(root: Path, *, subject: str = "001", runs: tuple[str, ...] = ("01",), seconds: int = 2) -> dict:
    """Write some runs beside the dataset's own sidecars; return what was written, in microvolts."""
    for path in SIDECARS.rglob("*"):
        if path.is_file() and path.name != "SOURCE.txt":
            target = root / path.relative_to(SIDECARS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    written = {}
    for number, run in enumerate(runs):
        values = microvolts(512 * seconds, 128, seed=number).astype("<f4")
        stem = root / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-listening_run-{run}_eeg"
        write_brainvision(stem, values, rate=512, names=biosemi_names())
        written[run] = values
    return written


def write_bids(root: Path, *, rate: int = 250, seconds: int = 4) -> np.ndarray:
    """Write a dataset with all that BIDS has: sensors, kinds, a bad channel, events."""
    names = ["Fz", "Cz", "Pz", "Oz", "VEOG"]
    folder = root / "sub-01" / "ses-a" / "eeg"
    values = microvolts(rate * seconds, 5)
    stem = folder / "sub-01_ses-a_task-story_eeg"
    write_brainvision(stem, values, rate=rate, names=names, marks=[(100, "S  1")])
    (root / "dataset_description.json").write_text(DATASET_DESCRIPTION, encoding="utf-8")
    (folder / "sub-01_ses-a_task-story_eeg.json").write_text(
        f'{{"TaskName": "story", "SamplingFrequency": {rate}, "PowerLineFrequency": 50, "EEGReference": "FCz", '
        '"SoftwareFilters": "n/a"}',
        encoding="utf-8",
    )
    kinds = ["EEG"] * 4 + ["VEOG"]
    rows = "".join(
        f"{name}\t{kind}\tuV\t{'bad' if name == 'Pz' else 'good'}\n" for name, kind in zip(names, kinds, strict=True)
    )
    stem.with_name("sub-01_ses-a_task-story_channels.tsv").write_text(f"name\ttype\tunits\tstatus\n{rows}")
    stem.with_name("sub-01_ses-a_task-story_events.tsv").write_text(
        "onset\tduration\ttrial_type\tvalue\n0.5\t2.0\tchapter-01\t1\n2.75\t1.0\tchapter-02\t2\n"
    )
    places = {"Fz": (0, 0.07, 0.06), "Cz": (0, 0, 0.095), "Pz": (0, -0.07, 0.06), "Oz": (0, -0.09, 0.0)}
    rows = "".join(f"{name}\t{x}\t{y}\t{z}\n" for name, (x, y, z) in places.items())
    (folder / "sub-01_ses-a_space-CapTrak_electrodes.tsv").write_text(f"name\tx\ty\tz\n{rows}VEOG\tn/a\tn/a\tn/a\n")
    (folder / "sub-01_ses-a_space-CapTrak_coordsystem.json").write_text(
        '{"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"}'
    )
    return values


def write_broderick(folder: Path, *, subject: int = 3, run: int = 7, n_channels: int = 128, seconds: int = 3) -> dict:
    """Write ``SubjectN/SubjectN_RunM.mat``."""
    variables = {
        "eegData": microvolts(128 * seconds, n_channels),
        "mastoids": microvolts(128 * seconds, 2, seed=1),
        "fs": 128,
    }
    target = folder / f"Subject{subject}"
    target.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(target / f"Subject{subject}_Run{run}.mat", variables)
    return variables


def cell(items: list) -> np.ndarray:
    """Make a row of MATLAB cells."""
    row = np.empty((1, len(items)), dtype=object)
    for i, item in enumerate(items):
        row[0, i] = item
    return row


def eeglab_chanlocs(names: list[str], montage: str) -> list[dict]:
    """Write a cap as EEGLAB does: x to the nose, y to the left, on a unit sphere."""
    places = mne.channels.make_standard_montage(montage).get_positions()["ch_pos"]
    units = {name: places[name] / np.linalg.norm(places[name]) for name in names}
    return [{"labels": name, "X": y, "Y": -x, "Z": z} for name, (x, y, z) in units.items()]


def cnd_tree(*, n_trials: int = 3, n_channels: int = 8, rate: int = 128, padding: int = 64) -> dict:
    """Make what a CND file of one listener holds, with trials of different lengths."""
    names = biosemi_names()[:n_channels]
    return {
        "dataType": "EEG",
        "deviceName": "BioSemi",
        "fs": rate,
        "paddingStartSample": padding,
        "data": [microvolts(rate * (2 + i), n_channels, seed=i) for i in range(n_trials)],
        "chanlocs": eeglab_chanlocs(names, "biosemi128"),
        "extChan": [
            {"description": "Mastoids", "data": [microvolts(rate * (2 + i), 2, seed=9 + i) for i in range(n_trials)]}
        ],
    }


def write_cnd(path: Path, tree: dict) -> Path:
    """Write a CND file as MATLAB's save does before v7.3."""
    fields = np.array([tuple(loc.values()) for loc in tree["chanlocs"]], dtype=object)
    locs = np.empty((1, len(fields)), dtype=[(key, object) for key in tree["chanlocs"][0]])
    for i, row in enumerate(fields):
        locs[0, i] = tuple(row)
    extra = [{**item, "data": cell(item["data"])} for item in tree["extChan"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"eeg": {**tree, "data": cell(tree["data"]), "chanlocs": locs, "extChan": cell(extra)}})
    return path


def write_mat73(path: Path, variables: dict) -> Path:
    """Write variables as MATLAB v7.3 does: HDF5, matrices turned round, cells and struct arrays by reference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _put73(file, file, name, value)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def _put73(file, group, name, value):
    if isinstance(value, dict):
        own = group.create_group(name)
        own.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, item in value.items():
            _put73(file, own, key, item)
    elif isinstance(value, list) and value and isinstance(value[0], dict) and name == "chanlocs":
        own = group.create_group(name)
        own.attrs["MATLAB_class"] = np.bytes_("struct")
        for key in value[0]:
            refs = [[_kept73(file, item[key])] for item in value]
            own.create_dataset(key, data=np.array(refs, dtype=object), dtype=h5py.ref_dtype)
    elif isinstance(value, list):
        refs = np.array([[_kept73(file, item)] for item in value], dtype=object)
        own = group.create_dataset(name, data=refs, dtype=h5py.ref_dtype)
        own.attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, str):
        own = group.create_dataset(name, data=np.array([[ord(c)] for c in value], dtype=np.uint16))
        own.attrs["MATLAB_class"] = np.bytes_("char")
    else:
        own = group.create_dataset(name, data=np.atleast_2d(np.asarray(value, dtype=float)).T)
        own.attrs["MATLAB_class"] = np.bytes_("double")


def _kept73(file, value):
    kept = file.require_group("#refs#")
    name = f"r{len(kept)}"
    _put73(file, kept, name, value)
    return kept[name].ref


def write_cocoha_trials(path: Path, *, n_trials: int = 2, seconds: int = 3) -> dict:
    """Write ``S1_data_preproc.mat``: trials at 64 Hz, 64 channels and 2 external ones, envelopes."""
    names = [*biosemi_names(64), "EXG1", "EXG2"]
    labels = np.array(names, dtype=object)[:, None]
    eeg = [microvolts(64 * seconds, 66, seed=i) for i in range(n_trials)]
    waves = [np.abs(microvolts(64 * seconds, 1, seed=5)) for _ in range(n_trials)]
    data = {
        "eeg": cell(eeg),
        "wavA": cell(waves),
        "wavB": cell([waves[0] * 2] + [np.zeros((0, 0))] * (n_trials - 1)),
        "fsample": {"eeg": 64, "wavA": 64, "wavB": 64},
        "dim": {"chan": {"eeg": cell([labels] * n_trials)}},
        "event": {"eeg": cell([{"sample": 1, "value": 1}] * n_trials)},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"data": data})
    return {"eeg": eeg, "wavA": waves}


def write_cocoha_continuous(path: Path, *, seconds: int = 4) -> np.ndarray:
    """Write ``S1.mat``: everything at 512 Hz, with events and external channels."""
    names = [*biosemi_names(64), *(f"EXG{i}" for i in range(1, 9)), "Status"]
    values = microvolts(512 * seconds, len(names))
    values[:, -1] = 0
    data = {
        "eeg": values,
        "fsample": {"eeg": 512},
        "dim": {"chan": {"eeg": np.array(names, dtype=object)[:, None]}},
        "event": {"eeg": {"sample": np.array([[129], [1025]]), "value": cell([134, 135]).T}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"data": data, "expinfo": {"note": "a table in the real file"}})
    return values


def write_kul(path: Path, *, n_trials: int = 3, **changes) -> list[np.ndarray]:
    """Write ``S1.mat``: trials of 64 channels at 128 Hz, two sounds each, attended left and right in turn."""
    written = [microvolts(128 * (2 + i), 64, seed=i) for i in range(n_trials)]
    trials = [
        {
            "RawData": {"EegData": values, "Channels": np.arange(1, 65)[:, None]},
            "FileHeader": {"SampleRate": 128},
            "TrialID": i + 1,
            "attended_ear": "LR"[i % 2],
            "stimuli": cell([f"part{i + 1}_track1_dry.wav", f"part{i + 1}_track2_dry.wav"]),
            "condition": "dry",
            **changes,
        }
        for i, values in enumerate(written)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"trials": cell(trials)})
    return written


def write_hdf5(path: Path, parts: dict[str, int], *, n_channels: int = 63, rate: int = 1000) -> dict[str, np.ndarray]:
    """Write parts of some seconds as channels x samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = {}
    with h5py.File(path, "w") as file:
        for i, (name, seconds) in enumerate(parts.items()):
            written[name] = microvolts(rate * seconds, n_channels, seed=i).T
            file[name] = written[name]
        file["note"] = "a text beside the parts"
    return written


def write_alice(path: Path, *, seconds: int = 4, **more) -> np.ndarray:
    """Write ``S01.mat``: FieldTrip's raw struct with 60 EEG channels, VEOG and a copy of the sound."""
    names = [str(i) for i in range(1, 62) if i != 29] + ["VEOG", "AUD"]
    values = microvolts(500 * seconds, len(names)).T
    labels = np.array(names, dtype=object)[:, None]
    raw = {
        "hdr": {"Fs": 500, "label": labels, "chanunit": np.array(["uV"] * len(names), dtype=object)[:, None]},
        "fsample": 500,
        "label": labels,
        "trial": cell([values]),
        "time": cell([np.arange(500 * seconds)[None] / 500]),
        "sampleinfo": np.array([[1, 500 * seconds]]),
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"raw": raw})
    return values
