"""Every format that MNE reads EEG from is read, in volts; units that are not volts are recognised or told."""

from fractions import Fraction

import mne
import numpy as np
import pytest
from mne.io._read_raw import _get_supported

from brainalign.core.errors import MissingFile, MissingPackage, UnknownName, UnreadableFile, ValueProblem
from brainalign.core.montage import head_sized, place_sensors
from brainalign.core.volts import UNITS, require_volts, usual_spread, volts_per
from brainalign.eeg.read import ELSEWHERE, ENDINGS, read_eeg
from tests.eeg import formats

# What MNE reads and is no recording of electrodes: light in the brain, eyes, and names that say nothing.
NOT_ELECTRODES = {".hdr", ".snirf", ".asc", ".txt", ".bin"}


def test_every_ending_that_mne_knows_is_read_or_left_out_for_a_reason():
    known = set(_get_supported())
    assert known - set(ENDINGS) - NOT_ELECTRODES - ELSEWHERE.keys() == {".cdt.dpa", ".cdt.cef", ".cef"} & known
    assert set(ENDINGS) - known == {".raw"}


@pytest.mark.parametrize("name", ["a.edf", "a.bdf"])
def test_edf_and_bdf(tmp_path, name):
    values = formats.write_edf(tmp_path / name)
    recording = read_eeg(tmp_path / name, montage="biosemi64")
    np.testing.assert_allclose(recording.values, values * 1e-6, atol=2e-8)
    assert recording.channels == formats.NAMES
    assert recording.axis.rate == 250
    assert recording.positions[1, 2] > 0.08


@pytest.mark.parametrize("apart", [True, False], ids=["fdt", "one file"])
def test_eeglab(tmp_path, apart):
    values = formats.write_eeglab(tmp_path / "a.set", apart=apart)
    recording = read_eeg(tmp_path / "a.set")
    np.testing.assert_allclose(recording.values, values * 1e-6, rtol=1e-6)
    assert recording.onset("chapter-01") == 1
    directions = recording.positions / np.linalg.norm(recording.positions, axis=1, keepdims=True)
    np.testing.assert_allclose(directions[1], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(directions[0], np.array([0, 0.7, 0.7]) / np.hypot(0.7, 0.7), atol=1e-6)


def test_egi_simple_binary(tmp_path):
    values = formats.write_egi(tmp_path / "a.raw")
    recording = read_eeg(tmp_path / "a.raw")
    eeg = [i for i, kind in enumerate(recording.kinds) if kind == "eeg"]
    np.testing.assert_allclose(recording.values[:, eeg], values * 1e-6, rtol=1e-6)
    assert recording.onset("DIN1") == 1
    assert recording.channels[:4] == ("E1", "E2", "E3", "E4")


def test_neuroscan(tmp_path):
    values = formats.write_cnt(tmp_path / "a.cnt")
    recording = read_eeg(tmp_path / "a.cnt")
    np.testing.assert_allclose(recording.values, values * 1e-6, rtol=1e-5, atol=1e-12)
    assert recording.channels == formats.NAMES
    assert recording.onset("7") == Fraction(1)


def test_compressed_fif(tmp_path, rng):
    info = mne.create_info(["Fz", "Cz"], 128.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((2, 512)), info, verbose="error")
    raw.save(tmp_path / "a_raw.fif.gz", fmt="double", verbose="error")
    np.testing.assert_array_equal(read_eeg(tmp_path / "a_raw.fif.gz").values.T, raw.get_data())


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.mat", "read_cnd"), ("a.h5", "read_hdf5_parts"), ("a.fdt", ".set file"), ("a.bdf.gz", "gunzip")],
)
def test_files_of_other_readers_are_sent_there(tmp_path, name, text):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnreadableFile, match=rf"not read as EEG[\s\S]*{text}"):
        read_eeg(tmp_path / name)


def test_packages_that_mne_lacks_are_told(tmp_path, monkeypatch):
    (tmp_path / "a.cdt").write_bytes(b"x")

    def lacking(*_, **__):
        raise ImportError("For curryreader to run, the following is needed: pip install curryreader")

    monkeypatch.setattr(mne.io, "read_raw", lacking)
    with pytest.raises(
        MissingPackage, match=r"MNE needs another package to read a.cdt[\s\S]*curryreader[\s\S]*pip install"
    ):
        read_eeg(tmp_path / "a.cdt")


