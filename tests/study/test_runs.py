"""May a listener have several files, microvolts, sounds without annotations, and positions in a file of their own?"""

import shutil

import mne
import numpy as np
import pytest

from brainalign.core.design import Design
from brainalign.core.errors import BrainalignError, ConfigProblem
from brainalign.core.recording import Recording
from brainalign.eeg.clean import OcularRegression, clean, preset
from brainalign.pipeline.quality_page import _cleaning_marks, _listener, listener_rows
from brainalign.pipeline.schema import CleaningPart
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


@pytest.mark.parametrize("name", ["minimal", "trf-default"])
def test_a_preset_cleans_as_its_steps_do(tiny, exported, tmp_path, name):
    config = worlds.copied(exported, tmp_path / "study", cleaning={"preset": name})
    results = worlds.results_of(config, "quality[01]")
    raw = Recording.unpack(results.one("recording[01]"))
    steps = [step for step in preset(name) if "eog" in raw.kinds or not isinstance(step, OcularRegression)]
    made = Recording.unpack(results.one("clean[01]"))
    np.testing.assert_array_equal(made.values, clean(raw, steps).values)


@pytest.mark.parametrize(
    ("name", "passband", "mains"),
    [("minimal", None, None), ("trf-default", (1.0, 15.0), 50.0), ("broderick2018", (1.0, 8.0), None)],
)
def test_the_report_marks_what_a_preset_does(name, passband, mains):
    assert _cleaning_marks(CleaningPart(preset=name)) == {"passband": passband, "mains": mains}


def test_a_preset_that_leaves_volts_is_no_choice_of_a_study(exported):
    with pytest.raises(ConfigProblem, match=r"'audiosae' is not one of the choices"):
        worlds.load_study(exported, {"cleaning": {"preset": "audiosae"}})


def test_a_preset_and_settings_of_ones_own_are_refused(exported):
    with pytest.raises(ConfigProblem, match=r"either a preset or settings of your own, and not both \(low\)"):
        worlds.load_study(exported, {"cleaning": {"preset": "minimal", "low": 2.0}})


def test_listeners_whose_names_begin_alike_have_rows_of_their_own(tiny):
    labels = ["sub-a_b_run-1", "sub-a_c_run-1", "sub-a_b_ses-x_run-2"]
    assert [_listener(label) for label in labels] == ["sub-a_b", "sub-a_c", "sub-a_b"]
    (one, other) = tiny.results.quality
    mixed = [{**item, "label": label} for item, label in zip((one, other, one), labels, strict=True)]
    assert [(row["label"], row["runs"]) for row in listener_rows(mixed)] == [("sub-a_b", 2), ("sub-a_c", 1)]
