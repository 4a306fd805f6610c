"""MATLAB files of every family give the numbers that were written, in volts, on their clock, with their sensors."""

import builtins
import sys
from fractions import Fraction

import mne
import numpy as np
import pytest
import scipy.io

from brainalign.core.errors import (
    GridMismatch,
    MissingFile,
    MissingPackage,
    NotFinite,
    ShapeMismatch,
    UnreadableFile,
    ValueProblem,
)
from brainalign.datasets.broderick import read_broderick
from brainalign.datasets.cnd import read_cnd, read_cnd_features
from brainalign.datasets.cocoha import read_cocoha, read_cocoha_envelopes
from brainalign.datasets.fieldtrip import read_fieldtrip
from brainalign.datasets.read import read_dataset
from tests.datasets import replicas

CAP = mne.channels.make_standard_montage("biosemi128").get_positions()["ch_pos"]


def _directions(places):
    return np.asarray(places) / np.linalg.norm(places, axis=1, keepdims=True)


def _write(path, name, value):
    scipy.io.savemat(path, {name: value})
    return path


class TestBroderick:
    @pytest.fixture
    def written(self, tmp_path):
        return replicas.write_broderick(tmp_path / "Natural Speech" / "EEG")

    @pytest.fixture
    def path(self, tmp_path, written):
        return next(tmp_path.rglob("Subject3_Run7.mat"))

    def test_a_run(self, path, written):
        recording = read_broderick(path)
        np.testing.assert_allclose(recording.values[:, :128], written["eegData"] * 1e-6, rtol=1e-12)
        np.testing.assert_allclose(recording.values[:, 128:], written["mastoids"] * 1e-6, rtol=1e-12)
        assert recording.axis.rate == 128
        assert recording.channels == (*replicas.biosemi_names(), "M1", "M2")
        assert recording.kinds == ("eeg",) * 128 + ("misc",) * 2
        assert (recording.subject, recording.run, recording.onset("audio07")) == ("3", "7", 0)
        np.testing.assert_allclose(_directions(recording.positions[:128]), _directions(list(CAP.values())), atol=1e-9)

    def test_channels_by_samples_are_turned_round(self, path, written):
        scipy.io.savemat(path, {**written, "eegData": written["eegData"].T, "mastoids": written["mastoids"].T})
        np.testing.assert_allclose(read_broderick(path).values[:, :128], written["eegData"] * 1e-6, rtol=1e-12)

    @pytest.mark.parametrize(("mastoids", "n"), [("drop", 128), ("eeg", 130)])
    def test_mastoids(self, path, mastoids, n):
        recording = read_broderick(path, mastoids=mastoids, sound="reversed-07")
        assert recording.kinds == ("eeg",) * n
        assert recording.onset("reversed-07") == 0

    @pytest.mark.parametrize(("units", "text"), [("V", "does not seem to be in volts"), ("nV", "")])
    def test_units_are_checked(self, path, units, text):
        if text:
            with pytest.raises(ValueProblem, match=rf"Subject3_Run7.mat {text}"):
                read_broderick(path, units=units)
        else:
            assert np.abs(read_broderick(path, units=units).values).max() < 1e-6

    def test_volts_scaled_twice_are_recognised(self, path, written):
        scipy.io.savemat(path, {**written, "eegData": written["eegData"] * 1e-6})
        with pytest.raises(ValueProblem, match=r"far too small[\s\S]*units='V'"):
            read_broderick(path)

    def test_what_is_no_such_run(self, path, written):
        scipy.io.savemat(path, {**written, "eegData": np.zeros((300, 127))})
        with pytest.raises(ShapeMismatch, match=r"none of BioSemi's caps\n  got: shape \(300, 127\)"):
            read_broderick(path)
        scipy.io.savemat(path, {"fs": 128, "data": np.zeros(3)})
        with pytest.raises(UnreadableFile, match=r"got: variables data, fs\n  fix: it should be called eegData"):
            read_broderick(path)

    def test_by_the_datasets_name(self, tmp_path, path):
        (recording,) = read_dataset("broderick2018-dryad", tmp_path, subject="3", run="7")
        assert recording.onset("audio07") == 0
        with pytest.raises(MissingFile, match=r"no Subject4_Run1.mat below"):
            read_dataset("broderick2018-dryad", tmp_path, subject="4", run="1")


