"""Datasets are read by their names, and files that lack something say what."""

import numpy as np
import pytest
import scipy.io

from brainalign.core.errors import MissingPackage, ShapeMismatch, UnreadableFile, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.datasets.cnd import read_cnd, read_cnd_features
from brainalign.datasets.cocoha import read_cocoha
from brainalign.datasets.hdf5 import read_hdf5_parts
from brainalign.datasets.kul import read_kul
from brainalign.datasets.manifest import load_manifest
from brainalign.datasets.matfile import matrix, read_variable, texts
from brainalign.datasets.read import READERS, read_dataset
from brainalign.datasets.signals import Signals, kinds_of, to_recording
from tests.datasets import replicas


def _cnd(path, **changes):
    tree = {**replicas.cnd_tree(n_trials=2, padding=0), **changes}
    return replicas.write_mat73(path, {"eeg": {key: value for key, value in tree.items() if value is not None}})


class TestByName:
    def test_every_format_has_a_reader_or_says_so(self, tmp_path):
        for name, item in load_manifest().datasets.items():
            if item.format not in READERS:
                with pytest.raises(
                    ValueProblem, match=rf"{name} has no reader of its own\n  got: format {item.format}"
                ):
                    read_dataset(name, tmp_path, subject="1")

    def test_cnd_marks_repetitions_where_the_stimuli_lie_beside(self, tmp_path):
        folder = tmp_path / "LalorNatSpeech" / "dataCND"
        _cnd(folder / "dataSub2.mat")
        assert read_dataset("lalor-speech-cnd", tmp_path, subject="2")[1].onset("trial-2") == 0
        features = [replicas.cell([np.ones((256, 1)), np.ones((384, 1))])]
        stim = {"stimIdxs": np.array([[5, 5]]), "fs": 128, "names": replicas.cell(["Envelope"]), "data": features[0]}
        scipy.io.savemat(folder / "dataStim.mat", {"stim": stim})
        first, second = read_dataset("lalor-speech-cnd", tmp_path, subject="2")
        assert first.onset("stim-5") == second.onset("stim-5") == 0
        assert read_dataset("lalor-speech-cnd", tmp_path, subject="2", run="2")[0].run == "2"

    def test_two_files_of_one_name(self, tmp_path):
        for part in ("Natural Speech", "Cocktail Party"):
            replicas.write_broderick(tmp_path / part)
        with pytest.raises(ValueProblem, match=r"more than one file fits\n  got: 2 of Subject3_Run7.mat: Cocktail"):
            read_dataset("broderick2018-dryad", tmp_path, subject="3", run="7")
        assert read_dataset("broderick2018-dryad", tmp_path / "Natural Speech", subject="3")[0].run == "7"


class TestCndThatLacksSomething:
    def test_names(self, tmp_path):
        (first, _) = read_cnd(_cnd(tmp_path / "dataSub1.mat", chanlocs=None, extChan=None))
        assert first.channels[:2] == ("EEG001", "EEG002")
        assert np.isnan(first.positions).all()
        assert first.kinds == ("eeg",) * 8

    def test_positions(self, tmp_path):
        locs = [{"labels": name} for name in replicas.biosemi_names()[:8]]
        recording = read_cnd(_cnd(tmp_path / "dataSub1.mat", chanlocs=locs))[0]
        assert recording.channels[0] == "A1"
        assert np.isnan(recording.positions).all()

    def test_samples(self, tmp_path):
        empty = [np.zeros((0, 8)), replicas.microvolts(256, 8)]
        path = replicas.write_cnd(tmp_path / "dataSub1.mat", {**replicas.cnd_tree(), "data": empty, "extChan": []})
        with pytest.raises(ValueProblem, match=r"dataSub1.mat holds a recording without samples\n  got: run 1"):
            read_cnd(path)

    def test_channels_of_one_trial(self, tmp_path):
        odd = [replicas.microvolts(256, 8), replicas.microvolts(256, 7)]
        with pytest.raises(ShapeMismatch, match=r"trial 2 does not have the channels[\s\S]*\(256, 7\), and 8"):
            read_cnd(_cnd(tmp_path / "dataSub1.mat", data=odd))
        with pytest.raises(ShapeMismatch, match="differ in their channels"):
            read_cnd(_cnd(tmp_path / "dataSub2.mat", data=odd, chanlocs=None))

    def test_a_row_of_features(self, tmp_path):
        data = replicas.cell([np.ones((20, 1)), np.ones((30, 1))])
        stim = {"fs": 64, "names": replicas.cell(["Envelope"]), "data": data}
        scipy.io.savemat(tmp_path / "dataStim.mat", {"stim": stim})
        trials = read_cnd_features(tmp_path / "dataStim.mat")
        assert [trial["Envelope"].axis.n for trial in trials] == [20, 30]
        scipy.io.savemat(tmp_path / "dataStim.mat", {"stim": {**stim, "names": replicas.cell(["a", "b", "c"])}})
        with pytest.raises(ShapeMismatch, match="2 rows and 3 names"):
            read_cnd_features(tmp_path / "dataStim.mat")


