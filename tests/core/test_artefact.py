"""Folders of plain arrays: whole or absent, checked, and never a pickle."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

from brainalign.core.artefact import HEADER, Artefact, read_artefact, read_header, verify_artefact, write_artefact
from brainalign.core.errors import DamagedArtefact, MissingFile, StoreProblem, ValueProblem
from brainalign.core.hashing import canonical_json, digest, file_digest


@pytest.fixture
def artefact(rng) -> Artefact:
    arrays = {"x": rng.normal(size=(5, 3)), "empty": np.zeros((0, 4), np.float32), "number": np.array(3)}
    return Artefact("thing", {"name": "ü", "rate": "50/1", "list": [1, 2.5, None]}, arrays)


@pytest.fixture
def folder(artefact, tmp_path):
    write_artefact(artefact, tmp_path / "thing")
    return tmp_path / "thing"


def _sealed(folder, **changes):
    """Change a header the way a careful forger would: with a seal that fits."""
    header = read_header(folder) | changes
    (folder / HEADER).write_text(canonical_json({**header, "sha256": digest(header)}))


class TestRoundTrip:
    """What is written is what is read."""

    @pytest.mark.parametrize("mmap", [True, False])
    def test_everything_comes_back(self, artefact, folder, mmap):
        back = read_artefact(folder, mmap=mmap)
        assert (back.kind, back.meta) == (artefact.kind, artefact.meta)
        assert back.arrays.keys() == artefact.arrays.keys()
        for name, array in artefact.arrays.items():
            np.testing.assert_array_equal(back.arrays[name], array)
            assert back.arrays[name].shape == array.shape
            assert back.arrays[name].dtype == array.dtype
            assert not back.arrays[name].flags.writeable

    def test_arrays_stay_on_disk_if_asked(self, folder):
        assert isinstance(read_artefact(folder).arrays["x"], np.memmap)
        assert not isinstance(read_artefact(folder, mmap=False).arrays["x"], np.memmap)

    @pytest.mark.parametrize("dtype", ["<f2", ">f4", "<c16", "?", "<i8", "<U3", "<M8[s]"])
    def test_every_plain_dtype_comes_back(self, tmp_path, dtype):
        array = np.arange(6).reshape(2, 3).astype(dtype)
        write_artefact(Artefact("thing", arrays={"x": array}), tmp_path / "a")
        back = read_artefact(tmp_path / "a").arrays["x"]
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)

    def test_the_layout_in_memory_does_not_change_the_bytes(self, artefact, tmp_path):
        flipped = {name: np.asarray(array, order="F") for name, array in artefact.arrays.items()}
        other = Artefact(artefact.kind, artefact.meta, flipped)
        assert write_artefact(artefact, tmp_path / "a") == write_artefact(other, tmp_path / "b")
        names = sorted(path.name for path in (tmp_path / "a").iterdir())
        assert names == ["empty.npy", HEADER, "number.npy", "x.npy"]
        for name in names:
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    def test_the_content_hash_is_what_verification_returns(self, artefact, tmp_path):
        assert write_artefact(artefact, tmp_path / "a") == verify_artefact(tmp_path / "a")

    def test_folders_above_are_made(self, artefact, tmp_path):
        write_artefact(artefact, tmp_path / "deep" / "down" / "a")
        assert read_header(tmp_path / "deep" / "down" / "a")["kind"] == "thing"


class TestWholeOrAbsent:
    """A folder under its final name is complete, whatever happens while it is written."""

    @pytest.mark.parametrize("calls_before", [0, 1, 3, 4])
    def test_a_failing_disk_leaves_nothing(self, artefact, tmp_path, monkeypatch, calls_before):
        calls = iter(range(100))

        def fsync(_):
            if next(calls) >= calls_before:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(StoreProblem, match=r"(?s)cannot be written.*No space left on device.*free space"):
            write_artefact(artefact, tmp_path / "a")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("calls_before", [0, 1, 2])
    def test_a_kill_leaves_nothing_under_the_final_name(self, root, tmp_path, calls_before):
        code = (
            "import os, signal, sys, numpy as np\n"
            "from brainalign.core.artefact import Artefact, write_artefact\n"
            "from pathlib import Path\n"
            "calls = iter(range(9))\n"
            f"os.fsync = lambda _: next(calls) < {calls_before} or os.kill(os.getpid(), signal.SIGKILL)\n"
            "write_artefact(Artefact('thing', arrays={'x': np.arange(9)}), Path(sys.argv[1]))\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], cwd=root, check=False)
        assert done.returncode == -signal.SIGKILL
        assert not (tmp_path / "a").exists()
        write_artefact(Artefact("thing", arrays={"x": np.arange(9)}), tmp_path / "a")
        verify_artefact(tmp_path / "a")

    def test_a_refused_array_leaves_nothing(self, tmp_path):
        arrays = {"a": np.arange(3), "b": np.array([{}], dtype=object)}
        with pytest.raises(ValueProblem, match=r"(?s)plain numbers only.*b: object"):
            write_artefact(Artefact("thing", arrays=arrays), tmp_path / "a")
        assert list(tmp_path.iterdir()) == []

    def test_the_same_content_twice_is_no_error(self, artefact, folder):
        before = (folder / HEADER).stat()
        assert write_artefact(artefact, folder) == verify_artefact(folder)
        assert (folder / HEADER).stat() == before
        assert [path.name for path in folder.parent.iterdir()] == ["thing"]

    def test_other_content_is_never_overwritten(self, folder):
        before = verify_artefact(folder)
        with pytest.raises(StoreProblem, match="already holds another artefact"):
            write_artefact(Artefact("other"), folder)
        assert verify_artefact(folder) == before

    def test_somebody_elses_folder_is_left_alone(self, artefact, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(StoreProblem, match="cannot be written"):
            write_artefact(artefact, tmp_path)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "a\nb"])
    def test_an_arrays_name_cannot_leave_the_folder(self, tmp_path, name):
        with pytest.raises(ValueProblem, match="becomes a file name"):
            write_artefact(Artefact("thing", arrays={name: np.arange(3)}), tmp_path / "a")


class TestDamage:
    """A value is believed only when its hash fits."""

    @pytest.mark.parametrize("name", ["x.npy", "empty.npy", "number.npy", HEADER])
    @pytest.mark.parametrize("place", [0, 0.5, 1])
    def test_one_flipped_bit_anywhere_is_found(self, folder, name, place):
        content = bytearray((folder / name).read_bytes())
        content[int(place * (len(content) - 1))] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(DamagedArtefact, match=rf"(?s){name}.*delete the folder"):
            read_artefact(folder)

    def test_a_missing_array_is_named(self, folder):
        (folder / "x.npy").unlink()
        with pytest.raises(DamagedArtefact, match=r"x\.npy is missing"):
            verify_artefact(folder)

    @pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"junk"])
    @pytest.mark.parametrize("mmap", [True, False])
    def test_an_unchecked_read_still_refuses_what_is_no_array(self, folder, content, mmap):
        (folder / "x.npy").write_bytes(content)
        with pytest.raises(DamagedArtefact, match=r"x\.npy"):
            read_artefact(folder, mmap=mmap, verify=False)

    def test_an_unchecked_read_still_refuses_another_shape(self, folder):
        np.save(folder / "x.npy", np.zeros((5, 4)))
        with pytest.raises(DamagedArtefact, match=r"x\.npy holds <f8 \(5, 4\)"):
            read_artefact(folder, verify=False)

    def test_nothing_there_is_told_apart_from_damage(self, tmp_path):
        with pytest.raises(MissingFile, match="there is no artefact here"):
            read_artefact(tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "zip"}', '{"a": NaN}', "[" * 20_000, "\udcff"])
    def test_a_header_that_is_none_is_damage(self, folder, text):
        (folder / HEADER).write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(DamagedArtefact, match=r"header\.json"):
            read_header(folder)

    @pytest.mark.parametrize(
        "change", [{"kind": 3}, {"meta": []}, {"arrays": []}, {"arrays": {"x": {}}}, {"arrays": {"../x": {}}}]
    )
    def test_a_sealed_header_must_still_be_one(self, folder, change):
        _sealed(folder, **change)
        with pytest.raises(DamagedArtefact, match="does not list its kind, meta and arrays"):
            read_artefact(folder)


class TestNoPickle:
    """A folder from a stranger can hold wrong numbers, but it cannot run code."""

    @pytest.mark.parametrize("mmap", [True, False])
    @pytest.mark.parametrize("verify", [True, False])
    @pytest.mark.parametrize("disguise", ["object array", "bare pickle"])
    def test_a_planted_pickle_is_not_loaded(self, folder, tmp_path, mmap, verify, disguise):
        trap = tmp_path / "sprung"
        bomb = _Bomb(str(trap))
        if disguise == "object array":
            np.save(folder / "x.npy", np.array([bomb], dtype=object), allow_pickle=True)
        else:
            (folder / "x.npy").write_bytes(pickle.dumps(bomb))
        if verify:
            header = json.loads((folder / HEADER).read_text())
            entry = {"sha256": file_digest(folder / "x.npy"), "dtype": "|O", "shape": [1]}
            _sealed(folder, arrays=header["arrays"] | {"x": entry})
        with pytest.raises(DamagedArtefact, match=r"x\.npy"):
            read_artefact(folder, mmap=mmap, verify=verify)
        assert not trap.exists()


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))
