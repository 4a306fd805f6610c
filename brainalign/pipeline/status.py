"""What is done, what is not, and why would it be done again?

The store remembers, per run, how each task was last made; when its key has changed since,
the parts that differ are named: a setting, a file, an input, the stage's version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from joblib import cpu_count

from brainalign.core.hashing import plain
from brainalign.pipeline.plan import Plan
from brainalign.pipeline.store import Condition, Store

_MAX_CHANGES = 4
_MAX_TEXT = 40
_NOTHING = object()


class State(StrEnum):
    """Where a task stands."""

    DONE = "done"
    MISSING = "missing"
    STALE = "stale"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class TaskStatus:
    """Where a task stands, why, and under which key its result is (to be) kept."""

    task: str
    state: State
    reason: str
    key: str


def status(plan: Plan, store: Store, *, verify: bool = True) -> tuple[TaskStatus, ...]:
    """Tell where each task of a plan stands. Nothing is changed.

    Parameters
    ----------
    plan, store
        What is asked for, and where it would be kept.
    verify
        Check results against their hashes; else that they are there is believed.
    """
    found = _conditions(plan, store, verify=verify)
    return tuple(_status(plan, store, name, condition=found[key]) for name, key in plan.keys.items())


def _conditions(plan: Plan, store: Store, *, verify: bool) -> dict[str, Condition]:
    keys = tuple(dict.fromkeys(plan.keys.values()))
    if not verify:
        return {key: Condition.SOUND if store.has(key) else Condition.ABSENT for key in keys}
    with ThreadPoolExecutor(cpu_count()) as pool:
        return dict(zip(keys, pool.map(store.condition, keys), strict=True))


def _status(plan: Plan, store: Store, name: str, *, condition: Condition) -> TaskStatus:
    key = plan.key(name)
    if condition is Condition.SOUND:
        return TaskStatus(name, State.DONE, "", key)
    if condition is Condition.DAMAGED:
        return TaskStatus(name, State.DAMAGED, "its content does not match its hashes; a run makes it again", key)
    before = store.recall(plan.name, name)
    if before is None:
        return TaskStatus(name, State.MISSING, "not made yet", key)
    changes = tuple(_changes(before, plain(plan.parts[name])))
    if not changes:
        return TaskStatus(name, State.MISSING, "was made, and is no longer in the store", key)
    more = len(changes) - _MAX_CHANGES
    reason = "; ".join(changes[:_MAX_CHANGES]) + (f"; and {more} more" if more > 0 else "")
    return TaskStatus(name, State.STALE, reason, key)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Name the parts of a key that differ."""
    if before.get("stage") != now["stage"]:
        yield f"stage {before.get('stage')} -> {now['stage']}"
    if before.get("version") != now["version"]:
        yield f"stage version {before.get('version')} -> {now['version']}"
    for change in _differences(before.get("settings"), now["settings"]):
        yield f"settings: {change}"
    yield from _file_changes(before.get("files", []), now["files"])
    yield from _input_changes(before.get("inputs", {}), now["inputs"])


def _differences(before: Any, now: Any, *, where: str = "") -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted(before.keys() | now.keys()):
            inside = f"{where}.{name}" if where else name
            yield from _differences(before.get(name, _NOTHING), now.get(name, _NOTHING), where=inside)
    elif before is _NOTHING:
        yield f"{where} added ({_short(now)})"
    elif now is _NOTHING:
        yield f"{where} taken away (was {_short(before)})"
    elif before != now:
        yield f"{where} {_short(before)} -> {_short(now)}".strip()


def _file_changes(before: list[Any], now: list[Any]) -> Iterator[str]:
    """Name files by what happened to them; their order counts too."""
    if before == now:
        return
    old, new = dict(before), dict(now)
    told = [f"file changed: {name}" for name in new if name in old and old[name] != new[name]]
    told += [f"file added: {name}" for name in new if name not in old]
    told += [f"file taken away: {name}" for name in old if name not in new]
    if told:
        yield from told
    elif [content for _, content in before] != [content for _, content in now]:
        yield "files in another order"


def _input_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if name not in before:
            yield f"input {name!r} added"
        elif name not in now:
            yield f"input {name!r} taken away"
        elif before[name] != now[name]:
            yield f"input {name!r} changed"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