def test_cocoha_with_names_of_too_few_trials(tmp_path):
    names = np.array(replicas.biosemi_names(64), dtype=object)[:, None]
    data = {
        "eeg": replicas.cell([replicas.microvolts(200, 64)] * 3),
        "fsample": {"eeg": 64},
        "dim": {"chan": {"eeg": replicas.cell([names] * 2)}},
    }
    scipy.io.savemat(tmp_path / "S1.mat", {"data": data})
    with pytest.raises(ShapeMismatch, match="2 lists of names and 3 trials"):
        read_cocoha(tmp_path / "S1.mat")


class TestKul:
    def test_trials_with_the_attended_sound(self, tmp_path):
        written = replicas.write_kul(tmp_path / "S4.mat")
        trials = read_dataset("kul-aad", tmp_path, subject="4")
        for trial, values in zip(trials, written, strict=True):
            np.testing.assert_allclose(trial.values, values * 1e-6, rtol=1e-12)
            assert trial.channels == tuple(replicas.biosemi_names(64))
            assert np.isfinite(trial.positions).all()
            assert trial.axis.rate == 128
        assert trials[0].onsets.keys() == {"part1_track1_dry", "ignored/part1_track2_dry"}
        assert trials[1].onsets.keys() == {"part2_track2_dry", "ignored/part2_track1_dry"}
        assert read_dataset("kul-aad", tmp_path, subject="S4", run="3")[0].run == "3"

    def test_an_ear_that_is_none(self, tmp_path):
        replicas.write_kul(tmp_path / "S4.mat", attended_ear="both")
        with pytest.raises(UnreadableFile, match=r"which of two sounds was attended\n  got: attended_ear 'both'"):
            read_kul(tmp_path / "S4.mat")

    def test_what_is_no_such_file(self, tmp_path):
        replicas.write_kul(tmp_path / "S4.mat", RawData={"x": 1})
        with pytest.raises(UnreadableFile, match=r"RawData of trial 1 of S4.mat lacks[\s\S]*no EegData; there is x"):
            read_kul(tmp_path / "S4.mat")


class TestMatlab:
    def test_the_only_variable_needs_no_name(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"anything": np.arange(6.0).reshape(2, 3)})
        np.testing.assert_array_equal(read_variable(tmp_path / "a.mat"), [[0, 1, 2], [3, 4, 5]])

    def test_vectors_are_one_channel_or_one_sample(self):
        assert matrix([1.0, 2.0, 3.0], n_channels=1, name="x").shape == (3, 1)
        assert matrix([1.0, 2.0, 3.0], n_channels=3, name="x").shape == (1, 3)
        with pytest.raises(ShapeMismatch, match=r"got: shape \(3, 1\), and 2 channel names"):
            matrix([1.0, 2.0, 3.0], n_channels=2, name="x")

    def test_one_text_is_a_list_of_one(self):
        assert texts("Fz") == ("Fz",)
        assert texts(np.array(["Fz ", "Cz"])) == ("Fz", "Cz")

    def test_a_struct_that_is_none(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"eeg": np.ones(3)})
        with pytest.raises(UnreadableFile, match=r"eeg of a.mat lacks[\s\S]*no data, fs; there is ndarray"):
            read_cnd(tmp_path / "a.mat")


def test_hdf5_without_its_package(tmp_path, monkeypatch):
    replicas.write_hdf5(tmp_path / "P00.h5", {"data/AUNP01": 2})
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingPackage, match=r"needs h5py[\s\S]*brainalign\[mat\]"):
        read_hdf5_parts(tmp_path / "P00.h5", rate=1000)


class TestSignals:
    def _made(self, values, *, montage=None, kinds=()):
        channels = tuple(f"A{i + 1}" for i in range(values.shape[1]))
        signals = Signals(values, 128, channels, kinds, "uV")
        return to_recording(
            signals, montage=montage, onsets={"a": (0.5,)}, subject="1", run="2", provenance=Provenance()
        )

    def test_triggers_are_not_scaled(self):
        values = np.hstack([replicas.microvolts(300, 2), np.full((300, 1), 255.0)])
        recording = self._made(values, kinds=("eeg", "eeg", "stim"), montage="biosemi128")
        np.testing.assert_array_equal(recording.values[:, 2], 255)
        np.testing.assert_allclose(recording.values[:, :2], values[:, :2] * 1e-6)

    def test_no_samples(self):
        with pytest.raises(ValueProblem, match=r"without samples\n  got: run 2: shape \(0, 2\)"):
            self._made(np.zeros((0, 2)))

    def test_names_tell_kinds(self):
        names = ("HEOG", "EOG1", "ECG", "EMGL", "TRIGGER", "Aux5", "GSR1", "Fp1", "E17", "EOGv")
        assert kinds_of(names) == ("eog", "eog", "ecg", "emg", "stim", "misc", "misc", "eeg", "eeg", "eog")
