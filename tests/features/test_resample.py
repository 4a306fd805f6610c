"""Another clock for dense trajectories; sparse ones are told where to go."""

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import GridMismatch, UnknownName, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.features.resample import UPSAMPLERS, resample_trajectory, upsample_trajectory

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


SPIKES = sparse.csr_array(sparse.random_array((500, 3), density=0.05, rng=np.random.default_rng(3), dtype=np.float32))


def upsampled(values, method, rate=128):
    return upsample_trajectory(
        Trajectory(values, FRAMES, [f"f{i}" for i in range(values.shape[1])]), rate, method=method
    )


@pytest.mark.parametrize("method", UPSAMPLERS)
def test_all_ways_end_on_one_clock_from_the_first_frame_to_the_last(method):
    moved = upsampled(SPIKES, method)
    assert moved.axis == TimeAxis(128, 499 * 128 // 50 + 1, FRAMES.t0)
    assert (
        moved.axis.time(moved.axis.n - 1)
        <= FRAMES.time(FRAMES.n - 1)
        < moved.axis.time(moved.axis.n - 1) + moved.axis.step
    )
    assert moved.values.shape == (moved.axis.n, 3) and moved.values.dtype == np.float32
    assert moved.provenance.steps[-1].parameters["method"] == method


def test_held_values_are_those_of_the_nearest_frame():
    moved = upsampled(SPIKES, "hold")
    assert moved.is_sparse
    nearest = np.array([FRAMES.index(moved.axis.time(k)) for k in range(moved.axis.n)])
    np.testing.assert_array_equal(moved.values.toarray(), SPIKES.toarray()[nearest])
    np.testing.assert_array_equal(upsampled(SPIKES.toarray(), "hold").values, moved.values.toarray())
    assert np.ptp(np.bincount(nearest)[1:-1]) == 1, "every frame holds for 2 or 3 samples"


def test_half_way_between_two_frames_the_later_one_counts():
    moved = upsampled(SPIKES.toarray(), "hold", rate=100)
    np.testing.assert_array_equal(moved.values, SPIKES.toarray()[(np.arange(moved.axis.n) + 1) // 2])


@pytest.mark.parametrize("method", ["sinc", "polyphase"])
def test_a_slow_wave_stays_one(method):
    wave = np.sin(2 * np.pi * 3 * FRAMES.times)[:, None].astype(np.float32)
    moved = upsampled(wave, method)
    middle = slice(200, -200)
    np.testing.assert_allclose(moved.values[middle, 0], np.sin(2 * np.pi * 3 * moved.axis.times)[middle], atol=3e-3)


def test_the_frames_own_rate_changes_no_value():
    for method in UPSAMPLERS:
        moved = upsampled(SPIKES, method, rate=50)
        values = moved.values.toarray() if moved.is_sparse else moved.values
        np.testing.assert_allclose(values, SPIKES.toarray(), atol=1e-6)


def test_what_cannot_be_upsampled_is_refused():
    with pytest.raises(UnknownName, match="way to upsample"):
        upsampled(SPIKES, "linear")
    with pytest.raises(ValueProblem, match="upsampling needs a rate above"):
        upsampled(SPIKES, "hold", rate=40)
