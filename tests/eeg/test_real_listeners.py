"""Real brains follow the envelope that they heard, and not the same one moved: reading, cleaning, aligning, decoding.

Recordings of Fuglsang et al. (Zenodo 1199011; non-commercial licence, not part of this project): one stimulus of
50 s, heard ten times, so that stretches of it are held out with all their repeats.
"""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from brainalign.align.many import align_many
from brainalign.align.split import cut
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.eeg.clean import BandPass, Reference, clean
from brainalign.encoding.direction import backward
from brainalign.encoding.multivariate import fit_encoding

RATE = 64
CAP = mne.channels.make_standard_montage("biosemi64")


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    path = root.parent / "shared" / "data" / "eeg_dtu_single_talker"
    if not path.is_dir():
        pytest.skip("the recordings of Fuglsang et al. are not beside the project")
    return path


def _recordings(folder: Path, subject: str) -> tuple[list[Recording], np.ndarray]:
    runs = []
    places = np.array([CAP.get_positions()["ch_pos"][name] for name in CAP.ch_names])
    for run in range(10):
        with np.load(folder / f"DTU_{subject}_{run:03d}.npz") as file:
            values, envelope = file["eeg"], file["envelope"][:, 0]
        axis, kinds = TimeAxis(RATE, len(values)), ("eeg",) * 64
        # The files tell no unit; a filter and a ridge model do not care.
        told = {"onsets": {"story": (0,)}, "subject": subject, "run": str(run)}
        raw = Recording(values * 1e-6, axis, tuple(CAP.ch_names), kinds, places, **told)
        runs.append(clean(raw, [BandPass(0.5, 8.0), Reference()]))
    return runs, envelope


def _r(recordings: list[Recording], envelope: np.ndarray) -> float:
    story = Trajectory(envelope[:, None].astype(np.float32), TimeAxis(RATE, envelope.size), ("envelope",))
    design = align_many({"story": story}, recordings, lags=(0.0, 0.25))[0]
    return float(fit_encoding(backward(cut(design, seconds=10)), n_folds=5).score[0])


@pytest.mark.slow
def test_every_listener_follows_the_envelope_and_no_moved_one(folder: Path) -> None:
    aligned, moved = [], []
    for subject in ("S1", "S2", "S3", "S4", "S5", "S6"):
        recordings, envelope = _recordings(folder, subject)
        aligned.append(_r(recordings, envelope))
        moved.append(_r(recordings, np.roll(envelope, 20 * RATE)))
    assert min(aligned) > 0.05
    assert np.mean(aligned) == pytest.approx(0.16, abs=0.04)
    assert abs(np.mean(moved)) < 0.04
    assert np.mean(aligned) - np.mean(moved) > 0.1
