"""A trajectory keeps its clock and learns where it came from."""

import subprocess
import sys

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, StoreProblem, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.sae.apply import apply_sae
from brainalign.sae.checkpoint import save_sae
from tests.sae.worlds import as_trajectory


def test_features_on_the_same_clock(make_coder, rng):
    coder, frames = make_coder(), as_trajectory(rng.standard_normal((30, 6)))
    features = apply_sae(coder, frames)
    assert features.is_sparse
    assert features.axis == frames.axis
    assert features.features[:2] == ("sae-0", "sae-1")
    assert features.n_features == coder.d_sae
    np.testing.assert_array_equal(features.values.toarray(), coder.encode(frames.values).toarray())
    step = features.provenance.steps[-1]
    assert step.name == "apply_sae"
    assert step.parameters["coder"] == coder.content


def test_method_and_prefix(make_coder, rng):
    frames = as_trajectory(rng.standard_normal((3, 6)))
    assert make_coder().apply(frames, prefix="hubert9-").features[-1] == "hubert9-19"


def test_part_of_a_trajectory_gives_part_of_the_features(make_coder, rng):
    coder, frames = make_coder(), as_trajectory(rng.standard_normal((1200, 6)))
    part = apply_sae(coder, frames.frames(500, 700))
    whole = apply_sae(coder, frames).frames(500, 700)
    assert part.axis == whole.axis
    np.testing.assert_array_equal(part.values.toarray(), whole.values.toarray())


def test_into_a_folder_gives_the_same_features_memory_mapped(make_coder, rng, tmp_path, monkeypatch):
    monkeypatch.setattr("brainalign.sae.apply.BLOCK_FRAMES", 512)
    coder, frames = make_coder(), as_trajectory(rng.standard_normal((1700, 6)))
    whole, mapped = coder.apply(frames), coder.apply(frames, folder=tmp_path / "a" / "codes")
    for found in (mapped, Trajectory.open(tmp_path / "a" / "codes", verify=True)):
        assert isinstance(_root(found.values.data), np.memmap)
        assert found.axis == whole.axis
        assert found.features == whole.features
        assert found.provenance == whole.provenance
        np.testing.assert_array_equal(found.values.toarray(), whole.values.toarray())
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["codes"]


def test_silence_and_no_frames_go_into_a_folder_too(make_coder, tmp_path):
    never = make_coder(threshold=1e9)
    assert never.apply(as_trajectory(np.ones((40, 6))), folder=tmp_path / "silent").values.nnz == 0
    assert make_coder().apply(as_trajectory(np.ones((0, 6))), folder=tmp_path / "empty").values.shape == (0, 20)


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_left(make_coder, rng, tmp_path):
    frames = as_trajectory(rng.standard_normal((30, 6)))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreProblem, match="writable folder"):
        make_coder().apply(frames, folder=tmp_path / "file" / "codes")
    make_coder().apply(frames, folder=tmp_path / "codes")
    with pytest.raises(StoreProblem, match="already holds another"):
        make_coder(threshold=0.9).apply(frames, folder=tmp_path / "codes")
    with pytest.raises(ValueProblem, match="calibrate"):
        make_coder(threshold=np.nan).apply(frames, folder=tmp_path / "none")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["codes", "file"]


MEASURED = """
import resource, sys
from pathlib import Path
from brainalign.core.trajectory import Trajectory
from brainalign.sae.checkpoint import load_sae

coder = load_sae(sys.argv[1])
frames = Trajectory.open(sys.argv[2])
coder.apply(frames.frames(0, 4096), folder=Path(sys.argv[3]) / "start")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codes = coder.apply(frames, folder=Path(sys.argv[3]) / "whole")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(codes.axis.n, codes.values.nnz, (after - before) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is told in kilobytes on Linux only")
def test_many_minutes_go_through_in_the_memory_of_seconds(make_coder, rng, root, tmp_path):
    """Twenty minutes, 60,000 frames of 512 inputs (117 MB), add less than the features' own size."""
    n, d_in = 60_000, 512
    save_sae(make_coder(d_in=d_in, d_sae=256, threshold=40.0, k=10), tmp_path / "coder", format="brainalign")
    frames = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(n, d_in))
    for start in range(0, n, 10_000):
        frames[start : start + 10_000] = rng.standard_normal((10_000, d_in), dtype=np.float32)
    Trajectory(frames, TimeAxis(50, n, "0.0125"), tuple(f"h{i}" for i in range(d_in))).save(tmp_path / "frames")
    command = [sys.executable, "-c", MEASURED, *(str(tmp_path / name) for name in ("coder", "frames", "out"))]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout.split()
    n_frames, n_stored, more = int(told[0]), int(told[1]), float(told[2])
    assert n_frames == n
    assert n_stored > 2e5
    # At most what the features take on the disk: pages of the files they were written from, which anyone may claim.
    assert more < n_stored * 8 / 2**20 + 16


def _root(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_refuses_another_layer_and_its_own_output(make_coder, rng):
    coder = make_coder()
    with pytest.raises(ShapeMismatch, match="got: 7 features, the coder reads 6"):
        apply_sae(coder, as_trajectory(rng.standard_normal((3, 7))))
    features = apply_sae(coder, as_trajectory(rng.standard_normal((3, 6))))
    with pytest.raises(ValueProblem, match="sparse trajectory"):
        apply_sae(make_coder(d_in=20), features)
