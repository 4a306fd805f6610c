"""Is every mistake told in three parts, with code 2, and is what was done before it kept?"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from brainalign.cli import app
from brainalign.core.recording import Recording
from brainalign.pipeline.store import Store
from tests.pipeline.test_store import flip
from tests.pipeline.toys import bytes_of
from tests.study import worlds


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="brainalign")


def assert_told(found, *words):
    """Insist on a three-part error, code 2 and no traceback."""
    assert found.exit_code == 2, found.output
    assert "error: " in found.stderr
    assert "\n  got: " in found.stderr
    assert "\n  fix: " in found.stderr
    assert "Traceback" not in found.output
    told = found.stderr.partition("error: ")[2]
    for word in words:
        assert word in told, told


@dataclass
class Laboratory:
    """A folder of good files and a finished store, to spoil."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "study.yaml"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def change(self, **parts):
        values = yaml.safe_load(self.config.read_text())
        self.config.unlink()
        worlds.write_config(self.config, {**values, **parts})

    def spoil(self, subject, change):
        """Write a listener's recording again with something wrong in it."""
        path = self.folder / f"sub-{subject}_eeg.fif"
        raw = Recording.from_mne(_read(path)).to_mne()
        raw = change(raw) or raw
        path.unlink()
        raw.save(path, fmt="double", verbose="error")

    def run(self, *more):
        return call("run", self.config, "--jobs", 1, "--out", self.folder / "out", "--store", self.store, *more)


def _read(path):
    import mne

    return mne.io.read_raw_fif(path, preload=True, verbose="error")


@pytest.fixture
def laboratory(from_files, exported, tmp_path):
    folder = tmp_path / "laboratory"
    folder.mkdir()
    for path in exported.parent.iterdir():
        if path.is_file():
            (folder / path.name).symlink_to(path)
    worlds.twin(from_files.store, folder / "store")
    return Laboratory(folder)


@pytest.fixture
def config(tmp_path):
    """Write the tiny study's configuration with parts changed."""
    return lambda **parts: worlds.write_config(tmp_path / "study.yaml", {**worlds.tiny_values(), **parts})


def test_no_configuration_at_all(tmp_path):
    shutil.copy(worlds.TINY, tmp_path / "tiny.yaml")
    found = worlds.in_terminal("run", tmp_path / "tinny.yaml")
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("error: there is no configuration file\n  got: ")
    assert f"did you mean {tmp_path / 'tiny.yaml'}?" in found.stderr


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"tests": {"level": 0.05}}, ["tests", "did you mean 'test'?"]),
        ({"baselines": ["envelop"]}, ["baselines: there is no acoustic baseline", "'envelop'", "'envelope'?"]),
        ({"sae": {"kind": "train", "expandion": 4}}, ["sae.expandion", "did you mean 'expansion'?"]),
        ({"listeners": {"planting": {}}}, ["listeners", "kind"]),
        ({"listeners": {"kind": "simulated", "planting": {"microvolt": 3}}}, ["did you mean 'microvolts'?"]),
        ({"stimuli": {"kind": "films"}}, ["'films' is not one of the choices", "'synthetic', 'files'"]),
        ({"seed": "lucky"}, ["seed: got 'lucky' (text)", "a whole number"]),
        ({"seed": -1}, ["seed: got -1"]),
        ({"model": {"n_folds": 2.5}}, ["model.n_folds: got 2.5 (a number)"]),
        ({"model": {"lags": [0.4, -0.1]}}, ["model", "lags must end after they begin"]),
        ({"cleaning": {"low": 20}}, ["cleaning", "low must be below high"]),
        ({"test": {"n_permutations": 3}}, ["test.n_permutations: got 3"]),
        ({"model": {"n_folds": 5}}, ["model.n_folds is 5 with 4 stimuli", "give at most 4"]),
        ({"name": "../../etc"}, ["name: got '../../etc'"]),
        ({"stimuli": {"kind": "files", "files": ["a/x.wav", "b/x.wav", "y.wav"]}}, ["'x' names two sounds"]),
        (
            {"listeners": {"kind": "files", "recordings": [{"file": "1.fif", "subject": "01"}] * 2}},
            ["name the runs of a listener who has several recordings", "'01' is there twice"],
        ),
    ],
)
def test_a_configuration_that_cannot_be_meant(config, tmp_path, parts, told):
    assert_told(call("run", config(**parts), "--out", tmp_path / "out"), *told)
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_there(laboratory):
    good = yaml.safe_load(laboratory.config.read_text())
    laboratory.change(stimuli={"kind": "files", "files": [*good["stimuli"]["files"][:3], "story-99.wav"]})
    assert_told(laboratory.run(), "names a file that does not exist", "story-99.wav")
    recordings = [*good["listeners"]["recordings"], {"file": "sub-09_eeg.fif", "subject": "09"}]
    laboratory.change(stimuli=good["stimuli"], listeners={"kind": "files", "recordings": recordings})
    assert_told(laboratory.run(), "names a file that does not exist", "sub-09_eeg.fif")
    laboratory.change(listeners=good["listeners"], sae={"kind": "load", "path": "no-coder"})
    assert_told(laboratory.run(), "names a file that does not exist", "no-coder")
    assert not (laboratory.folder / "out").exists()


@pytest.mark.parametrize("kind", ["files", "simulated"])
def test_a_sound_file_with_nothing_in_it(laboratory, kind):
    sound = laboratory.folder / "story-02.wav"
    if kind == "simulated":  # decoys are made as long as the sounds, so their headers are read first
        laboratory.change(listeners={"kind": "simulated", "n_listeners": 2})
    sound.unlink()
    sound.write_bytes(b"")
    assert_told(laboratory.run(), "a sound file cannot be read", "story-02.wav")


