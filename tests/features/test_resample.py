"""Another clock for dense trajectories; sparse ones are told where to go."""

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import GridMismatch
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.features.resample import resample_trajectory

FRAMES = TimeAxis(50, 500, "399/32000")


def test_a_slow_wave_is_read_at_the_new_times():
    wave = np.sin(2 * np.pi * 3 * FRAMES.times)[:, None].astype(np.float32)
    target = TimeAxis(64, 600, "0.1")
    moved = resample_trajectory(Trajectory(wave, FRAMES, ["wave"]), target)
    assert moved.axis == target and moved.features == ("wave",) and moved.values.dtype == np.float32
    middle = slice(64, -64)
    np.testing.assert_allclose(moved.values[middle, 0], np.sin(2 * np.pi * 3 * target.times)[middle], atol=2e-3)
    assert moved.provenance.steps[-1].parameters["axis"] == target.to_json()


def test_the_same_axis_changes_nothing():
    for values in (np.ones((500, 1), dtype=np.float32), sparse.csr_array(np.eye(500, 1, dtype=np.float32))):
        trajectory = Trajectory(values, FRAMES, ["f"])
        assert resample_trajectory(trajectory, TimeAxis(50, 500, "399/32000")) is trajectory


def test_sparse_is_refused_with_the_way_out():
    trajectory = Trajectory(sparse.csr_array(np.eye(500, 2, dtype=np.float32)), FRAMES, ["a", "b"])
    with pytest.raises(
        GridMismatch, match=r"cannot be resampled and stay sparse[\s\S]*bring the EEG to the frame grid"
    ):
        resample_trajectory(trajectory, TimeAxis(64, 600, "0.1"))
