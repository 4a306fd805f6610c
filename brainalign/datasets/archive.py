"""What comes out of an archive, and does it stay where it is put? Zip and tar files, unpacked without trust.

Absolute names, ``..``, links, devices, two members of one name, passwords, and archives that
unfold to far more than they weigh are refused before anything reaches the data's folder:
members are written beside it, checked, and moved in when all of them are whole.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from brainalign.core.errors import BrainalignError, StoreProblem, UnreadableFile
from brainalign.core.hashing import file_digest
from brainalign.datasets.listing import FileFact
from brainalign.datasets.paths import below, relative_path

_CHUNK_BYTES = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class UnsafeArchive(BrainalignError, ValueError):
    """An archive holds what no data archive needs, and what could do harm."""


@dataclass(frozen=True)
class Limits:
    """How much may come out of an archive.

    Parameters
    ----------
    ratio
        Bytes that come out, at most, for each byte of the archive. Recordings shrink to a half, tables to a tenth.
    members
        Number of members.
    small
        Up to so many bytes in all, the ratio is not looked at.
    """

    ratio: float = 100.0
    members: int = 200_000
    small: int = 100 << 20


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    entry: zipfile.ZipInfo | tarfile.TarInfo


def unpack(archive: Path, folder: Path, *, aside: Path, limits: Limits | None = None) -> tuple[FileFact, ...]:
    """Unpack an archive into a folder, all of it or nothing.

    Parameters
    ----------
    archive
        A zip file or a tar file, compressed or not.
    folder
        Where its members go.
    aside
        A folder on the same disk for members that are not yet whole; it is emptied first.
    limits
        How much may come out.

    Returns
    -------
    tuple of FileFact
        The files, with sizes and hashes, paths relative to `folder`.
    """
    limits = limits or Limits()
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with _opened(archive) as opened:
            members = _checked(archive, opened, limits=limits)
            _require_room(archive, members, folder=aside)
            facts = tuple(_write(archive, opened, member, aside=aside) for member in members)
        _move_in(archive, facts, aside=aside, folder=folder)
        return facts
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    """Open an archive; whatever is wrong with its bytes, now or while it is read, is told in one way."""
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                yield zipped
        else:
            with tarfile.open(archive) as tarred:
                yield tarred
    except BrainalignError:
        raise
    except _DAMAGE as error:
        # An error with a number is the disk's, not the archive's.
        if getattr(error, "errno", None) is not None:
            raise
        raise UnreadableFile(
            "this archive is damaged, or is none",
            got=f"{archive.name}: {type(error).__name__}: {error}",
            fix=f"remove it and fetch again; read are {', '.join(ENDINGS)}",
        ) from error


def _checked(archive: Path, opened: zipfile.ZipFile | tarfile.TarFile, *, limits: Limits) -> list[_Member]:
    """List the files of an archive, and refuse the archive if one of its members is not to be trusted."""
    members: list[_Member] = []
    seen: set[str] = set()
    total = 0
    for entry in _entries(opened):
        name = entry.filename if isinstance(entry, zipfile.ZipInfo) else entry.name
        _require_plain(archive, entry, name)
        if (entry.is_dir() if isinstance(entry, zipfile.ZipInfo) else entry.isdir()) or name in (".", "./"):
            continue
        path = relative_path(name.removeprefix("./")).as_posix()
        # Two names that differ in case only are one file on many disks.
        if path.lower() in seen:
            raise _unsafe(archive, "it holds two members of one name", got=path)
        seen.add(path.lower())
        size = entry.file_size if isinstance(entry, zipfile.ZipInfo) else entry.size
        total += size
        members.append(_Member(path, size, entry))
        if len(members) > limits.members:
            raise _unsafe(archive, "it holds too many members", got=f"more than {limits.members}")
        if total > max(limits.small, limits.ratio * archive.stat().st_size):
            weight = archive.stat().st_size
            raise _unsafe(archive, "it unfolds to far more than it weighs", got=f"{total} bytes out of {weight}")
    return members


def _entries(opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[zipfile.ZipInfo | tarfile.TarInfo]:
    yield from opened.infolist() if isinstance(opened, zipfile.ZipFile) else opened


def _require_plain(archive: Path, entry: zipfile.ZipInfo | tarfile.TarInfo, name: str) -> None:
    """Refuse links, devices, encrypted members and names that lead out of the folder."""
    if isinstance(entry, zipfile.ZipInfo):
        kind = stat.S_IFMT(entry.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        if entry.flag_bits & 0x1:
            raise _unsafe(archive, "it holds a member behind a password", got=name)
    else:
        plain = entry.isfile() or entry.isdir()
    if not plain:
        raise _unsafe(archive, "it holds a link or a device", got=name)
    bare = name.removeprefix("./").rstrip("/")
    if bare not in ("", "."):
        relative_path(bare)


def _require_room(archive: Path, members: list[_Member], *, folder: Path) -> None:
    needed, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise StoreProblem(
            f"there is no room to unpack {archive.name}",
            got=f"{needed / 1e9:.2f} GB will come out, and {free / 1e9:.2f} GB are free",
            fix="make room, or choose a folder on another disk with --to",
        )


def _write(archive: Path, opened: zipfile.ZipFile | tarfile.TarFile, member: _Member, *, aside: Path) -> FileFact:
    """Write one member, not a byte more than it said it has."""
    target = aside / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    state, written = hashlib.sha256(), 0
    with _stream(opened, member) as source, target.open("xb") as sink:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > member.size:
                raise _unsafe(
                    archive, "a member is larger than it says", got=f"{member.name}: over {member.size} bytes"
                )
            state.update(chunk)
            sink.write(chunk)
    if written < member.size:
        raise UnreadableFile(
            "this archive is damaged, or is none",
            got=f"{archive.name}: {member.name} ends after {written} of {member.size} bytes",
            fix="remove it and fetch again",
        )
    return FileFact(member.name, written, f"sha256:{state.hexdigest()}")


def _stream(opened: zipfile.ZipFile | tarfile.TarFile, member: _Member) -> IO[bytes]:
    if isinstance(opened, zipfile.ZipFile):
        return opened.open(member.entry)  # type: ignore[arg-type]
    stream = opened.extractfile(member.entry)  # type: ignore[arg-type]
    if stream is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    return stream


def _move_in(archive: Path, facts: tuple[FileFact, ...], *, aside: Path, folder: Path) -> None:
    """Move whole members into the folder; a file that is there already must be the same one."""
    for fact in facts:
        target = below(folder, fact.path)
        if target.exists() and f"sha256:{file_digest(target)}" != fact.hash:
            raise StoreProblem(
                f"unpacking {archive.name} would overwrite a file that is another",
                got=target.name,
                fix="move that file away, or unpack into an empty folder",
            )
    for fact in facts:
        target = folder / fact.path
        target.parent.mkdir(parents=True, exist_ok=True)
        (aside / fact.path).replace(target)


def _unsafe(archive: Path, what: str, *, got: str) -> UnsafeArchive:
    return UnsafeArchive(
        f"{archive.name} is not unpacked: {what}",
        got=got,
        fix="no data archive needs this: compare its hash with its source, and unpack it by hand if you trust it",
    )