class TestUnits:
    def _save(self, folder, rng, *, scale):
        info = mne.create_info(["Fz", "Cz", "VEOG", "Aux"], 128.0, ["eeg", "eeg", "eog", "misc"])
        raw = mne.io.RawArray(scale * rng.standard_normal((4, 512)), info, verbose="error")
        raw.save(folder / "a_raw.fif", fmt="double", verbose="error")
        return raw.get_data()

    @pytest.mark.parametrize(("units", "scale"), [("uV", 10.0), ("mV", 0.01), ("nV", 1e4), ("V", 1e-5)])
    def test_told_units(self, tmp_path, rng, units, scale):
        values = self._save(tmp_path, rng, scale=scale)
        recording = read_eeg(tmp_path / "a_raw.fif", units=units)
        np.testing.assert_allclose(recording.values.T[:3], values[:3] * volts_per(units), rtol=1e-12)
        np.testing.assert_array_equal(recording.values.T[3], values[3])
        assert ("units" in recording.provenance.steps[0].parameters) == (units != "V")

    @pytest.mark.parametrize(("scale", "text"), [(10.0, r"units='uV'"), (0.01, "in volts"), (1e-12, r"units='V'")])
    def test_units_that_cannot_be(self, tmp_path, rng, scale, text):
        self._save(tmp_path, rng, scale=scale)
        with pytest.raises(ValueProblem, match=rf"a_raw.fif [\s\S]*{text}"):
            read_eeg(tmp_path / "a_raw.fif")

    def test_unknown_units(self, tmp_path):
        with pytest.raises(UnknownName, match="unit of voltage"):
            read_eeg(tmp_path / "a_raw.fif", units="volts")

    @pytest.mark.parametrize("sign", ["uV", "µV", "μV"])
    def test_microvolts_have_three_spellings(self, sign):
        assert UNITS[sign] == 1e-6

    def test_every_sound_amplitude_passes_and_a_million_more_or_less_does_not(self, rng):
        noise = rng.standard_normal((32, 5120))
        for amplitude in (1e-7, 1e-6, 1e-5, 1e-4, 5e-4):
            require_volts(amplitude * noise, rate=512, name="x")
        for wrong in (1e-12, 1e-11, 1e-10, 1e-1, 1e0, 1e1, 1e2):
            with pytest.raises(ValueProblem, match="volts"):
                require_volts(wrong * noise, rate=512, name="x")

    def test_a_few_bad_channels_and_drifts_do_not_decide(self, rng):
        values = 1e-5 * rng.standard_normal((32, 5120))
        values[:8] *= 1e6
        values[8:] += np.linspace(0, 0.02, 5120)
        require_volts(values, rate=512, name="x")

    def test_flat_and_empty_are_no_question_of_units(self):
        require_volts(np.zeros((4, 1000)), rate=100, name="x")
        require_volts(np.zeros((0, 1000)), rate=100, name="x")
        assert usual_spread(np.ones((2, 30)), rate=100) == 0


class TestMontages:
    def _raw(self):
        return mne.io.RawArray(np.zeros((3, 10)), mne.create_info(["Fz", "Cz", "Pz"], 100.0, "eeg"), verbose="error")

    def _places(self, raw):
        return np.array([channel["loc"][:3] for channel in raw.info["chs"]])

    @pytest.mark.parametrize("name", ["standard_1020", "colin27_1020"])
    def test_either_name_of_a_renamed_cap(self, name):
        raw = self._raw()
        place_sensors(raw, name)
        assert self._places(raw)[1, 2] > 0.1

    @pytest.mark.parametrize("scale", [1.0, 1000.0, 0.0105])
    def test_an_electrodes_table_in_any_unit(self, tmp_path, scale):
        """Metres and millimetres are told by the head's size; a unit sphere is scaled to one."""
        rows = {"Fz": (0, 0.06, 0.07), "Cz": (0, 0, 0.095), "Pz": (0, -0.06, 0.07)}
        factor = scale if scale >= 1 else 1 / 0.095
        lines = [f"{name}\t{x * factor}\t{y * factor}\t{z * factor}" for name, (x, y, z) in rows.items()]
        table = tmp_path / "sub-01_electrodes.tsv"
        table.write_text("\ufeffname\tx\ty\tz\n" + "\n".join([*lines, "Ref\tn/a\tn/a\tn/a"]), encoding="utf-8")
        raw = self._raw()
        place_sensors(raw, table)
        np.testing.assert_allclose(self._places(raw)[1], [0, 0, 0.095], atol=4e-3)

    def test_a_file_that_mne_reads(self, tmp_path):
        path = tmp_path / "cap.elc"
        path.write_text(
            "UnitPosition\tmm\nNumberPositions=3\nPositions\n0 60 70\n0 0 95\n0 -60 70\nLabels\nFz\nCz\nPz\n",
            encoding="utf-8",
        )
        raw = self._raw()
        place_sensors(raw, path)
        assert np.isfinite(self._places(raw)).all()

    def test_files_that_are_none(self, tmp_path):
        with pytest.raises(MissingFile, match="no such file of sensor positions"):
            place_sensors(self._raw(), tmp_path / "cap.elc")
        (tmp_path / "cap.tsv").write_text("name\tx\n")
        with pytest.raises(UnreadableFile, match=r"sensor positions cannot be read\n  got: cap.tsv"):
            place_sensors(self._raw(), tmp_path / "cap.tsv")
        with pytest.raises(UnknownName, match="did you mean 'biosemi64'"):
            place_sensors(self._raw(), "biosemi66")

    def test_places_without_any_size(self):
        assert head_sized({"Cz": np.zeros(3)}) == {}
        assert head_sized({}) == {}
