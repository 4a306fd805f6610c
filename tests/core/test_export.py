"""Trajectories for other tools: every number arrives, and the exact clock with them."""

import json
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import pytest
import xarray
from scipy import sparse

import brainalign.core.zarr as zarr_format
from brainalign.core import export
from brainalign.core.errors import GridMismatch, MissingPackage, StoreProblem, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory

# A rate and an origin that no float holds.
AXIS = TimeAxis("16000/321", 40, t0="399/32000")


@pytest.fixture(params=["dense", "sparse"])
def one(request, rng) -> Trajectory:
    values = sparse.random_array((40, 7), density=0.3, format="csr", dtype=np.float32, rng=rng)
    provenance = Provenance().then("encode", layer=3, at=Fraction(1, 3))
    return Trajectory(values.toarray() if request.param == "dense" else values, AXIS, _names(7), provenance)


@pytest.fixture
def huge() -> Trajectory:
    """An hour of an SAE, 4.4 GB of zeros."""
    return Trajectory(sparse.csr_array((180_000, 6_144), dtype=np.float32), TimeAxis(50, 180_000), _names(6_144))


def _names(n: int) -> tuple[str, ...]:
    return tuple(f"läyer3-{i}" for i in range(n))


def _dense(trajectory: Trajectory) -> np.ndarray:
    return trajectory.block(0, trajectory.n_features)


def _require_same(back: Trajectory, one: Trajectory) -> None:
    assert (back.axis, back.features, back.provenance) == (one.axis, one.features, one.provenance)
    np.testing.assert_array_equal(_dense(back), _dense(one), strict=True)


class TestXarray:
    """Labels for people, and the way back."""

    def test_labels(self, one):
        array = one.to_xarray()
        assert array.dims == ("time", "feature")
        assert array.dtype == np.float32
        assert array.attrs["rate"] == "16000/321"
        assert array.attrs["t0"] == "399/32000"
        np.testing.assert_array_equal(array.sel(feature="läyer3-2"), _dense(one)[:, 2])
        np.testing.assert_array_equal(array["time"], AXIS.times)

    def test_a_dense_one_is_not_copied(self, one):
        assert np.shares_memory(one.to_xarray().values, one.stored) != one.is_sparse

    def test_there_and_back(self, one):
        _require_same(Trajectory.from_xarray(one.to_xarray()), one)
        _require_same(Trajectory.from_xarray(one.to_xarray().transpose()), one)

    def test_a_part_keeps_its_exact_clock(self, one):
        array = one.to_xarray()
        _require_same(Trajectory.from_xarray(array[5:30, [4, 1]]), one.frames(5, 30).select([4, 1]))
        times = array.sel(time=slice(0.25, 0.5))
        back = Trajectory.from_xarray(times)
        assert back.axis.t0 == AXIS.time(AXIS.index(float(times["time"][0])))

    def test_through_a_file(self, one, tmp_path):
        array = one.to_xarray()
        array.to_netcdf(tmp_path / "t.nc", engine="scipy")
        with xarray.open_dataarray(tmp_path / "t.nc", engine="scipy") as found:
            _require_same(Trajectory.from_xarray(found.load()), one)

    def test_an_empty_one(self, empty_trajectory):
        back = Trajectory.from_xarray(empty_trajectory.to_xarray())
        assert back.values.shape == (0, 4)

    @pytest.mark.parametrize("change", ["every second", "moved", "reversed"])
    def test_other_clocks_are_refused(self, one, change):
        array = one.to_xarray()
        moved = array.assign_coords(time=array["time"] + 0.002)
        other = {"every second": array[::2], "moved": moved, "reversed": array[::-1]}[change]
        with pytest.raises(GridMismatch, match=r"(?s)not those of successive frames.*frames off"):
            Trajectory.from_xarray(other)

    def test_other_arrays_are_refused(self, one):
        array = one.to_xarray()
        for other in (array.drop_attrs(), array.rename(time="t"), array[0]):
            with pytest.raises(ValueProblem, match="not a trajectory's"):
                Trajectory.from_xarray(other)

    def test_without_xarray_the_way_to_it_is_told(self, one, monkeypatch):
        monkeypatch.setitem(sys.modules, "xarray", None)
        with pytest.raises(MissingPackage, match=r"(?s)need xarray.*pip install 'brainalign\[labels\]'"):
            one.to_xarray()


class TestMne:
    """Misc channels, and the clock where FIF files keep it."""

    def test_channels_and_clock(self, one, tmp_path):
        # FIF files keep ASCII names only, however long.
        one = one.renamed([f"layer3-attention-of-block-{i}" for i in range(7)])
        raw = one.to_mne()
        raw.save(tmp_path / "features_raw.fif", verbose="error")
        back = mne.io.read_raw(tmp_path / "features_raw.fif", preload=True, verbose="error")
        for found in (raw, back):
            assert tuple(found.ch_names) == one.features
            assert set(found.get_channel_types()) == {"misc"}
            np.testing.assert_array_equal(found.get_data(), _dense(one).T)
            told = json.loads(found.info["description"])
            assert (Fraction(told["rate"]), Fraction(told["t0"])) == (AXIS.rate, AXIS.t0)
            assert Provenance.from_json(json.loads(told["provenance"])) == one.provenance
            np.testing.assert_allclose(found.times + float(Fraction(told["t0"])), AXIS.times, rtol=1e-6)

    def test_the_trajectory_is_not_tied_to_it(self, one):
        before = _dense(one).copy()
        one.to_mne()._data[:] = 7
        np.testing.assert_array_equal(_dense(one), before)

    @pytest.mark.parametrize("columns", [[0, 0], []])
    def test_channels_need_names_that_differ(self, one, columns):
        with pytest.raises(ValueProblem, match="MNE needs channels, and names that differ"):
            one.select(columns).to_mne()


