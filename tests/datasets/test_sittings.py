"""Which recordings lie in a folder is told by names alone, for every layout, sorted as people sort."""

import pytest

from brainalign.core.errors import MissingFile, UnknownName, ValueProblem
from brainalign.datasets.bids import BidsRun, recording_files, root_of
from brainalign.datasets.sittings import list_bids_sittings, list_sittings, natural


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def told(sittings):
    return [(item.subject, item.run, item.sound, [path.name for path in item.files]) for item in sittings]


def test_ds004408(tmp_path):
    names = [
        f"sub-{s:03d}/eeg/sub-{s:03d}_task-listening_run-{r:02d}_eeg.{e}"
        for s in (1, 19)
        for r in (2, 10)
        for e in ("vhdr", "eeg")
    ]
    touch(tmp_path, "dataset_description.json", "task-listening_eeg.json", "participants.tsv", *names)
    found = list_sittings("ds004408", tmp_path)
    assert [(item.subject, item.run, item.sound) for item in found] == [
        ("001", "02", "audio02"),
        ("001", "10", "audio10"),
        ("019", "02", "audio02"),
        ("019", "10", "audio10"),
    ]
    assert [path.name for path in found[1].files] == [
        "sub-001_task-listening_run-10_eeg.eeg",
        "sub-001_task-listening_run-10_eeg.vhdr",
        "task-listening_eeg.json",
    ]
    assert [item.label for item in list_sittings("ds004408", tmp_path, subjects=["19"], runs=["2"])] == [
        "019-listening-02"
    ]


def test_alice_has_two_files_of_each_name(tmp_path):
    touch(
        tmp_path,
        "S01.mat",
        "S10.mat",
        "S2.mat",
        "proc/S01.mat",
        "AliceChapterOne-EEG.csv",
        ".brainalign/incoming/S03.mat",
    )
    assert told(list_sittings("alice", tmp_path)) == [
        ("S01", "", "", ["S01.mat", "S01.mat", "AliceChapterOne-EEG.csv"]),
        ("S2", "", "", ["S2.mat", "AliceChapterOne-EEG.csv"]),
        ("S10", "", "", ["S10.mat", "AliceChapterOne-EEG.csv"]),
    ]


def test_broderick_knows_the_sound_of_a_run(tmp_path):
    touch(tmp_path, "EEG/Subject2/Subject2_Run10.mat", "EEG/Subject2/Subject2_Run9.mat")
    assert [row[:3] for row in told(list_sittings("broderick2018-dryad", tmp_path))] == [
        ("2", "9", "audio09"),
        ("2", "10", "audio10"),
    ]


def test_cnd_reads_the_stimuli_too(tmp_path):
    touch(tmp_path, "dataCND/dataSub1.mat", "dataCND/dataSub12.mat", "dataCND/dataStim.mat")
    found = told(list_sittings("lalor-speech-cnd", tmp_path))
    assert found == [(s, "", "", [f"dataSub{s}.mat", "dataStim.mat"]) for s in ("1", "12")]


def test_cocoha_prefers_what_is_whole(tmp_path):
    touch(tmp_path, "EEG/S1.mat", "DATA_preproc/S1_data_preproc.mat", "DATA_preproc/S2_data_preproc.mat")
    assert [row[3] for row in told(list_sittings("fuglsang2017", tmp_path))] == [["S1.mat"], ["S2_data_preproc.mat"]]


def test_kul_and_hdf5(tmp_path):
    touch(tmp_path / "kul", "S1.mat", "S16.mat", "stimuli/a.wav")
    assert [row[0] for row in told(list_sittings("kul-aad", tmp_path / "kul"))] == ["1", "16"]
    touch(tmp_path / "parts", "YH.h5")
    assert [row[0] for row in told(list_sittings("weissbart2020", tmp_path / "parts"))] == ["YH"]


def test_bids_inherits_and_keeps_sessions_and_tasks_apart(tmp_path):
    touch(
        tmp_path,
        "dataset_description.json",
        "task-story_eeg.json",
        "task-rest_eeg.json",
        "sub-1/sub-1_channels.tsv",
        "sub-1/ses-a/eeg/sub-1_ses-a_task-story_eeg.edf",
        "sub-1/ses-b/eeg/sub-1_ses-b_task-story_eeg.edf",
        "sub-1/ses-b/eeg/sub-1_ses-b_space-CapTrak_electrodes.tsv",
        "sub-1/ses-b/eeg/sub-1_ses-b_task-rest_eeg.edf",
    )
    found = list_bids_sittings(tmp_path, sessions=["b"], task="story")
    assert [item.label for item in found] == ["1-b-story"]
    assert {path.name for path in found[0].files} == {
        "task-story_eeg.json",
        "sub-1_channels.tsv",
        "sub-1_ses-b_task-story_eeg.edf",
        "sub-1_ses-b_space-CapTrak_electrodes.tsv",
    }
    assert root_of(found[0].files[-1]) == tmp_path
    assert not any(path.is_dir() for path in recording_files(tmp_path, BidsRun("1", "b", "story")))
    with pytest.raises(UnknownName, match="known: a, b"):
        list_bids_sittings(tmp_path, sessions=["c"])
    with pytest.raises(UnknownName, match="known: rest, story"):
        list_bids_sittings(tmp_path, task="listening")


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingFile, match=r"does not exist[\s\S]*brainalign fetch"):
        list_sittings("alice", tmp_path / "nowhere")
    with pytest.raises(MissingFile, match="no recording in this folder"):
        list_sittings("alice", tmp_path)
    with pytest.raises(ValueProblem, match=r"no reader of its own[\s\S]*FIF"):
        list_sittings("nmed-t", tmp_path)
    touch(tmp_path, "S01.mat")
    with pytest.raises(UnknownName, match="known: S01"):
        list_sittings("alice", tmp_path, subjects=["2"])
    with pytest.raises(MissingFile, match="not the top of a BIDS dataset"):
        root_of(tmp_path / "S01.mat")


def test_people_sort_two_before_ten():
    assert sorted(["S10", "S2", "S1b"], key=natural) == ["S1b", "S2", "S10"]
