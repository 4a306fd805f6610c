"""What is each file's size and hash? Listings of many files, kept as compressed tables inside the package.

A listing has one line per file: path, size in bytes, kind of hash, hash; unknown values are ``-``.
Same lines, same bytes: the gzip header holds no time and no name.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brainalign.core.errors import MissingFile, UnreadableFile

HEADER = "path\tsize\thash_type\thash"
HASH_LENGTHS = {"md5": 32, "sha256": 64}
_UNKNOWN = "-"


@dataclass(frozen=True, order=True)
class FileFact:
    """What is known of one file.

    Parameters
    ----------
    path
        Relative to the dataset's folder, with ``/``.
    size
        Bytes; None if unknown.
    hash
        ``"sha256:..."`` or ``"md5:..."``; empty if unknown.
    """

    path: str
    size: int | None
    hash: str


def write_listing(path: Path, facts: Iterable[FileFact]) -> Path:
    """Write a listing, sorted by path."""
    lines = [HEADER, *(_line(fact) for fact in sorted(facts, key=lambda fact: fact.path))]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=9, mtime=0))
    return path


def read_listing(path: Path) -> tuple[FileFact, ...]:
    """Read a listing, compressed or not."""
    if not path.exists():
        raise MissingFile(
            "a listing of files is not there", got=path.name, fix="reinstall brainalign: its listings come with it"
        )
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        header, *lines = text.splitlines()
        if header != HEADER:
            raise ValueError(f"the first line is {header!r}")
        return tuple(_fact(line) for line in lines)
    except (OSError, EOFError, ValueError) as error:
        raise UnreadableFile(
            "a listing of files cannot be read", got=f"{path.name}: {error}", fix=f"its first line must be {HEADER!r}"
        ) from error


def _line(fact: FileFact) -> str:
    kind, _, value = fact.hash.partition(":")
    size = _UNKNOWN if fact.size is None else str(fact.size)
    return "\t".join((fact.path, size, kind or _UNKNOWN, value or _UNKNOWN))


def _fact(line: str) -> FileFact:
    path, size, kind, value = line.split("\t")
    if kind != _UNKNOWN and HASH_LENGTHS.get(kind) != len(value):
        raise ValueError(f"{path} has a hash {kind}:{value}")
    return FileFact(path, None if size == _UNKNOWN else int(size), "" if kind == _UNKNOWN else f"{kind}:{value}")
