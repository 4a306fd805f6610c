"""May a listener have several files, microvolts, sounds without annotations, and positions in a file of their own?"""

import shutil

import mne
import numpy as np
import pytest

from brainalign.core.design import Design
from brainalign.core.errors import BrainalignError, ConfigProblem
from brainalign.core.recording import Recording
from tests.study import worlds


def listeners(*entries):
    return {"kind": "files", "recordings": list(entries)}


def raw_of(tiny, subject):
    return Recording.unpack(tiny.results.one(f"recording[{subject}]"))


def test_two_files_of_one_listener_become_one_design(tiny, exported, tmp_path):
    folder = tmp_path / "study"
    entries = [{"file": f"part-{run}.fif", "subject": "01", "run": run} for run in ("a", "b")]
    config = worlds.copied(exported, folder, listeners=listeners(*entries))
    raw = raw_of(tiny, "01").to_mne()
    middle = float(raw_of(tiny, "01").onset("story-03")) - 1.0
    raw.copy().crop(0, middle).save(folder / "part-a.fif", fmt="double", verbose="error")
    raw.copy().crop(middle).save(folder / "part-b.fif", fmt="double", verbose="error")
    results = worlds.results_of(config, "design[01]", "quality[01-a]", "hearing[01]")
    design = Design.unpack(results.one("design[01]"))
    assert [trial.name for trial in design.trials] == [f"story-0{i}" for i in range(1, 5)]
    whole = tiny.results.designs[0]
    for one, other in zip(whole.trials, design.trials, strict=True):
        assert one.axis == other.axis
        same = [np.corrcoef(one.y[:, c], other.y[:, c])[0, 1] for c in range(one.y.shape[1])]
        assert np.median(same) > 0.97
    assert results.one("hearing[01]").meta["n_recordings"] == 2


def test_microvolts_are_read_as_microvolts(tiny, exported, tmp_path):
    folder = tmp_path / "study"
    config = worlds.copied(exported, folder, listeners=listeners({"file": "big.fif", "subject": "01", "units": "uV"}))
    recording = raw_of(tiny, "01")
    raw = recording.to_mne()
    raw.apply_function(lambda values: values * 1e6, picks=["eeg", "eog"], verbose="error")
    raw.save(folder / "big.fif", fmt="double", verbose="error")
    again = Recording.unpack(worlds.results_of(config, "recording[01]").one("recording[01]"))
    np.testing.assert_allclose(again.values, recording.values, rtol=1e-9, atol=1e-15)


def test_a_recording_that_starts_with_its_sound_needs_no_annotation(tiny, exported, tmp_path):
    folder = tmp_path / "study"
    entries = [
        {"file": f"run-{i}.fif", "subject": "01", "run": str(i), "starts_with": f"story-0{i}"} for i in range(1, 5)
    ]
    config = worlds.copied(exported, folder, listeners=listeners(*entries))
    recording = raw_of(tiny, "01")
    for i in range(1, 5):
        raw = recording.to_mne().crop(float(recording.onset(f"story-0{i}")), None)
        raw.crop(0, 31.0).set_annotations(None).save(folder / f"run-{i}.fif", fmt="double", verbose="error")
    results = worlds.results_of(config, "design[01]")
    design = Design.unpack(results.one("design[01]"))
    assert [trial.name for trial in design.trials] == [f"story-0{i}" for i in range(1, 5)]


def test_positions_may_come_from_a_file_and_count(tiny, exported, tmp_path):
    folder = tmp_path / "study"
    entry = {"file": "bare.fif", "subject": "01", "montage": "cap.elc"}
    config = worlds.copied(exported, folder, listeners=listeners(entry))
    recording = raw_of(tiny, "01")
    raw = recording.to_mne()
    raw.set_montage(None)
    raw.save(folder / "bare.fif", fmt="double", verbose="error")
    names = [name for name, kind in zip(recording.channels, recording.kinds, strict=True) if kind == "eeg"]
    places = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    rows = "\n".join(f"{name} : {' '.join(f'{1000 * x:.4f}' for x in places[name])}" for name in names)
    text = f"ReferenceLabel avg\nUnitPosition mm\nNumberPositions= {len(names)}\nPositions\n{rows}\nLabels\n"
    (folder / "cap.elc").write_text(text + "\t".join(names) + "\n", encoding="utf-8")
    before = worlds.load_study(config, {}).plan.keys["recording[01]"]
    again = Recording.unpack(worlds.results_of(config, "recording[01]").one("recording[01]"))
    assert np.isfinite(again.positions[: len(names)]).all()
    (folder / "cap.elc").write_text(text + "\t".join(names) + "\n\n", encoding="utf-8")
    assert worlds.load_study(config, {}).plan.keys["recording[01]"] != before


def test_one_sound_under_two_names_is_refused(tiny, exported, tmp_path):
    folder = tmp_path / "study"
    config = worlds.copied(exported, folder)
    shutil.copy(folder / "story-01.wav", folder / "story-02.wav")
    with pytest.raises(BrainalignError, match=r"one sound has two names[\s\S]*'story-01' and 'story-02'"):
        worlds.results_of(config, "design[01]")


@pytest.mark.parametrize("entry", [{"run": "a"}, {}])
def test_recordings_of_one_listener_need_names(exported, entry):
    twice = listeners(*[{"file": "sub-01_eeg.fif", "subject": "01", **entry}] * 2)
    with pytest.raises(ConfigProblem, match="name the runs of a listener"):
        worlds.load_study(exported, {"listeners": twice})
