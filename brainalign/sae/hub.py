"""How does a sparse coder get from a hub id to a folder? The few files it is made of, all of one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath

from transformers.utils.hub import cached_file, extract_commit_hash

from brainalign.core.errors import MissingFile, ValueProblem


@dataclass(frozen=True)
class Fetched:
    """A folder in the hub's cache, and what it is a copy of.

    Parameters
    ----------
    folder
        Where the files are.
    hub_id
        ``owner/name``.
    commit
        The commit they are of; None where the cache does not say.
    """

    folder: Path
    hub_id: str
    commit: str | None


def looks_like_hub_id(source: str | Path) -> bool:
    """Whether a source can only mean a repository: ``owner/name``, perhaps with a folder in it.

    >>> looks_like_hub_id("owner/coders/layer_9"), looks_like_hub_id("./coders")
    (True, False)
    """
    if isinstance(source, Path):
        return False
    parts = PurePosixPath(source).parts
    return len(parts) >= 2 and not source.startswith((".", "~", "/")) and "\\" not in source and ":" not in source


def fetch_coder(
    source: str, *, revision: str | None, layer: int | None, formats: Mapping[str, tuple[Sequence[str], Sequence[str]]]
) -> Fetched:
    """Fetch a coder's files through the hub's cache (nothing else of the repository is downloaded).

    The first file decides the commit, and all others are asked for at that commit: a branch that
    moves meanwhile cannot mix two coders.

    Parameters
    ----------
    source
        ``owner/name`` or ``owner/name/folder/in/it``.
    revision
        Branch, tag or commit.
    layer
        Where it is given, a folder ``layer_{n}`` is looked for before the source's own.
    formats
        For each format the files that must be there, and those that may be.
    """
    parts = PurePosixPath(source).parts
    if ".." in parts:
        raise ValueProblem("a hub id does not climb", got=source, fix="give owner/name/folder")
    hub_id, inside = "/".join(parts[:2]), PurePosixPath(*parts[2:])
    places = [inside / f"layer_{layer}", inside] if layer is not None else [inside]
    reasons: list[str] = []
    for place, (needed, optional) in product(places, formats.values()):
        wanted = [str(place / name) for name in needed]
        if (found := _first_commit(hub_id, wanted, revision=revision, reasons=reasons)) is not None:
            for name in optional:
                _file(hub_id, str(place / name), revision=found.commit, reasons=reasons)
            return found
    at = "" if revision is None else f" at {revision}"
    raise MissingFile(
        "there is no such folder, and the hub gave no sparse coder either",
        got=f"{source!r}{at}: {reasons[0] if reasons else 'none of the files that are looked for'}",
        fix="check the name, the layer and the network (a gated repository needs a login), or give a local folder",
    )


def _first_commit(hub_id: str, names: Sequence[str], *, revision: str | None, reasons: list[str]) -> Fetched | None:
    """Fetch files, the others at the commit of the first; None where one of them is not there."""
    commit, path = revision, None
    for name in names:
        path = _file(hub_id, name, revision=commit, reasons=reasons)
        if path is None:
            return None
        commit = extract_commit_hash(str(path), None) or commit
    return None if path is None else Fetched(path.parent, hub_id, commit)


def _file(hub_id: str, name: str, *, revision: str | None, reasons: list[str]) -> Path | None:
    """Find one file in the cache or on the hub; None where the repository does not have it."""
    try:
        found = cached_file(hub_id, name, revision=revision, _raise_exceptions_for_missing_entries=False)
    except OSError as error:  # No repository, no network, no permission: told at the end.
        reasons.append((str(error).strip() or type(error).__name__).splitlines()[0])
        return None
    return None if found is None else Path(found)
