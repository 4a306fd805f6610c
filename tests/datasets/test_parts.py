"""HDF5 parts, and the onsets of the Alice sounds from the epochs of their words."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.io

from brainalign.core.errors import GridMismatch, MissingFile, ShapeMismatch, UnknownName, UnreadableFile, ValueProblem
from brainalign.datasets.alice import alice_onsets, read_words
from brainalign.datasets.hdf5 import read_hdf5_parts
from brainalign.datasets.read import read_dataset
from tests.datasets import replicas

needs_words = pytest.mark.skipif(not replicas.WORDS.exists(), reason="the chapter's table of words is not here")


class TestHdf5:
    def test_weissbart(self, tmp_path):
        written = replicas.write_hdf5(tmp_path / "P03.h5", {"data/BROP01": 3, "data/AUNP01": 2})
        first, second = read_hdf5_parts(tmp_path / "P03.h5", rate=1000)
        np.testing.assert_allclose(first.values.T, written["data/AUNP01"] * 1e-6, rtol=1e-12)
        np.testing.assert_allclose(second.values.T, written["data/BROP01"] * 1e-6, rtol=1e-12)
        assert (first.subject, first.run, first.onset("AUNP01")) == ("P03", "AUNP01", 0)
        assert first.axis.rate == 1000
        assert first.channels[0] == "EEG001"
        assert len(first.channels) == 63
        assert np.isnan(first.positions).all()

    def test_etard(self, tmp_path):
        replicas.write_hdf5(tmp_path / "YH07.h5", {"clean/part_1": 2, "lb/part_1": 3}, n_channels=64)
        clean, babble = read_hdf5_parts(tmp_path / "YH07.h5", rate=1000)
        assert (clean.run, babble.run) == ("clean-part_1", "lb-part_1")
        assert clean.onset("part_1_story") == 0
        assert read_dataset("etard2019", tmp_path, subject="YH07", run="lb/part_1")[0].axis.n == 3000

    def test_names_and_places(self, tmp_path):
        replicas.write_hdf5(tmp_path / "P00.h5", {"data/AUNP01": 2}, n_channels=64)
        names = replicas.biosemi_names(64)
        (part,) = read_hdf5_parts(tmp_path / "P00.h5", rate=1000, channels=names, montage="biosemi64", parts=["AUNP01"])
        assert part.channels == tuple(names)
        assert np.isfinite(part.positions).all()
        with pytest.raises(ShapeMismatch, match=r"64 channels and 63 names"):
            read_hdf5_parts(tmp_path / "P00.h5", rate=1000, channels=names[:-1])

    def test_samples_by_channels_are_turned_round(self, tmp_path):
        import h5py

        values = replicas.microvolts(2000, 63)
        with h5py.File(tmp_path / "P00.h5", "w") as file:
            file["data/AUNP01"] = values
        np.testing.assert_allclose(read_hdf5_parts(tmp_path / "P00.h5", rate=1000)[0].values, values * 1e-6, rtol=1e-12)

    def test_mistakes(self, tmp_path):
        replicas.write_hdf5(tmp_path / "P00.h5", {"data/AUNP01": 2})
        with pytest.raises(UnknownName, match=r"no part of this file[\s\S]*data/AUNP01"):
            read_hdf5_parts(tmp_path / "P00.h5", rate=1000, parts=["AUNP02"])
        with pytest.raises(ValueProblem, match="P00.h5 does not seem to be in volts"):
            read_hdf5_parts(tmp_path / "P00.h5", rate=1000, units="V")
        with pytest.raises(MissingFile, match="no such HDF5 file"):
            read_hdf5_parts(tmp_path / "P01.h5", rate=1000)
        (tmp_path / "P02.h5").write_bytes(b"not HDF5")
        with pytest.raises(UnreadableFile, match=r"P02.h5: .*file signature"):
            read_hdf5_parts(tmp_path / "P02.h5", rate=1000)
        replicas.write_hdf5(tmp_path / "P03.h5", {})
        with pytest.raises(UnreadableFile, match="holds no part"):
            read_hdf5_parts(tmp_path / "P03.h5", rate=1000)


@needs_words
class TestAlice:
    """The real table of the chapter's 2129 words, and epochs of a listener who heard them at known times."""

    def _proc(self, folder, *, jitter=0, prestimulus=150, drop=0):
        words = read_words(replicas.WORDS)
        began = {segment: 3 + 70.25 * segment for segment in range(1, 13)}
        samples = np.array([round((began[row["Segment"]] + row["onset"]) * 500) for row in words])
        samples = samples + np.where(np.arange(len(samples)) == 5, jitter, 0)
        first = samples + 1 - prestimulus
        trl = np.stack([first, first + 650, np.full(len(first), -prestimulus), np.arange(len(first))], axis=1)
        scipy.io.savemat(folder / "S01.mat", {"proc": {"trl": trl[: len(trl) - drop], "tot_trials": len(trl)}})
        return folder / "S01.mat", began

    @pytest.mark.parametrize("prestimulus", [0, 150])
    def test_every_sounds_onset(self, tmp_path, prestimulus):
        path, began = self._proc(tmp_path, prestimulus=prestimulus)
        onsets = alice_onsets(path, replicas.WORDS)
        assert len(onsets) == 12
        for segment, time in began.items():
            (found,) = onsets[f"DownTheRabbitHoleFinal_SoundFile{segment}"]
            assert abs(found - Fraction(time)) <= Fraction(1, 500)

    def test_by_the_datasets_name_the_sounds_are_marked(self, tmp_path):
        replicas.write_alice(tmp_path / "S01.mat")
        (tmp_path / "proc").mkdir()
        self._proc(tmp_path / "proc")
        assert read_dataset("alice", tmp_path, subject="S01")[0].onsets.keys() == {"trial-1"}
        (tmp_path / "AliceChapterOne-EEG.csv").write_bytes(replicas.WORDS.read_bytes())
        (recording,) = read_dataset("alice", tmp_path, subject="S01")
        assert len(recording.onsets) == 13
        assert abs(recording.onset("DownTheRabbitHoleFinal_SoundFile4") - 284) <= Fraction(1, 500)

    def test_words_that_disagree_are_told(self, tmp_path):
        path, _ = self._proc(tmp_path, jitter=10)
        with pytest.raises(
            GridMismatch, match=r"words of sound 1 do not agree[\s\S]*S01.mat: up to (9|10|11)\.\d samples"
        ):
            alice_onsets(path, replicas.WORDS)

    def test_listeners_recorded_in_part(self, tmp_path):
        path, _ = self._proc(tmp_path, drop=100)
        with pytest.raises(ShapeMismatch, match="2029 epochs and 2129 words"):
            alice_onsets(path, replicas.WORDS)

    def test_the_table(self, tmp_path):
        words = read_words(replicas.WORDS)
        assert len(words) == 2129
        assert words[0] == {"Word": "Alice", "Segment": 1, "onset": 0.046, "offset": 0.608721}
        (tmp_path / "x.csv").write_text("Word,Segment\na,1\n")
        with pytest.raises(UnreadableFile, match="columns Word, Segment, onset, offset"):
            read_words(tmp_path / "x.csv")
        with pytest.raises(MissingFile, match="table of words"):
            read_words(tmp_path / "y.csv")
