"""A BIDS run comes with everything that its sidecars say; ds004408 is read in its real layout."""

from fractions import Fraction

import numpy as np
import pytest

from brainalign.core.errors import GridMismatch, MissingFile, MissingPackage, NotFinite, UnreadableFile, ValueProblem
from brainalign.datasets.bids import BidsRun, list_bids, read_bids
from brainalign.datasets.read import read_dataset
from tests.datasets import replicas

needs_sidecars = pytest.mark.skipif(not replicas.SIDECARS.exists(), reason="the dataset's own sidecars are not here")


@needs_sidecars
class TestDs004408:
    def test_a_run_between_its_real_sidecars(self, tmp_path):
        written = replicas.write_ds004408(tmp_path, subject="002", runs=("03", "07"))
        recording = read_bids(tmp_path, subject="002", run="07", montage="biosemi128", sound="audio07")
        np.testing.assert_allclose(recording.values, written["07"] * 1e-6, rtol=1e-6)
        assert recording.axis.rate == 512
        assert recording.channels == tuple(replicas.biosemi_names())
        assert set(recording.kinds) == {"eeg"}
        assert recording.onset("audio07") == 0
        assert recording.label == "sub-002_run-07"
        assert np.isfinite(recording.positions).all()
        assert recording.provenance.steps[0].parameters == {
            "file": "sub-002_task-listening_run-07_eeg",
            "montage": "biosemi128",
            "sound": "audio07",
        }

    def test_bad_channels_are_those_of_the_real_sidecar(self, tmp_path):
        """Runs of this dataset have bad channels in channels.tsv; they must all arrive."""
        bad = {}
        for path in replicas.SIDECARS.glob("sub-*/eeg/*_channels.tsv"):
            rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
            names = {row[0] for row in rows if row[5] == "bad"}
            if names:
                bad[path] = names
        path, names = sorted(bad.items())[0]
        subject, run = path.name[4:7], path.name.partition("run-")[2][:2]
        replicas.write_ds004408(tmp_path, subject=subject, runs=(run,))
        assert set(read_bids(tmp_path, subject=subject).bads) == names

    def test_by_its_name_everything_is_known(self, tmp_path):
        replicas.write_ds004408(tmp_path, runs=("01", "15"))
        (recording,) = read_dataset("ds004408", tmp_path, subject="001", run="15")
        assert recording.onset("audio15") == 0
        assert np.isfinite(recording.positions).all()
        assert recording.onsets.keys() == {"audio15", "New Segment/"} & recording.onsets.keys()
        with pytest.raises(ValueProblem, match=r"more than one recording fits[\s\S]*run-01; [\s\S]*which run"):
            read_dataset("ds004408", tmp_path, subject="001")

    def test_microvolts_without_their_unit_are_recognised(self, tmp_path):
        replicas.write_ds004408(tmp_path)
        header = next(tmp_path.rglob("*.vhdr"))
        header.write_text(header.read_text(encoding="utf-8").replace("µV", "V"), encoding="utf-8")
        with pytest.raises(ValueProblem, match=r"run-01_eeg does not seem to be in volts[\s\S]*microvolts"):
            read_bids(tmp_path, subject="001")


class TestSidecars:
    def test_sensors_kinds_bad_channels_and_events(self, tmp_path):
        values = replicas.write_bids(tmp_path)
        recording = read_bids(tmp_path, subject="01")
        np.testing.assert_allclose(recording.values, values * 1e-6, rtol=1e-6)
        assert recording.kinds == ("eeg",) * 4 + ("eog",)
        assert recording.bads == ("Pz",)
        assert recording.onset("chapter-01") == Fraction(1, 2)
        assert recording.onset("chapter-02") == Fraction(11, 4)
        assert recording.session == "a"
        np.testing.assert_allclose(recording.positions[1], [0, 0, 0.095], atol=1e-6)
        np.testing.assert_allclose(recording.positions[0], [0, 0.07, 0.06], atol=1e-6)
        assert np.isnan(recording.positions[4]).all()

    def test_another_montage_wins(self, tmp_path):
        replicas.write_bids(tmp_path)
        by_name = read_bids(tmp_path, subject="01", montage="standard_1005")
        assert by_name.positions[1, 2] > 0.1
        table = tmp_path / "sub-01/ses-a/eeg/sub-01_ses-a_space-CapTrak_electrodes.tsv"
        by_file = read_bids(tmp_path, subject="01", montage=table)
        np.testing.assert_allclose(by_file.positions[1], [0, 0, 0.095], atol=1e-6)

    def test_markers_count_where_there_is_no_table_of_events(self, tmp_path):
        replicas.write_bids(tmp_path)
        next(tmp_path.rglob("*_events.tsv")).unlink()
        assert read_bids(tmp_path, subject="01").onset("Stimulus/S  1") == Fraction(100, 250)

    def test_what_lies_there(self, tmp_path):
        replicas.write_bids(tmp_path)
        assert list_bids(tmp_path) == (BidsRun("01", "a", "story", "", "eeg"),)


