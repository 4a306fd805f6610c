"""Where do results live, and when is one believed?

A content-addressed folder: ``<stage>/<key>/`` holds an artefact, written whole or not at
all. Its hashes are checked once per process before it is used; a damaged one is moved to
``damaged/``, never deleted. ``index/<run>/<task>.json`` remembers how each task was last
made, and ``running/`` holds the notes of runs in progress.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from brainalign.core.artefact import Artefact, read_artefact, verify_artefact, write_artefact
from brainalign.core.errors import BrainalignError, DamagedArtefact, MissingFile, StoreProblem
from brainalign.core.hashing import canonical_json
from brainalign.core.processes import is_running

MIN_FREE_BYTES = 256 * 2**20
_FOREIGN_RUN_S = 600.0
_MANY = 10_000


class Condition(StrEnum):
    """What is found at an address."""

    ABSENT = "absent"
    SOUND = "sound"
    DAMAGED = "damaged"


class Store:
    """A folder of artefacts by key. Making the object touches nothing.

    Parameters
    ----------
    folder
        Where it is, or is to be.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._believed: set[str] = set()

    def path(self, key: str) -> Path:
        """Return the folder of an artefact."""
        return self.folder / key

    def has(self, key: str) -> bool:
        """Tell whether there is an artefact, checked or not."""
        return self.path(key).is_dir()

    def condition(self, key: str) -> Condition:
        """Check an artefact against its hashes; at most once per process for a sound one."""
        if not self.has(key):
            return Condition.ABSENT
        if key not in self._believed:
            try:
                verify_artefact(self.path(key))
            except PermissionError as error:
                raise StoreProblem(
                    "a result in the store cannot be read",
                    got=f"{self.path(key)}: {error.strerror}",
                    fix="change its permissions, or choose another folder with --store",
                ) from error
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                # Whatever a broken header makes of itself: it is not what was written.
                return Condition.DAMAGED
            self._believed.add(key)
        return Condition.SOUND

    def get(self, key: str) -> Artefact:
        """Read an artefact, memory-mapped, its hashes checked once per process."""
        condition = self.condition(key)
        if condition is Condition.ABSENT:
            raise MissingFile(
                "this result has not been made yet", got=key, fix="run the study first: brainalign run CONFIG"
            )
        if condition is Condition.DAMAGED:
            raise DamagedArtefact(
                "a result in the store is damaged",
                got=self.path(key),
                fix="run the study again: it is set aside and made anew",
            )
        return read_artefact(self.path(key), verify=False)

    def put(self, key: str, artefact: Artefact) -> None:
        """Write an artefact, whole or not at all."""
        write_artefact(artefact, self.path(key))

    def set_aside(self, key: str) -> Path:
        """Move a damaged artefact to ``damaged/`` and tell where it lies now."""
        self._believed.discard(key)
        stem = key.replace("/", "-")
        aside = self.folder / "damaged"
        try:
            aside.mkdir(exist_ok=True)
            target = next(place for place in _numbered(aside / stem) if not place.exists())
            self.path(key).rename(target)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return target

    def prepare(self, *, min_free: int = MIN_FREE_BYTES) -> None:
        """Make sure that work can be kept: the folder is writable, has room and no leftovers of killed runs."""
        probe = self.folder / f".probe.{os.getpid()}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"brainalign")
            probe.unlink()
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        if free < min_free:
            raise StoreProblem(
                "there is too little room for the store",
                got=f"{free / 2**20:.0f} MiB free at {self.folder}",
                fix=f"free at least {min_free / 2**20:.0f} MiB, or choose another folder with --store",
            )
        self.tidy()

    def remember(self, run: str, task: str, record: dict[str, Any]) -> None:
        """Keep how a task of a run was last made."""
        path = self._record(run, task)
        if self.recall(run, task) != record:
            write_json(path, record)

    def recall(self, run: str, task: str) -> dict[str, Any] | None:
        """Tell how a task of a run was last made, if that is known."""
        return read_json(self._record(run, task))

    def _record(self, run: str, task: str) -> Path:
        return self.folder / "index" / run / f"{task}.json"

    def running_folder(self) -> Path:
        """Return the folder for this process's notes while it runs."""
        return self.folder / "running" / f"{socket.gethostname()}.{os.getpid()}"

    def tidy(self) -> None:
        """Remove what killed runs left half written, unless its process may still be alive."""
        here = socket.gethostname()
        now = time.time()
        for run in _inside(self.folder / "running", "*"):
            host, _, pid = run.name.rpartition(".")
            if host == here and not _at_work(pid):
                shutil.rmtree(run, ignore_errors=True)
            elif host != here and now - _modified(run) < _FOREIGN_RUN_S:
                return  # another machine is at work here, and its process numbers mean nothing to us
        for pattern in (".*.tmp", "*/.*.tmp", "index/*/.*.tmp"):
            for leftover in _inside(self.folder, pattern):
                if not _at_work(leftover.name.split(".")[-2]):
                    _remove(leftover)


def write_json(path: Path, value: Any) -> None:
    """Write JSON to a file, whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(canonical_json(value) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object, or nothing where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _unwritable(folder: Path, error: OSError) -> StoreProblem:
    if isinstance(error, BrainalignError):
        return StoreProblem(error.what, got=error.got, fix=error.fix)
    return StoreProblem(
        "the store cannot be written to",
        got=f"{folder}: {error.strerror or error}",
        fix="choose a folder you may write to with --store, or change the permissions",
    )


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    for number in range(2, _MANY):
        yield path.with_name(f"{path.name}-{number}")


def _inside(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _at_work(pid: str) -> bool:
    """Tell whether a process other than this one still runs under a number.

    A leftover with our own number is an earlier process's: nothing is being written yet.
    """
    return pid.isdecimal() and int(pid) != os.getpid() and is_running(int(pid))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()
