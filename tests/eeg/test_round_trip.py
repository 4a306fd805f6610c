"""A Recording goes to MNE and to the disk and comes back the same."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import mne
import numpy as np
import pytest

from brainalign.core.artefact import Artefact
from brainalign.core.errors import NotFinite, UnknownName, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis


def _recording(**changes: object) -> Recording:
    rng = np.random.default_rng(3)
    parts = {
        "values": rng.normal(scale=1e-5, size=(640, 4)),
        "axis": TimeAxis(128, 640),
        "channels": ("Fp1", "Cz", "Oz", "VEOG"),
        "kinds": ("eeg", "eeg", "eeg", "eog"),
        "positions": np.array([[-0.029, 0.09, 0.037], [0, 0, 0.135], [0, -0.095, 0.037], [np.nan] * 3]),
        "bads": ("Oz",),
        "onsets": {"story": (Fraction(1, 3), Fraction(7, 2)), "beep": (Fraction("2.000001"),)},
        "subject": "01",
    }
    return Recording(**{**parts, **changes})


def test_mne_and_back_keeps_values_places_bads_and_onsets() -> None:
    before = _recording()
    after = Recording.from_mne(before.to_mne(), subject="01")
    assert after.axis == before.axis
    assert after.values.tobytes() == np.ascontiguousarray(before.values).tobytes()
    assert (after.channels, after.kinds, after.bads) == (before.channels, before.kinds, before.bads)
    # MNE's channel positions are float64 but pass through its montage; a nanometre is nothing.
    np.testing.assert_allclose(after.positions, before.positions, atol=1e-9)
    assert after.onsets["beep"] == before.onsets["beep"]
    for one, other in zip(after.onsets["story"], before.onsets["story"], strict=True):
        assert abs(one - other) <= Fraction(1, 2 * 10**6)


def test_second_round_trip_changes_nothing() -> None:
    once = Recording.from_mne(_recording().to_mne(), subject="01")
    twice = Recording.from_mne(once.to_mne(), subject="01")
    assert twice.onsets == once.onsets
    np.testing.assert_array_equal(twice.positions, once.positions)


def test_float32_survives() -> None:
    before = _recording(values=np.random.default_rng(0).normal(scale=1e-5, size=(640, 4)).astype(np.float32))
    after = Recording.from_mne(before.to_mne())
    np.testing.assert_array_equal(after.values.astype(np.float32), before.values)


def test_artefact_and_back_is_the_same_bytes() -> None:
    before = _recording(onsets={"story": (Fraction(1, 3),)}, session="2", run="3")
    artefact = before.pack()
    after = Recording.unpack(Artefact(artefact.kind, artefact.meta, artefact.arrays))
    assert after.values.tobytes() == before.values.tobytes()
    assert after.onsets == before.onsets
    assert after.label == before.label == "sub-01_ses-2_run-3"
    assert (after.channels, after.kinds, after.bads, after.axis) == (
        before.channels,
        before.kinds,
        before.bads,
        before.axis,
    )
    assert after.provenance == before.provenance


@pytest.mark.parametrize("measured", [None, datetime(2020, 1, 1, tzinfo=UTC)], ids=["no date", "dated"])
def test_onsets_count_from_the_first_sample_of_a_cropped_file(measured: datetime | None) -> None:
    raw = _recording().to_mne()
    raw.set_meas_date(measured)
    raw.crop(tmin=0.25)
    after = Recording.from_mne(raw)
    assert raw.first_samp == 32
    assert after.onsets["story"][1] == Fraction("3.25")
    assert after.onsets["beep"][0] == Fraction("1.750001")


@pytest.mark.parametrize("measured", [None, datetime(2020, 1, 1, tzinfo=UTC)], ids=["no date", "dated"])
def test_onset_marks_the_same_sample_after_a_crop(measured: datetime | None) -> None:
    values = np.zeros((640, 4))
    values[256] = 1.0
    raw = _recording(values=values, onsets={"click": (Fraction(2),)}).to_mne()
    raw.set_meas_date(measured)
    after = Recording.from_mne(raw.crop(tmin=0.5, tmax=4.0))
    assert np.flatnonzero(after.values[:, 0]).tolist() == [after.axis.index(after.onset("click"))]


def test_clock_that_does_not_start_at_zero() -> None:
    before = _recording(axis=TimeAxis(128, 640, Fraction(10)), onsets={"story": (Fraction(12),)})
    after = Recording.from_mne(before.to_mne())
    assert after.onset("story") == 2


def test_recording_without_any_position() -> None:
    before = _recording(positions=np.full((4, 3), np.nan))
    after = Recording.from_mne(before.to_mne())
    assert np.isnan(after.positions).all()


def test_fif_file_and_back(tmp_path) -> None:
    before = _recording(onsets={"story": (Fraction(5, 2),)})
    path = tmp_path / "sub-01_raw.fif"
    before.to_mne().save(path, fmt="double", verbose="error")
    after = Recording.from_mne(mne.io.read_raw(path, preload=True, verbose="error"))
    np.testing.assert_array_equal(after.values, before.values)
    assert after.onset("story") == Fraction(5, 2)
    assert after.bads == ("Oz",)


def test_values_cannot_be_written_through_and_the_raw_is_a_copy() -> None:
    recording = _recording()
    with pytest.raises(ValueError, match="read-only"):
        recording.values[0, 0] = 1.0
    recording.to_mne().get_data()[:] = 0
    raw = recording.to_mne()
    raw._data[:] = 0
    assert recording.values.any()


def test_refusals_say_what_and_where() -> None:
    values = np.zeros((640, 4))
    values[5, 2] = np.nan
    with pytest.raises(NotFinite, match=r"1 of 2560, the first at \(5, 2\)"):
        _recording(values=values)
    with pytest.raises(UnknownName, match="bad channel"):
        _recording(bads=("Pz",))
    with pytest.raises(ValueProblem, match="exactly once"):
        _recording().onset("story")
    with pytest.raises(ValueProblem, match="Marked events: beep, story"):
        _recording().onset("music")
