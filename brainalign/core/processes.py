"""Is the process that left a note still at work? Numbers are given out again, and the dead may keep theirs."""

from __future__ import annotations

import os
from pathlib import Path


def is_running(pid: int, *, since: str = "") -> bool:
    """Tell whether a process of this machine still runs.

    Parameters
    ----------
    pid
        Its number.
    since
        What `started` said of it: a process that has been given the same number later is another one.
    """
    state = _state(pid)
    if state and state[0] == "Z":  # in many containers nobody collects orphans, and only their number is left
        return False
    if since and state and state[1] != since:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def started(pid: int) -> str:
    """Return when a process began, in the system's own count; nothing where there is no ``/proc``."""
    state = _state(pid)
    return state[1] if state else ""


def _state(pid: int) -> tuple[str, str] | None:
    """Return (on Linux) a process's state and when it began."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = status.rpartition(")")[2].split()  # the name before may hold anything
    return (fields[0], fields[19]) if len(fields) > 19 else None