@pytest.mark.parametrize("kind", ["v7", "v7.3"])
class TestCnd:
    def _written(self, folder, kind, **more):
        tree = replicas.cnd_tree(**more)
        path = folder / "dataCND" / "dataSub4.mat"
        if kind == "v7":
            replicas.write_cnd(path, tree)
        else:
            replicas.write_mat73(path, {"eeg": tree})
        return path, tree

    def test_trials(self, tmp_path, kind):
        path, tree = self._written(tmp_path, kind)
        trials = read_cnd(path)
        assert [trial.axis.n for trial in trials] == [256, 384, 512]
        for number, trial in enumerate(trials):
            np.testing.assert_allclose(trial.values[:, :8], tree["data"][number] * 1e-6, rtol=1e-12)
            extra = tree["extChan"][0]["data"][number]
            np.testing.assert_allclose(trial.values[:, 8:], extra * 1e-6, rtol=1e-12)
            assert trial.channels == (*replicas.biosemi_names()[:8], "Mastoids 1", "Mastoids 2")
            assert trial.kinds == ("eeg",) * 8 + ("misc",) * 2
            assert trial.onset(f"trial-{number + 1}") == Fraction(1, 2)
            assert (trial.subject, trial.run) == ("4", str(number + 1))

    def test_sensors_are_turned_from_eeglabs_axes(self, tmp_path, kind):
        path, tree = self._written(tmp_path, kind)
        places = read_cnd(path)[0].positions[:8]
        expected = [CAP[name] for name in replicas.biosemi_names()[:8]]
        np.testing.assert_allclose(_directions(places), _directions(expected), atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(places, axis=1), 0.095)

    def test_one_trial_and_no_extras(self, tmp_path, kind):
        path, tree = self._written(tmp_path, kind, n_trials=1, padding=0)
        (trial,) = read_cnd(path)
        np.testing.assert_allclose(trial.values[:, :8], tree["data"][0] * 1e-6, rtol=1e-12)
        assert trial.onset("trial-1") == 0

    def test_a_cap_by_name(self, tmp_path, kind):
        path, _ = self._written(tmp_path, kind)
        placed = read_cnd(path, montage="biosemi128")[0]
        np.testing.assert_allclose(_directions(placed.positions[:8])[0], [0, 0, 1], atol=0.2)

    def test_what_is_no_eeg(self, tmp_path, kind):
        tree = {**replicas.cnd_tree(), "dataType": "fNIRS"}
        path = tmp_path / "dataSub1.mat"
        replicas.write_cnd(path, tree) if kind == "v7" else replicas.write_mat73(path, {"eeg": tree})
        with pytest.raises(ValueProblem, match=r"is no EEG\n  got: dataType fNIRS"):
            read_cnd(path)

    def test_damage(self, tmp_path, kind):
        path, _ = self._written(tmp_path, kind)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with pytest.raises(UnreadableFile, match=r"cannot be read\n  got: dataSub4.mat: "):
            read_cnd(path)


