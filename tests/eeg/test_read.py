"""Files are read as they are, and what is wrong with a file is said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import pytest

from brainalign.core.errors import MissingFile, NotFinite, UnknownName, UnreadableFile, ValueProblem
from brainalign.eeg.read import read_eeg
from brainalign.eeg.simulate import simulate_listener


def _raw(scale: float = 1.0) -> mne.io.RawArray:
    raw = simulate_listener([], {"story": Fraction(3)}, seconds=12, seed=0, subject="01")
    return mne.io.RawArray(raw.get_data() * scale, raw.info, verbose="error").set_annotations(raw.annotations)


def _saved(raw: mne.io.BaseRaw, folder: Path, name: str = "sub-01_raw.fif") -> Path:
    raw.save(folder / name, fmt="double", verbose="error")
    return folder / name


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    raw = _raw()
    recording = read_eeg(_saved(raw, tmp_path), subject="01", session="a", run="2")
    np.testing.assert_array_equal(recording.values.T, raw.get_data())
    assert recording.onset("story") == 3
    assert recording.kinds == ("eeg",) * 64 + ("eog",)
    assert recording.label == "sub-01_ses-a_run-2"
    assert recording.provenance.steps[0].parameters == {"file": "sub-01_raw.fif"}
    assert np.isfinite(recording.positions[:64]).all()


def test_brainvision_from_a_text_header(tmp_path: Path) -> None:
    samples = (np.arange(2000).reshape(1000, 2) % 50).astype("<i2")
    (tmp_path / "a.eeg").write_bytes(samples.tobytes())
    (tmp_path / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=a.eeg\n"
        "[Marker Infos]\nMk1=Comment,story,251,1,0\n",
        encoding="utf-8",
    )
    (tmp_path / "a.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=a.eeg\n"
        "MarkerFile=a.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=4000\n"
        "[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\nCh1=Cz,,0.5,µV\nCh2=Oz,,0.5,µV\n",
        encoding="utf-8",
    )
    recording = read_eeg(tmp_path / "a.vhdr")
    np.testing.assert_allclose(recording.values, samples * 0.5e-6, atol=1e-15)
    assert recording.onsets["Comment/story"] == (Fraction(1),)
    (tmp_path / "a.eeg").unlink()
    with pytest.raises(UnreadableFile, match=r"a\.vhdr[\s\S]*beside it"):
        read_eeg(tmp_path / "a.vhdr")


def test_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    _saved(_raw(), tmp_path)
    with pytest.raises(MissingFile, match=r"no such EEG file[\s\S]*sub-01_raw\.fif"):
        read_eeg(tmp_path / "sub-01.fif")
    with pytest.raises(FileNotFoundError, match="check the folder"):
        read_eeg(tmp_path / "nowhere" / "x.bdf")


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "eeg.docx").write_bytes(b"x")
    with pytest.raises(UnreadableFile, match=r"not read as EEG[\s\S]*\.bdf"):
        read_eeg(tmp_path / "eeg.docx")


@pytest.mark.parametrize("name", ["a_raw.fif", "a.bdf", "a.edf", "a.vhdr", "a.set", "a.cnt", "a.gdf"])
@pytest.mark.parametrize("content", [b"", b"not an EEG file at all\n" * 40], ids=["empty", "text"])
def test_corrupt_files_are_called_so(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"cannot be read\n  got: a[\s\S]*fix: copy it again"):
        read_eeg(tmp_path / name)


def test_truncated_file(tmp_path: Path) -> None:
    path = _saved(_raw(), tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_eeg(path)


def test_gaps_are_refused_with_the_channels_names(tmp_path: Path) -> None:
    raw = _raw()
    raw._data[[3, 40], 256] = np.nan, np.inf
    names = f"{raw.ch_names[3]}, {raw.ch_names[40]}"
    with pytest.raises(NotFinite, match=rf"2 of 65 channels \({names}\), first at 2.000 s"):
        read_eeg(_saved(raw, tmp_path))


def test_microvolts_read_as_volts_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueProblem, match=r"does not seem to be in volts[\s\S]*x \* 1e-6"):
        read_eeg(_saved(_raw(scale=1e6), tmp_path))


def test_slow_drifts_of_unreferenced_electrodes_are_not_taken_for_microvolts(tmp_path: Path) -> None:
    raw = _raw()
    raw._data[:64] += np.linspace(0, 0.02, raw.n_times) + 0.03
    assert read_eeg(_saved(raw, tmp_path)).values.std() > 1e-3


def test_a_montage_places_sensors_that_the_file_does_not(tmp_path, rng):
    """BDF and EDF files never hold positions."""
    info = mne.create_info(["Fz", "Cz", "Pz"], 128.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((3, 512)), info, verbose="error")
    raw.save(tmp_path / "bare_raw.fif", verbose="error")
    bare = read_eeg(tmp_path / "bare_raw.fif")
    placed = read_eeg(tmp_path / "bare_raw.fif", montage="biosemi64")
    assert np.isnan(bare.positions).all()
    assert placed.positions[1, 2] > 0.08  # Cz is on top
    with pytest.raises(UnknownName, match="standard montage"):
        read_eeg(tmp_path / "bare_raw.fif", montage="biosemi46")
    with pytest.raises(ValueProblem, match="does not know all EEG channels"):
        read_eeg(tmp_path / "bare_raw.fif", montage="GSN-HydroCel-32")