class TestRates:
    def _interval(self, folder, text):
        header = next(folder.rglob("*.vhdr"))
        header.write_text(header.read_text(encoding="utf-8").replace("SamplingInterval=4000.0", text), encoding="utf-8")

    @pytest.mark.parametrize("interval", ["3999.5", "4000.9", "4000"])
    def test_intervals_cut_to_whole_microseconds_are_mended_by_the_sidecar(self, tmp_path, interval):
        replicas.write_bids(tmp_path)
        self._interval(tmp_path, f"SamplingInterval={interval}")
        recording = read_bids(tmp_path, subject="01")
        assert recording.axis.rate == 250
        assert recording.onset("chapter-02") == Fraction(11, 4)

    @pytest.mark.parametrize("interval", ["3906.25", "4010", "2000"])
    def test_rates_that_differ_are_told(self, tmp_path, interval):
        replicas.write_bids(tmp_path)
        self._interval(tmp_path, f"SamplingInterval={interval}")
        with pytest.raises(GridMismatch, match=r"states another rate[\s\S]*got: 250 Hz, and \d+"):
            read_bids(tmp_path, subject="01")


class TestMistakes:
    def test_a_folder_that_is_no_dataset(self, tmp_path):
        with pytest.raises(MissingFile, match=r"not the top of a BIDS dataset[\s\S]*dataset_description.json"):
            read_bids(tmp_path, subject="01")

    def test_a_recording_that_is_not_there(self, tmp_path):
        replicas.write_bids(tmp_path)
        with pytest.raises(MissingFile, match=r"got: subject 02\n  fix: there are: sub-01_ses-a_task-story"):
            read_bids(tmp_path, subject="02")
        with pytest.raises(MissingFile, match="got: subject 01, task music"):
            read_bids(tmp_path, subject="sub-01", task="music")

    def test_samples_that_are_missing(self, tmp_path):
        replicas.write_bids(tmp_path)
        next(tmp_path.rglob("*.eeg")).unlink()
        with pytest.raises(UnreadableFile, match=r"cannot be read\n  got: sub-01_ses-a_task-story_eeg: "):
            read_bids(tmp_path, subject="01")

    def test_channels_that_do_not_belong(self, tmp_path):
        replicas.write_bids(tmp_path)
        table = next(tmp_path.rglob("*_channels.tsv"))
        table.write_text(table.read_text().replace("Cz", "C4"))
        with pytest.raises(UnreadableFile, match=r"cannot be read[\s\S]*channel"):
            read_bids(tmp_path, subject="01")

    def test_a_package_that_is_needed(self, tmp_path, monkeypatch):
        replicas.write_bids(tmp_path)

        def lacking(*_, **__):
            raise ImportError("pymef is required to read MEF3 files")

        monkeypatch.setattr("brainalign.datasets.bids.mne_bids.read_raw_bids", lacking)
        with pytest.raises(MissingPackage, match=r"needs another package\n  got: pymef"):
            read_bids(tmp_path, subject="01")

    def test_gaps(self, tmp_path):
        values = replicas.write_bids(tmp_path)
        values[10, 2] = np.nan
        next(tmp_path.rglob("*.eeg")).write_bytes(values.astype("<f4").tobytes())
        with pytest.raises(NotFinite, match="1 of 5 channels: Pz"):
            read_bids(tmp_path, subject="01")
