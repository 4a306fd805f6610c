"""What has to be made, from what, and under which keys?

A plan is a directed graph of tasks. A task's key is the SHA-256 of all that decides its
result: stage, version, settings, the keys of its inputs, the content of its files. The
task's own name is not part of it, so the same work has the same key in every study.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brainalign.core.errors import MissingFile, UnreadableFile, ValueProblem, unknown_name
from brainalign.core.hashing import digest, file_digest
from brainalign.pipeline.stage import Task, check_task_name


@dataclass(frozen=True)
class Parts:
    """All that decides a task's key.

    Parameters
    ----------
    stage, version
        The stage's.
    settings
        The slice of the configuration, as JSON values.
    inputs
        The key (or keys) of each input.
    files
        ``(name, SHA-256)`` of each file; the name is for people and no part of the key.
    """

    stage: str
    version: int
    settings: Any
    inputs: Mapping[str, str | tuple[str, ...]]
    files: tuple[tuple[str, str], ...]

    def key(self) -> str:
        """Return ``stage/<SHA-256>``, the address in the store."""
        identity = [self.stage, self.version, self.settings, self.inputs, [content for _, content in self.files]]
        names = ["stage", "version", "settings", "inputs", "files"]
        return f"{self.stage}/{digest(dict(zip(names, identity, strict=True)))}"


class Plan:
    """Tasks in an order in which they can be done.

    Parameters
    ----------
    name
        The study's name; what was made last is remembered under it.
    tasks
        In any order. Names used twice, unknown inputs and circles are refused.
    """

    def __init__(self, name: str, tasks: Sequence[Task]) -> None:
        check_task_name(name)
        self.name = name
        given = _by_name(tasks)
        self.levels = _levels(given)
        self._tasks = {name: given[name] for level in self.levels for name in level}

    def __len__(self) -> int:
        """Count the tasks."""
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        """Go through the tasks, each after its inputs."""
        return iter(self._tasks.values())

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a task of that name."""
        return name in self._tasks

    def __getitem__(self, name: str) -> Task:
        """Return a task by name."""
        if name not in self._tasks:
            raise unknown_name(name, among=self._tasks, kind="task")
        return self._tasks[name]

    @cached_property
    def parts(self) -> Mapping[str, Parts]:
        """What decides each task's key. The first use reads (and hashes) the input files."""
        contents: dict[Path, str] = {}
        keys: dict[str, str] = {}
        parts: dict[str, Parts] = {}
        for task in self:
            parts[task.name] = _parts(task, keys=keys, contents=contents)
            keys[task.name] = parts[task.name].key()
        return MappingProxyType(parts)

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """The address of each task's artefact in the store."""
        return MappingProxyType({name: parts.key() for name, parts in self.parts.items()})

    def key(self, name: str) -> str:
        """Return the address of one task's artefact in the store."""
        return self.keys[self[name].name]


def _by_name(tasks: Sequence[Task]) -> dict[str, Task]:
    by_name: dict[str, Task] = {}
    for task in tasks:
        if task.name in by_name:
            raise ValueProblem("two tasks share a name", got=repr(task.name), fix="give each task a name of its own")
        by_name[task.name] = task
    for task in tasks:
        for need in task.needs():
            if need not in by_name:
                raise unknown_name(need, among=by_name, kind=f"task (an input of {task.name!r})")
    return by_name


def _levels(tasks: Mapping[str, Task]) -> tuple[tuple[str, ...], ...]:
    """Group tasks so that each group needs only earlier groups; the order of listing is kept."""
    levels: list[tuple[str, ...]] = []
    done: set[str] = set()
    left = {name: set(task.needs()) for name, task in tasks.items()}
    while left:
        ready = tuple(name for name, needs in left.items() if needs <= done)
        if not ready:
            raise ValueProblem("tasks need each other in a circle", got=_circle(left), fix="take one input away")
        levels.append(ready)
        done.update(ready)
        left = {name: needs for name, needs in left.items() if name not in done}
    return tuple(levels)


def _circle(left: Mapping[str, set[str]]) -> str:
    """Write one circle among tasks that all wait for another one of them."""
    path = [min(left)]
    while path.count(path[-1]) == 1:
        path.append(min(left[path[-1]] & left.keys()))
    return " <- ".join(path[path.index(path[-1]) :])


def _parts(task: Task, *, keys: Mapping[str, str], contents: dict[Path, str]) -> Parts:
    for path in task.files:
        if path not in contents:
            contents[path] = _content(path, task=task.name)
    inputs = {
        name: keys[made] if isinstance(made, str) else tuple(keys[one] for one in made)
        for name, made in task.inputs.items()
    }
    files = tuple((path.name, contents[path]) for path in task.files)
    return Parts(task.stage.name, task.stage.version, task.slice(), inputs, files)


def _content(path: Path, *, task: str) -> str:
    """Hash a file, or a folder by the names and contents of all files in it."""
    if not path.exists():
        raise MissingFile(
            f"a file that {task} reads does not exist", got=path, fix="check the path in the configuration"
        )
    try:
        if path.is_dir():
            inside = sorted(item for item in path.rglob("*") if item.is_file())
            return digest({item.relative_to(path).as_posix(): file_digest(item) for item in inside})
        return file_digest(path)
    except OSError as error:
        raise UnreadableFile(
            f"a file that {task} reads cannot be opened",
            got=f"{path}: {error.strerror or error}",
            fix="check its permissions",
        ) from error
