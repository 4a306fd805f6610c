"""Who is training in this folder? One process at a time: two that resume one run would mix their checkpoints."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainalign.core.errors import StoreProblem
from brainalign.core.processes import is_running, started

NAME = "training.lock"
# Another machine's processes cannot be asked: they are believed dead after this long without a sign of life.
FOREIGN_S, _BEAT_S = 600.0, 30.0


class Lock:
    """A lock that this process holds.

    Parameters
    ----------
    path
        The lock's file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._beat_at = path, time.monotonic()

    def beat(self) -> None:
        """Give a sign of life, to be called with every step: it touches the file twice a minute."""
        if time.monotonic() - self._beat_at >= _BEAT_S:
            self._beat_at = time.monotonic()
            with suppress(OSError):
                os.utime(self._path)


@contextmanager
def only_training(folder: Path) -> Iterator[Lock]:
    """Keep a run's folder to this training; a lock whose process is gone is taken over.

    Parameters
    ----------
    folder
        The run's; made where it is missing.

    Yields
    ------
    Lock
        To be told that this training lives.

    Raises
    ------
    StoreProblem
        Another training is at work in the folder.
    """
    path = folder / NAME
    _take(path)
    try:
        yield Lock(path)
    finally:
        path.unlink(missing_ok=True)


def _take(path: Path) -> None:
    note = {"host": socket.gethostname(), "pid": os.getpid(), "started": started(os.getpid())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _read(path)
        if held and _is_gone(path, held):
            _remove(path, held)
        with path.open("x", encoding="utf-8") as file:
            json.dump(note, file)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        fix = "choose a folder you may write to, or change the permissions"
        raise StoreProblem("the training's folder cannot be written to", got=f"{path}: {error}", fix=fix) from error


def _read(path: Path) -> str | None:
    """Return what the lock says, ``"{}"`` where it was never written to the end, None where there is none."""
    try:
        return path.read_text(encoding="utf-8") or "{}"
    except FileNotFoundError:
        return None


def _is_gone(path: Path, held: str) -> bool:
    note = _parsed(held)
    if note.get("host") == socket.gethostname() and isinstance(note.get("pid"), int):
        return not is_running(note["pid"], since=str(note.get("started", "")))
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > FOREIGN_S
    return False


def _parsed(held: str) -> dict[str, Any]:
    try:
        note = json.loads(held)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _remove(path: Path, held: str) -> None:
    """Remove a dead process's lock, and put it back where it has become a living one's in the meantime."""
    aside = path.with_name(f".{NAME}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if _read(aside) == held:
            aside.unlink()
        else:
            aside.rename(path)


def _taken(path: Path) -> StoreProblem:
    note = _parsed(_read(path) or "{}")
    return StoreProblem(
        "another training is at work in this folder",
        got=f"{path}: process {note.get('pid', '?')} on {note.get('host', '?')}",
        fix="wait for it, give this training a folder of its own, or delete the file if that process is gone",
    )