@pytest.mark.skipif(not replicas.CND.exists(), reason="the CND fixture is not here")
class TestRealCnd:
    def test_a_listener(self):
        trials = read_cnd(replicas.CND / "dataSub1.mat", stimuli=replicas.CND / "dataStim.mat")
        raw = scipy.io.loadmat(replicas.CND / "dataSub1.mat", simplify_cells=True)["eeg"]
        assert len(trials) == 20
        for number, trial in enumerate(trials):
            np.testing.assert_allclose(trial.values[:, :4], raw["data"][number] * 1e-6, rtol=1e-12)
            np.testing.assert_allclose(trial.values[:, 4:], raw["extChan"]["data"][number] * 1e-6, rtol=1e-12)
            assert trial.onset(f"stim-{number + 1}") == 0
        assert trials[0].channels == ("A1", "A2", "A3", "A4", "Mastoids 1", "Mastoids 2")
        assert trials[0].axis.rate == 128
        expected = _directions([CAP[name] for name in trials[0].channels[:4]])
        np.testing.assert_allclose(_directions(trials[0].positions[:4]), expected, atol=0.02)

    def test_its_numbers_are_microvolts(self):
        with pytest.raises(ValueProblem, match="does not seem to be in volts"):
            read_cnd(replicas.CND / "dataSub1.mat", units="V")

    def test_what_was_heard(self):
        trials = read_cnd_features(replicas.CND / "dataStim.mat")
        assert len(trials) == 20
        assert {name: features.n_features for name, features in trials[0].items()} == {
            "Speech Envelope Vectors": 1,
            "Word Onset Vectors": 1,
            "Spectrogram": 16,
            "Phonetic Features": 19,
        }
        raw = scipy.io.loadmat(replicas.CND / "dataStim.mat", simplify_cells=True)["stim"]["data"]
        np.testing.assert_allclose(trials[3]["Spectrogram"].values, raw[2][3], rtol=1e-6)
        assert trials[3]["Spectrogram"].axis.rate == 128

    def test_another_listeners_stimuli(self, tmp_path):
        path = replicas.write_cnd(tmp_path / "dataSub1.mat", replicas.cnd_tree())
        with pytest.raises(ShapeMismatch, match=r"does not belong[\s\S]*20 trials in dataStim.mat, and 3 recorded"):
            read_cnd(path, stimuli=replicas.CND / "dataStim.mat")


class TestCocoha:
    def test_trials(self, tmp_path):
        path = tmp_path / "DATA_preproc" / "S1_data_preproc.mat"
        written = replicas.write_cocoha_trials(path)
        trials = read_cocoha(path)
        assert [trial.run for trial in trials] == ["1", "2"]
        for trial, values in zip(trials, written["eeg"], strict=True):
            np.testing.assert_allclose(trial.values, values * 1e-6, rtol=1e-12)
            assert trial.kinds == ("eeg",) * 64 + ("misc",) * 2
            assert trial.axis.rate == 64
            assert trial.subject == "1"
        assert trials[1].onset("trial-2") == 0
        assert np.isfinite(trials[0].positions[:64]).all()

    def test_envelopes_repeat(self, tmp_path):
        path = tmp_path / "S1_data_preproc.mat"
        written = replicas.write_cocoha_trials(path)
        first, second = read_cocoha_envelopes(path)
        np.testing.assert_allclose(first["wavA"].values[:, 0], written["wavA"][0][:, 0], rtol=1e-6)
        np.testing.assert_array_equal(first["wavA"].values, second["wavA"].values)
        assert first.keys() == {"wavA", "wavB"}
        assert second.keys() == {"wavA"}  # nobody else talked

    def test_a_continuous_recording_with_its_events(self, tmp_path):
        path = tmp_path / "EEG" / "S12.mat"
        values = replicas.write_cocoha_continuous(path)
        (recording,) = read_cocoha(path, kinds={"EXG3": "eog"})
        np.testing.assert_allclose(recording.values[:, :72], values[:, :72] * 1e-6, rtol=1e-12)
        assert recording.onset("134") == Fraction(128, 512)
        assert recording.onset("135") == 2
        assert recording.kinds == ("eeg",) * 64 + ("misc",) * 2 + ("eog",) + ("misc",) * 5 + ("stim",)
        assert recording.subject == "12"

    def test_by_the_datasets_name(self, tmp_path):
        replicas.write_cocoha_trials(tmp_path / "DATA_preproc" / "S1_data_preproc.mat")
        assert len(read_dataset("fuglsang2017", tmp_path, subject="1")) == 2
        assert read_dataset("fuglsang2017", tmp_path, subject="S1", run="2")[0].run == "2"
        with pytest.raises(ValueProblem, match=r"no such run[\s\S]*there are: 1, 2"):
            read_dataset("fuglsang2017", tmp_path, subject="1", run="3")

    def test_what_is_no_such_file(self, tmp_path):
        path = _write(tmp_path / "S1.mat", "data", {"eeg": np.zeros((3, 2))})
        with pytest.raises(UnreadableFile, match=r"data of S1.mat lacks[\s\S]*no fsample, dim; there is eeg"):
            read_cocoha(path)

    def test_gaps(self, tmp_path):
        path = tmp_path / "S1.mat"
        data = {"eeg": np.full((600, 64), np.nan), "fsample": {"eeg": 512}}
        names = np.array(replicas.biosemi_names(64), dtype=object)[:, None]
        _write(path, "data", {**data, "dim": {"chan": {"eeg": names}}})
        with pytest.raises(NotFinite):
            read_cocoha(path)