def test_what_would_not_fit_is_refused_before_it_is_made(huge):
    for go in (huge.to_xarray, huge.to_mne):
        with pytest.raises(ValueProblem, match=r"(?s)180000 frames of 6144 features: (4.1|8.2) GiB.*choose features"):
            go()
    assert huge.select([3, 4]).to_xarray().shape == (180_000, 2)


def _read_zarr(folder: Path, name: str) -> np.ndarray:
    """Read one array as the format's version 2 has it, with none of our code."""
    header = json.loads((folder / name / ".zarray").read_text())
    assert header["zarr_format"] == 2 and header["order"] == "C" and header["compressor"]["id"] == "zlib"
    grid = [-(-n // size) for n, size in zip(header["shape"], header["chunks"], strict=True)]
    whole = np.zeros([n * size for n, size in zip(grid, header["chunks"], strict=True)], dtype=header["dtype"])
    for place in np.ndindex(*grid):
        content = zlib.decompress((folder / name / ".".join(map(str, place))).read_bytes())
        block = np.frombuffer(content, header["dtype"]).reshape(header["chunks"])
        whole[tuple(slice(i * size, (i + 1) * size) for i, size in zip(place, header["chunks"], strict=True))] = block
    return whole[tuple(map(slice, header["shape"]))]


class TestZarr:
    """A group of plain files."""

    @pytest.mark.parametrize("chunk", [(4096, 128), (16, 3), (40, 7)])
    def test_every_value_arrives(self, one, tmp_path, chunk, monkeypatch):
        monkeypatch.setattr(zarr_format, "_FRAMES", chunk[0])
        monkeypatch.setattr(zarr_format, "_FEATURES", chunk[1])
        folder = one.to_zarr(tmp_path / "deep" / "one.zarr")
        np.testing.assert_array_equal(_read_zarr(folder, "trajectory"), _dense(one), strict=True)
        np.testing.assert_array_equal(_read_zarr(folder, "time"), AXIS.times)
        assert tuple(_read_zarr(folder, "feature")) == one.features

    def test_the_metadata_says_all(self, one, tmp_path):
        folder = one.to_zarr(tmp_path / "one.zarr")
        together = json.loads((folder / ".zmetadata").read_text())["metadata"]
        apart = {
            str(p.relative_to(folder)): json.loads(p.read_text()) for p in folder.rglob(".z*") if p.name != ".zmetadata"
        }
        assert together == apart
        assert apart[".zgroup"] == {"zarr_format": 2}
        assert apart["trajectory/.zattrs"]["_ARRAY_DIMENSIONS"] == ["time", "feature"]
        assert (apart[".zattrs"]["rate"], apart[".zattrs"]["t0"]) == ("16000/321", "399/32000")
        assert apart["trajectory/.zarray"]["fill_value"] is None

    def test_the_same_bytes_dense_or_sparse(self, one, tmp_path):
        other = Trajectory(_dense(one), one.axis, one.features, one.provenance)
        folders = [one.to_zarr(tmp_path / "a"), other.to_zarr(tmp_path / "b")]
        assert len({tuple((p.name, p.read_bytes()) for p in sorted(f.rglob("*")) if p.is_file()) for f in folders}) == 1

    def test_an_empty_one(self, empty_trajectory, tmp_path):
        assert _read_zarr(empty_trajectory.to_zarr(tmp_path / "e"), "trajectory").shape == (0, 4)

    def test_nothing_is_overwritten_and_nothing_is_left(self, one, tmp_path, monkeypatch):
        folder = one.to_zarr(tmp_path / "one.zarr")
        with pytest.raises(StoreProblem, match="something here already"):
            one.to_zarr(folder)

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(zarr_format, "_packed", full)
        with pytest.raises(StoreProblem, match=r"(?s)cannot be written.*No space left"):
            one.to_zarr(tmp_path / "two.zarr")
        assert [path.name for path in tmp_path.iterdir()] == ["one.zarr"]

    def test_zarr_and_xarray_read_it(self, one, tmp_path):
        zarr = pytest.importorskip("zarr", reason="zarr's own reader is not installed")
        folder = one.to_zarr(tmp_path / "one.zarr")
        group = zarr.open_group(str(folder), mode="r")
        np.testing.assert_array_equal(group["trajectory"][:], _dense(one))
        with xarray.open_zarr(folder, chunks=None) as found:
            _require_same(Trajectory.from_xarray(found["trajectory"].load()), one)


def test_the_core_needs_none_of_them_to_be_imported():
    assert not {"xarray", "mne"} & set(vars(export))
