"""Which files are asked for? Those of some listeners, runs and parts of a dataset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from brainalign.core.errors import UnknownName, ValueProblem, unknown_name
from brainalign.datasets.listing import read_listing
from brainalign.datasets.manifest import LISTINGS, Dataset, Files

_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class RemoteFile:
    """One file that can be fetched.

    Parameters
    ----------
    path
        Where it goes, relative to the dataset's folder.
    url
        Where it comes from; empty if no address is known.
    size, hash
        Bytes (None if unknown), and ``"sha256:..."``, ``"md5:..."`` or empty.
    part
        The part of the dataset that it belongs to.
    subject, run
        Whose and which, as the dataset writes them; empty for files of all listeners or runs.
    unpack
        Whether it is an archive to be unpacked.
    optional
        Whether the server may lack it.
    """

    path: str
    url: str
    size: int | None = None
    hash: str = ""
    part: str = ""
    subject: str = ""
    run: str = ""
    unpack: bool = False
    optional: bool = False


def all_files(dataset: Dataset) -> tuple[RemoteFile, ...]:
    """List every file that is known of a dataset, sorted by path.

    What a listing says of a file's size and hash goes into the manifest's own entry of that path.
    Files that belong to no part (a dataset's MRI) are left out.
    """
    entries = {entry.path: entry for pattern in dataset.files for entry in pattern.each()}
    for fact in read_listing(LISTINGS / dataset.listing) if dataset.listing else ():
        own = entries.get(fact.path) or Files(path=fact.path)
        entries[fact.path] = own.model_copy(update={"size": fact.size, "hash": fact.hash or None})
    found = (_remote(dataset, entries[path]) for path in sorted(entries))
    return tuple(file for file in found if file is not None)


def choose_files(
    dataset: Dataset,
    *,
    subjects: Sequence[str] = (),
    runs: Sequence[str] = (),
    parts: Sequence[str] = (),
) -> tuple[RemoteFile, ...]:
    """Choose files of a dataset.

    Parameters
    ----------
    dataset
        An entry of the manifest.
    subjects, runs
        As the dataset writes them or as plain numbers, ranges included: ``["1-3", "sub-007"]``.
        None given means all. Files that belong to no listener or run in particular always come.
    parts
        Names of parts; none given means the dataset's usual ones.

    Returns
    -------
    tuple of RemoteFile
        Sorted by path.
    """
    for part in parts:
        if part not in dataset.parts:
            raise unknown_name(part, among=dataset.parts, kind="part of this dataset")
    wanted = parts or [name for name, part in dataset.parts.items() if part.default]
    files = [file for file in all_files(dataset) if file.part in wanted]
    for kind, asked in (("subject", subjects), ("run", runs)):
        if asked:
            kept = matching({getattr(file, kind) for file in files} - {""}, asked, kind=kind)
            files = [file for file in files if getattr(file, kind) in kept | {""}]
    return tuple(files)


def _remote(dataset: Dataset, entry: Files) -> RemoteFile | None:
    for name, part in dataset.parts.items():
        for pattern in part.match:
            match = re.fullmatch(pattern, entry.path)
            if match:
                told = match.groupdict(default="")
                url = entry.url or (f"{dataset.base}{quote(entry.path)}" if dataset.base else "")
                return RemoteFile(
                    entry.path,
                    url,
                    size=entry.size,
                    hash=entry.hash or "",
                    part=name,
                    subject=told.get("subject", ""),
                    run=told.get("run", ""),
                    unpack=entry.unpack,
                    optional=entry.optional,
                )
    return None


def matching(have: set[str], asked: Iterable[str], *, kind: str) -> set[str]:
    """Return the names that are meant; one that fits none is refused.

    Parameters
    ----------
    have
        The names that there are.
    asked
        Names, plain numbers and ranges of numbers: ``["sub-007", "1-3,9"]``.
    kind
        What they name, for the message.

    Examples
    --------
    >>> sorted(matching({"sub-01", "sub-02", "sub-10"}, ["1-2"], kind="subject"))
    ['sub-01', 'sub-02']
    """
    kept: set[str] = set()
    for word in (part for text in asked for part in _spread(text)):
        fitting = {name for name in have if _key(name) == _key(word) or _number(name) == _plain_number(word)}
        if not fitting:
            known = ", ".join(sorted(have)) or f"none: this dataset's files are not kept by {kind}"
            raise UnknownName(f"the dataset has no {kind} of that name", got=repr(word), fix=f"known: {known}")
        kept |= fitting
    return kept


def _spread(text: str) -> list[str]:
    """Take a list or range of numbers apart: ``"1,3-5"`` is 1, 3, 4, 5."""
    words: list[str] = []
    for word in (part.strip() for part in text.split(",")):
        match = _RANGE.fullmatch(word)
        if match and int(match[1]) > int(match[2]):
            raise ValueProblem("a range goes from the smaller to the larger number", got=word, fix="swap them")
        words += [str(n) for n in range(int(match[1]), int(match[2]) + 1)] if match else [word]
    return words


def _key(name: str) -> tuple[str, int | None]:
    """Split a name into its letters and its number: ``sub-HK007`` is ('hk', 7)."""
    bare = re.sub(r"^(sub|run|ses)-", "", name.strip().lower())
    match = re.fullmatch(r"(.*?)(\d+)", bare)
    return (match[1], int(match[2])) if match else (bare, None)


def _number(name: str) -> int | None:
    return _key(name)[1]


def _plain_number(word: str) -> int | None:
    """Return a word's number if it is nothing else: '7' fits HK007, and 'S7' does not."""
    return int(word) if word.isdigit() else -1
