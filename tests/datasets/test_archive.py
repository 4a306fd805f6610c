"""What comes out of an archive is whole and stays in its folder; what could do harm is not unpacked at all."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import StoreProblem, UnreadableFile, ValueProblem
from brainalign.datasets.archive import Limits, UnsafeArchive, unpack
from brainalign.datasets.paths import below, relative_path
from tests.datasets.conftest import sha256

CONTENT = {"eeg/S1.mat": b"one" * 4000, "eeg/S2.mat": b"two" * 4000, "README": b""}


def _zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _tar(path, members, *, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


MAKERS = {
    "zip": lambda folder, members: _zip(folder / "a.zip", members),
    "tar": lambda folder, members: _tar(folder / "a.tar", members, mode="w"),
    "tgz": lambda folder, members: _tar(folder / "a.tar.gz", members),
    "bz2": lambda folder, members: _tar(folder / "a.tar.bz2", members, mode="w:bz2"),
}


@pytest.fixture(params=list(MAKERS))
def pack(request, tmp_path):
    """Write an archive of one kind."""
    return lambda members: MAKERS[request.param](tmp_path, members)


def _unpack(archive, **more):
    folder = archive.parent / "data"
    folder.mkdir(exist_ok=True)
    return unpack(archive, folder, aside=archive.parent / "aside", **more)


def _out(archive):
    folder = archive.parent / "data"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_everything_comes_out_as_it_went_in(pack):
    archive = pack(CONTENT)
    facts = _unpack(archive)
    assert {fact.path: (fact.size, fact.hash) for fact in facts} == {
        name: (len(content), sha256(content)) for name, content in CONTENT.items()
    }
    assert all((archive.parent / "data" / name).read_bytes() == content for name, content in CONTENT.items())
    assert not (archive.parent / "aside").exists()
    assert _unpack(archive) == facts  # the same files may be there already


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "a\\..\\out", "C:out", "a/\x01b", "x" * 300])
def test_names_that_lead_out(pack, name):
    archive = pack({"good": b"1", name: b"2"})
    with pytest.raises(ValueProblem, match="would not stay in its folder"):
        _unpack(archive)
    assert _out(archive) == []
    assert not (archive.parent / "out").exists()


def test_two_members_of_one_name(pack):
    archive = pack({"a/One": b"1", "a/one": b"2"})
    with pytest.raises(UnsafeArchive, match=r"two members of one name\n  got: a/one"):
        _unpack(archive)
    assert _out(archive) == []


def test_bombs(pack):
    archive = pack({"zeros": bytes(3_000_000)})
    with pytest.raises(UnsafeArchive, match=r"far more than it weighs\n  got: 3000000 bytes out of \d+"):
        _unpack(archive, limits=Limits(ratio=0.5, small=1000))
    with pytest.raises(UnsafeArchive, match=r"too many members\n  got: more than 2"):
        _unpack(pack(CONTENT), limits=Limits(members=2))
    assert _out(archive) == []


def test_a_real_bomb(tmp_path):
    archive = _zip(tmp_path / "a.zip", {f"{i}": bytes(11_000_000) for i in range(10)})
    assert archive.stat().st_size < 200_000
    with pytest.raises(UnsafeArchive, match="far more than it weighs"):
        _unpack(archive)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar_files(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("innocent")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(UnsafeArchive, match=r"a link or a device\n  got: innocent"):
        _unpack(tmp_path / "a.tar")


def test_links_in_zip_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        entry = zipfile.ZipInfo("innocent")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="a link or a device"):
        _unpack(tmp_path / "a.zip")


def test_passwords(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a": b"secret"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(UnsafeArchive, match="behind a password"):
        _unpack(path)


def test_a_member_that_is_larger_than_it_says(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a": b"x" * 5000})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises((UnsafeArchive, UnreadableFile), match="larger than it says|damaged"):
        _unpack(path)
    assert _out(path) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "empty"])
def test_damaged_archives(pack, damage):
    archive = pack({"a/b": bytes(range(256)) * 400, "c": b"c" * 90_000})
    data = bytearray(archive.read_bytes())
    middle = len(data) // 3
    if damage == "flip" and archive.suffix == ".tar":
        middle = 3  # in the header: a plain tar file has a checksum of that, and none of its content
    data = {
        "cut": data[:middle],
        "flip": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        "text": b"<html>not an archive</html>",
        "empty": b"",
    }[damage]
    archive.write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"damaged, or is none\n  got: a\."):
        _unpack(archive)
    assert _out(archive) == []
    assert not (archive.parent / "aside").exists()


def test_too_little_room(pack, monkeypatch):
    archive = pack(CONTENT)
    monkeypatch.setattr("brainalign.datasets.archive.shutil.disk_usage", lambda _: type("U", (), {"free": 1000})())
    with pytest.raises(StoreProblem, match=r"no room to unpack[\s\S]*0.00 GB are free"):
        _unpack(archive)


def test_a_full_disk_is_not_the_archives_fault(pack, monkeypatch):
    archive = pack(CONTENT)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brainalign.datasets.archive._stream", full)
    with pytest.raises(OSError, match="No space left") as caught:
        _unpack(archive)
    assert not isinstance(caught.value, UnreadableFile)


def test_folders_are_no_files(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in (".", "./a"):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        entry = tarfile.TarInfo("./a/b.txt")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"b"))
    assert [fact.path for fact in _unpack(path)] == ["a/b.txt"]


def test_a_link_in_the_target_is_not_followed(pack, tmp_path):
    archive = pack(CONTENT)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "eeg").symlink_to(outside)
    with pytest.raises(ValueProblem, match="symbolic link stands in the way"):
        _unpack(archive)
    assert list(outside.iterdir()) == []


def test_paths_that_are_fine(tmp_path):
    for name in ("a", "a/b.c", "sub-01/eeg/x y.set", "..a", "a..", "...", "ä/ö"):
        assert below(tmp_path, name) == tmp_path / relative_path(name)


@given(st.text(alphabet="ab./\\:~ \n\x00", max_size=12))
def test_no_name_leads_out(name):
    """Whatever is accepted stays below the folder it is joined to, whatever happens to links and dots."""
    try:
        path = relative_path(name)
    except ValueProblem:
        return
    assert Path(os.path.normpath(Path("folder") / path)).is_relative_to("folder")
    assert path.parts
    assert not path.is_absolute()
