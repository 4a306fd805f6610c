"""May this name be written below that folder? Names out of archives, listings and servers are not trusted."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from brainalign.core.errors import ValueProblem

MAX_NAME_CHARACTERS = 200
MAX_PATH_CHARACTERS = 1000
_DRIVE = re.compile(r"^[A-Za-z]:")


def relative_path(name: str) -> PurePosixPath:
    """Return a name as a path that stays below the folder it is put in, or refuse it.

    Absolute paths, ``..``, drive letters, backslashes, control characters and names longer than
    file systems take are refused.

    >>> relative_path("sub-001/eeg/a.vhdr")
    PurePosixPath('sub-001/eeg/a.vhdr')
    """
    parts = name.rstrip("/").split("/")
    unsafe = (
        not name.strip("/")
        or name.startswith("/")
        or _DRIVE.match(name) is not None
        or "\\" in name
        or any(ord(character) < 32 or ord(character) == 127 for character in name)
        or any(part in ("", ".", "..") or len(part.encode()) > MAX_NAME_CHARACTERS for part in parts)
        or len(name) > MAX_PATH_CHARACTERS
    )
    if unsafe:
        raise ValueProblem(
            "this name of a file would not stay in its folder",
            got=repr(name[:200]),
            fix="do not trust where it came from; names are relative, with '/', without '..'",
        )
    return PurePosixPath("/".join(parts))


def below(folder: Path, name: str) -> Path:
    """Return where a name lies below a folder, and refuse a way there that leads out through a symbolic link."""
    target = folder / relative_path(name)
    root = folder.resolve()
    if not target.parent.resolve().is_relative_to(root) or target.is_symlink():
        raise ValueProblem(
            "a symbolic link stands in the way of a file that is to be written",
            got=f"{name} in {folder.name} leads to {target.resolve().as_posix()}",
            fix="remove the link, or choose another folder with --to",
        )
    return target
