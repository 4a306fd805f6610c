"""Parts of stored trajectories: the same numbers as the whole, without the rest in memory."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import brainalign.core.slices as slices
from brainalign.core.artefact import HEADER, read_header
from brainalign.core.errors import DamagedArtefact, ShapeMismatch, StoreProblem, UnknownName, ValueProblem
from brainalign.core.hashing import canonical_json, digest
from brainalign.core.saving import load, save
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory

AXIS = TimeAxis(50, 60, t0="399/32000")
N = 11
NAMES = tuple(f"layer3-{i}" for i in range(N))
COLUMNS = [None, [4, 5, 6], [7, 0, 7, -1], [], ["layer3-9", "layer3-2"], np.arange(N) % 2 == 1, np.array([3])]
TIMES = [{}, {"frames": (13, 41)}, {"seconds": (0.5, "9/10")}, {"frames": (60, 60)}, {"seconds": (-3, 100)}]


def _values() -> np.ndarray:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(AXIS.n, N)).astype(np.float32)
    values[rng.random(values.shape) > 0.3] = 0
    values[20:23] = 0
    return values


@pytest.fixture
def matrix() -> np.ndarray:
    return _values()


def _dense(trajectory: Trajectory) -> np.ndarray:
    return trajectory.block(0, trajectory.n_features)


def _is_mapped(array) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.fixture(scope="module", params=["dense", "sparse"])
def stored(request, tmp_path_factory) -> tuple[Trajectory, Path]:
    """A trajectory and its folder, to be read only."""
    form = np.asarray if request.param == "dense" else sparse.csr_array
    one = Trajectory(form(_values()), AXIS, NAMES)
    return one, one.save(tmp_path_factory.mktemp("stored") / "t")


@pytest.fixture
def folder(stored, tmp_path) -> Path:
    """A folder to be damaged."""
    return Path(shutil.copytree(stored[1], tmp_path / "copy"))


@pytest.fixture(scope="module", params=["dense", "sparse"])
def large(request, tmp_path_factory) -> tuple[Path, int]:
    """64 MB on the disk, and how much exactly."""
    n_frames, n_features, n_active = 20_000, 800, 400
    values = np.arange(n_frames * n_features, dtype=np.float32).reshape(n_frames, -1)
    if request.param == "sparse":
        columns = np.tile(np.arange(n_active, dtype=np.int32) * 2, n_frames)
        ends = np.arange(n_frames + 1, dtype=np.int32) * n_active
        values = sparse.csr_array((np.ones(columns.size, np.float32), columns, ends), shape=values.shape)
    names = [str(i) for i in range(n_features)]
    folder = Trajectory(values, TimeAxis(50, n_frames), names).save(tmp_path_factory.mktemp("large") / "t")
    return folder, sum(path.stat().st_size for path in folder.iterdir())


class TestEquality:
    """A part of the file is that part of the whole."""

    @pytest.mark.parametrize("block", [1, 100, 1 << 20])
    @pytest.mark.parametrize("times", TIMES)
    @pytest.mark.parametrize("columns", COLUMNS)
    def test_every_part(self, stored, columns, times, block, monkeypatch):
        monkeypatch.setattr(slices, "_BLOCK_BYTES", block)
        one, folder = stored
        rows = {"frames": times["frames"]} if "frames" in times else {}
        start, stop = rows.get("frames", (25, 45) if times.get("seconds", (0,))[0] == 0.5 else (0, AXIS.n))
        expected = one.frames(start, stop)
        expected = expected if columns is None else expected.select(columns)
        found = Trajectory.open(folder, features=columns, **times)
        assert found.is_sparse == one.is_sparse
        assert found.axis == expected.axis
        assert found.features == expected.features
        assert found.provenance == expected.provenance
        np.testing.assert_array_equal(_dense(found), _dense(expected), strict=True)
        assert found.stored.tobytes() == expected.stored.tobytes()

    def test_save_is_the_form_that_everything_is_saved_in(self, stored, tmp_path):
        one, folder = stored
        save(one, tmp_path / "other")
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
            p.name: p.read_bytes() for p in (tmp_path / "other").iterdir()
        }
        np.testing.assert_array_equal(_dense(load(folder)), _dense(one))

    def test_what_lies_together_stays_on_the_disk(self, stored):
        one, folder = stored
        part = Trajectory.open(folder, frames=(10, 50), features=None if one.is_sparse else [2, 3, 4])
        assert _is_mapped(part.stored)
        assert not part.stored.flags.writeable

    def test_times_are_chosen_by_the_exact_clock(self, stored):
        _, folder = stored
        # Frame 25 is at 0.51246875 s.
        assert Trajectory.open(folder, seconds=("0.51246875", 1)).axis.t0 == AXIS.time(25)
        assert Trajectory.open(folder, seconds=("0.51246876", 1)).axis.t0 == AXIS.time(26)
        assert Trajectory.open(folder, seconds=(0, "0.51246875")).axis.n == 25

    def test_an_empty_trajectory(self, empty_trajectory, tmp_path):
        back = Trajectory.open(empty_trajectory.save(tmp_path / "e"), features=[3, 1])
        assert back.values.shape == (0, 2)
        assert back.axis == empty_trajectory.axis


class TestHalf:
    """float16: half the room, a stated loss."""

    def test_rounding_is_within_what_is_told(self, stored, tmp_path):
        one, _ = stored
        folder = one.save(tmp_path / "half", dtype="float16")
        for back in (load(folder), Trajectory.open(folder), Trajectory.open(folder, features=list(range(N)))):
            assert back.stored.dtype == np.float32
            np.testing.assert_allclose(_dense(back), _dense(one), rtol=2**-11, atol=3e-8)
            assert back.provenance.steps[-1].parameters == {"dtype": "float16"}
        part = Trajectory.open(folder, features=[8, 1], frames=(5, 30))
        np.testing.assert_array_equal(_dense(part), _dense(load(folder))[5:30, [8, 1]])

    def test_it_takes_half_the_room(self, matrix, tmp_path):
        one = Trajectory(np.tile(matrix, (1, 40)), AXIS, [str(i) for i in range(40 * N)])
        sizes = [
            (one.save(tmp_path / dtype, dtype=dtype) / "values.npy").stat().st_size for dtype in ("float32", "float16")
        ]
        assert sizes[1] - 128 == (sizes[0] - 128) / 2

    @pytest.mark.parametrize("value", [65_520.0, -1e9, np.inf])
    def test_what_does_not_fit_is_refused(self, matrix, tmp_path, value):
        matrix[50, 3] = value
        for values in (matrix, sparse.csr_array(matrix)):
            with pytest.raises(ValueProblem, match=r"(?s)too large for float16.*65504"):
                Trajectory(values, AXIS, NAMES).save(tmp_path / "t", dtype="float16")
        assert not list(tmp_path.iterdir())

    def test_other_types_are_refused(self, stored, tmp_path):
        with pytest.raises(ValueProblem, match=r"(?s)float32 or float16.*'int8'"):
            stored[0].save(tmp_path / "x", dtype="int8")


class TestRefusals:
    """What cannot be chosen, and what is damaged."""

    def test_choices(self, stored):
        _, folder = stored
        with pytest.raises(UnknownName, match="did you mean 'layer3-10'"):
            Trajectory.open(folder, features=["layer3-100"])
        with pytest.raises(ValueProblem, match="column 11 of 11 features"):
            Trajectory.open(folder, features=[11])
        with pytest.raises(ShapeMismatch, match="a mask of features"):
            Trajectory.open(folder, features=np.array([True]))
        for wrong in ("layer3-1", [1.5], [[1]]):
            with pytest.raises(ValueProblem, match="a list of names, of column numbers, or by a mask"):
                Trajectory.open(folder, features=wrong)
        with pytest.raises(ValueProblem, match="a part must lie inside its signal"):
            Trajectory.open(folder, frames=(10, 61))
        for window in ((1, 1), (1.3, 2), (0.9, 0.5)):
            with pytest.raises(ValueProblem, match=r"(?s)no frame lies.*60 samples at 50 Hz"):
                Trajectory.open(folder, seconds=window)
        with pytest.raises(ValueProblem, match="in seconds or in frames"):
            Trajectory.open(folder, seconds=(0, 1), frames=(0, 1))

    def test_another_kind(self, stimulus, tmp_path):
        with pytest.raises(ValueProblem, match=r"(?s)does not hold a trajectory.*stimulus"):
            Trajectory.open(save(stimulus, tmp_path / "s"))

    def test_nothing_is_overwritten(self, stored):
        one, folder = stored
        with pytest.raises(StoreProblem, match="already holds another artefact"):
            one.renamed([f"x{i}" for i in range(N)]).save(folder)

    @pytest.mark.parametrize("change", [-1, 1])
    def test_a_file_of_another_length_is_refused_unread(self, folder, change):
        for path in folder.glob("*.npy"):
            whole = path.read_bytes()
            path.write_bytes(whole[:change] if change < 0 else whole + b"\0")
            with pytest.raises(DamagedArtefact, match=path.name):
                Trajectory.open(folder, features=[1], frames=(0, 5))
            path.write_bytes(whole)

    def test_a_missing_file_is_damage(self, folder):
        path = next(folder.glob("*.npy"))
        path.unlink()
        with pytest.raises(DamagedArtefact, match=path.name):
            Trajectory.open(folder, frames=(0, 5))

    def test_a_mistake_of_the_caller_is_not_called_damage(self, stored):
        with pytest.raises(TypeError):
            Trajectory.open(stored[1], seconds=3)

    def test_a_changed_value_is_found_if_asked(self, stored, folder):
        path = folder / ("data.npy" if stored[0].is_sparse else "values.npy")
        content = bytearray(path.read_bytes())
        content[-3] ^= 4
        path.write_bytes(content)
        Trajectory.open(folder, frames=(0, 5))
        with pytest.raises(DamagedArtefact, match=rf"{path.name} does not match its SHA-256"):
            Trajectory.open(folder, frames=(0, 5), verify=True)
        with pytest.raises(DamagedArtefact, match=rf"{path.name} does not match its SHA-256"):
            load(folder)

    @pytest.mark.parametrize("stored", ["sparse"], indirect=True)
    @pytest.mark.parametrize("columns", [None, [2, 3]])
    @pytest.mark.parametrize(
        ("part", "place", "value"),
        [("indices", 30, N), ("indices", 30, -1), ("indptr", 9, 10**6), ("indptr", 9, 0), ("indptr", -1, 3)],
    )
    def test_wild_column_numbers_never_reach_compiled_code(self, folder, part, place, value, columns):
        array = np.lib.format.open_memmap(folder / f"{part}.npy", mode="r+")
        array[place] = value
        array.flush()
        with pytest.raises(DamagedArtefact, match="do not fit together"):
            Trajectory.open(folder, features=columns)

    @pytest.mark.parametrize("change", [{"axis": {"rate": "50", "n": 59, "t0": "0"}}, {"axis": None}, {"features": 3}])
    def test_a_header_that_does_not_fit_its_arrays(self, folder, change):
        header = read_header(folder)
        header["meta"] |= change
        (folder / HEADER).write_text(canonical_json({**header, "sha256": digest(header)}))
        with pytest.raises(DamagedArtefact, match="does not hold what makes it a trajectory"):
            Trajectory.open(folder, frames=(0, 5))


PEAK = """
import re, sys
from pathlib import Path
from brainalign.core.trajectory import Trajectory

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

Trajectory.open(sys.argv[1], frames=(0, 1), features=[0])
before = peak()
part = Trajectory.open(sys.argv[1], **eval(sys.argv[2]))
part.stored.sum()
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("choice", "most"),
    [
        ({"features": [700, 2, 4]}, 32e6),  # blocks of 4 MB, and what they become
        ({"seconds": (100, 110)}, 8e6),
        ({"features": [4, 5], "frames": (5000, 5500)}, 12e6),
    ],
)
def test_a_part_takes_the_room_of_a_part(large, root, choice, most):
    folder, size = large
    assert size > 64e6
    assert _peak(folder, choice, root=root) < most


def test_the_measurement_sees_what_is_read(large, root):
    folder, size = large
    assert _peak(folder, {"features": list(range(799, -1, -1))}, root=root) > 0.9 * size


def _peak(folder: Path, choice: dict, *, root: Path) -> float:
    """Return the peak of resident memory, above that of opening one value, in a process of its own."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of resident memory is read from /proc")
    command = [sys.executable, "-c", PEAK, str(folder), repr(choice)]
    return float(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)