class TestFieldTrip:
    def test_alice(self, tmp_path):
        values = replicas.write_alice(tmp_path / "S01.mat")
        (recording,) = read_fieldtrip(tmp_path / "S01.mat", montage="easycap-M10")
        np.testing.assert_allclose(recording.values.T, values * 1e-6, rtol=1e-12)
        assert recording.kinds == ("eeg",) * 60 + ("eog", "misc")
        assert recording.channels[27:30] == ("28", "30", "31")
        assert recording.axis.rate == 500
        assert recording.onset("trial-1") == 0
        assert np.isfinite(recording.positions[:60]).all()
        assert recording.subject == "S01"
        assert read_dataset("alice", tmp_path, subject="S01")[0].channels == recording.channels

    def test_units_must_be_told(self, tmp_path):
        replicas.write_alice(tmp_path / "S01.mat", hdr={"Fs": 500})
        with pytest.raises(ValueProblem, match=r"in which unit[\s\S]*units='uV'"):
            read_fieldtrip(tmp_path / "S01.mat")
        assert read_fieldtrip(tmp_path / "S01.mat", units="uV")

    @pytest.mark.parametrize("system", ["ctf", "ras", "unknown"])
    def test_sensors_of_the_file_in_their_own_axes(self, tmp_path, system):
        labels = np.array([str(i) for i in range(1, 62) if i != 29], dtype=object)[:, None]
        places = np.zeros((60, 3))
        places[:, 2] = 80.0
        places[0] = [80.0, 0.0, 0.0]  # x in front for CTF, x to the right for RAS; in millimetres
        replicas.write_alice(tmp_path / "S01.mat", elec={"label": labels, "elecpos": places, "coordsys": system})
        positions = read_fieldtrip(tmp_path / "S01.mat")[0].positions
        expected = {"ctf": [0, 0.08, 0], "ras": [0.08, 0, 0], "unknown": [np.nan] * 3}[system]
        np.testing.assert_allclose(positions[0], expected, atol=1e-9)

    def test_trials_with_a_prestimulus_span(self, tmp_path):
        trials = [replicas.microvolts(600, 62).T, replicas.microvolts(700, 62, seed=1).T]
        times = [np.arange(600)[None] / 500 - 0.2, np.arange(700)[None] / 500 + 0.1]
        path = tmp_path / "S01.mat"
        replicas.write_alice(path, trial=replicas.cell(trials), time=replicas.cell(times))
        first, second = read_fieldtrip(path)
        assert first.onset("trial-1") == Fraction(1, 5)
        assert second.onsets == {}
        assert (first.run, second.run) == ("1", "2")

    @pytest.mark.parametrize("times", [np.arange(2000)[None] / 499.9, np.arange(1999)[None] / 500])
    def test_times_that_the_rate_does_not_make(self, tmp_path, times):
        replicas.write_alice(tmp_path / "S01.mat", time=replicas.cell([times]))
        with pytest.raises(GridMismatch, match="not sampled at the rate"):
            read_fieldtrip(tmp_path / "S01.mat")


class TestPackages:
    @pytest.mark.parametrize("package", ["pymatreader"])
    def test_without_the_extra_the_remedy_is_told(self, tmp_path, monkeypatch, package):
        replicas.write_alice(tmp_path / "S01.mat")
        real = builtins.__import__

        def refuse(name, *rest):
            if name == package:
                raise ImportError(f"No module named {package!r}")
            return real(name, *rest)

        monkeypatch.delitem(sys.modules, package, raising=False)
        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(MissingPackage, match=r"needs pymatreader[\s\S]*pip install 'brainalign\[mat\]'"):
            read_fieldtrip(tmp_path / "S01.mat")

    def test_files_that_are_not_there(self, tmp_path):
        replicas.write_alice(tmp_path / "S01.mat")
        with pytest.raises(MissingFile, match=r"no such MATLAB file[\s\S]*beside it lie S01.mat"):
            read_fieldtrip(tmp_path / "S02.mat")