def test_a_sound_file_without_samples(laboratory):
    sound = laboratory.folder / "story-02.wav"
    sound.unlink()
    soundfile.write(sound, np.zeros(0), 16_000)
    before = bytes_of(laboratory.store)
    assert_told(laboratory.run(), "a sound file is empty (in stimulus[story-02])", "story-02.wav: 0 samples")
    after = bytes_of(laboratory.store)
    assert {name: after[name] for name in before} == before


def with_gap(raw):
    raw._data[3, 1000:1010] = np.nan


def in_microvolts(raw):
    raw.apply_function(lambda x: 1e6 * x, picks="eeg")


def without_annotations(raw):
    raw.set_annotations(raw.annotations[:-1])


def with_other_names(raw):
    raw.annotations.rename({"story-02": "Story 2"})


def cut_short(raw):
    return raw.crop(0, 120, include_tmax=False)


def without_places(raw):
    raw.set_montage(None)


BAD_EEG = {
    "nan": (with_gap, "recording[02]", ["holds values that are not finite", "first at"]),
    "microvolts": (in_microvolts, "recording[02]", ["does not seem to be in volts", "probably in microvolts"]),
    "unmarked": (without_annotations, "design[02]", ["1 of 4 stimuli have no onset", "story-04"]),
    "renamed": (with_other_names, "design[02]", ["story-02", "Annotations: Story 2"]),
    "short": (cut_short, "design[02]", ["'story-04'"]),
    "unplaced": (without_places, "recording[02]", ["without a sensor position", "montage: "]),
}


@pytest.mark.parametrize("what", BAD_EEG)
def test_a_recording_that_cannot_be_used(laboratory, what):
    change, task, told = BAD_EEG[what]
    before = bytes_of(laboratory.store)
    laboratory.spoil("02", change)
    assert_told(laboratory.run("--verbose"), f"(in {task})", *told)
    after = bytes_of(laboratory.store)
    results = {name for name in before if not name.startswith("index/")}
    assert {name: after[name] for name in results} == {name: before[name] for name in results}
    assert not list(laboratory.store.glob(".*.tmp")) + list(laboratory.store.glob("*/.*.tmp"))


def test_eyes_that_are_asked_for_and_not_there(laboratory):
    laboratory.spoil("02", lambda raw: raw.pick("eeg"))
    laboratory.change(cleaning={"ocular": True})
    assert_told(laboratory.run(), "(in clean[0", "EOG")


def test_a_mended_recording_lets_the_study_go_on(laboratory, from_files, exported):
    laboratory.spoil("02", with_gap)
    assert laboratory.run().exit_code == 2
    (laboratory.folder / "sub-02_eeg.fif").unlink()
    (laboratory.folder / "sub-02_eeg.fif").symlink_to(exported.parent / "sub-02_eeg.fif")
    found = laboratory.run()
    assert found.exit_code == 0, found.stderr
    assert "done: 0 tasks made" in found.stderr
    assert (laboratory.folder / "out" / "report.html").read_bytes() == from_files.report.read_bytes()


def test_an_unwritable_store_is_told_before_any_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    found = call("run", worlds.TINY, "--out", tmp_path / "out", "--store", tmp_path / "file" / "store")
    assert_told(found, "the store cannot be written to", "--store")
    assert "tasks" not in found.stderr
    assert not (tmp_path / "out").exists()


def test_a_report_that_cannot_be_written_leaves_the_results(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    arguments = ("--store", tiny.study.store_folder, "--out", tmp_path / "file" / "out")
    assert_told(
        call("run", worlds.TINY, "--jobs", 1, *arguments), "a report cannot be written", "pick a writable folder"
    )


def test_a_damaged_result_is_named_set_aside_and_made_again(laboratory, from_files):
    before = bytes_of(laboratory.store)
    key = from_files.study.plan.key("clean[01]")
    damaged = Store(laboratory.store).path(key) / "values.npy"
    content = damaged.read_bytes()
    damaged.unlink()  # the file is shared with the study it came from
    damaged.write_bytes(content)
    flip(damaged, at=5000)
    assert "damaged  clean[01]" in call("status", laboratory.config, "--store", laboratory.store).stdout
    found = laboratory.run("--quiet")
    assert found.exit_code == 0, found.stderr
    assert found.stderr.startswith("warning: the result of clean[01] was damaged; it was moved to ")
    after = bytes_of(laboratory.store)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"damaged"}
    assert (laboratory.folder / "out" / "report.html").read_bytes() == from_files.report.read_bytes()


@pytest.mark.parametrize(
    ("parts", "task", "told"),
    [
        ({"encoder": {"source": "untrained-hubert", "layer": 9}}, "frames", ["9"]),
        ({"cleaning": {"high": 90.0}}, "clean", ["90"]),
        ({"model": {"trim": 15.0}}, "design", ["trim= must leave something of 'story-01'"]),
        ({"model": {"min_per_second": 60.0}}, "selection", ["no feature is active often enough"]),
        ({"model": {"n_folds": 3, "trim": 13.5}}, "surrogates", ["cannot bear"]),
    ],
)
def test_options_that_the_data_cannot_bear(laboratory, parts, task, told):
    laboratory.change(**parts)
    found = laboratory.run()
    assert_told(found, f"(in {task}", *told)
