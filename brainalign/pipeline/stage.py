"""What is one piece of work, and what may it see?

A stage is a name, a version and a pure function; a task is one use of it. A task sees its
own slice of the configuration, its inputs and its files, and never the whole study, so
that its key changes when and only when something it depends on changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from brainalign.core.artefact import Artefact
from brainalign.core.errors import ValueProblem
from brainalign.core.hashing import plain

RESERVED = ("damaged", "index", "running")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_TASK_NAME = re.compile(r"[^\s./\\:*?\"<>|\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]{0,199}")

Inputs = Mapping[str, "Artefact | tuple[Artefact, ...]"]


class Progress(Protocol):
    """Where a run function tells how far it is; cheap, to be called as often as one likes."""

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell that ``done`` of ``total`` is reached, with a few words beside it."""


class Run(Protocol):
    """The work of a stage: a pure, module-level function."""

    def __call__(self, settings: Any, inputs: Any, *, files: tuple[Path, ...], progress: Progress) -> Artefact:
        """Make the artefact from the task's settings, its inputs (artefacts, by name) and its files."""
        ...


@dataclass(frozen=True)
class Stage:
    """A kind of work.

    Parameters
    ----------
    name
        Also the folder in the store: lower case letters, digits, ``-`` and ``_``.
    version
        To be raised when the function's results change; old artefacts are then not believed.
    run
        The function that does the work.
    """

    name: str
    version: int
    run: Run

    def __post_init__(self) -> None:
        if not _STAGE_NAME.fullmatch(self.name) or self.name in RESERVED:
            raise ValueProblem(
                "a stage's name cannot be used",
                got=repr(self.name),
                fix=f"lower case letters, digits, '-' and '_', and none of {', '.join(RESERVED)}",
            )


@dataclass(frozen=True)
class Task:
    """One use of a stage.

    Parameters
    ----------
    name
        Unique in its plan, e.g. ``"encode[trial-03]"``.
    stage
        What is done.
    settings
        The slice of the configuration that this work needs: a pydantic model, a dataclass or a mapping.
    inputs
        What it is made from: a name and the task (or tuple of tasks, order kept) that makes it.
    files
        Files or folders it reads. Their content enters the key, their names do not.
    """

    name: str
    stage: Stage
    settings: Any = field(default_factory=dict)
    inputs: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    files: Sequence[Path] = ()

    def __post_init__(self) -> None:
        check_task_name(self.name)
        frozen = {name: made if isinstance(made, str) else tuple(made) for name, made in self.inputs.items()}
        object.__setattr__(self, "inputs", frozen)
        object.__setattr__(self, "files", tuple(Path(path) for path in self.files))

    def slice(self) -> Any:
        """Return the settings in JSON's own types."""
        return _json(self.settings)

    def needs(self) -> Iterator[str]:
        """Name the tasks this one is made from, in order."""
        for made in self.inputs.values():
            yield from (made,) if isinstance(made, str) else made


def _json(value: Any) -> Any:
    """Turn settings into JSON's own types; pydantic models may stand anywhere in them."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return plain(value)


def check_task_name(name: str) -> None:
    """Refuse a name that cannot be a file's name everywhere."""
    if not _TASK_NAME.fullmatch(name):
        raise ValueProblem(
            "a task's or run's name cannot be used",
            got=repr(name),
            fix='start with a letter, and use none of / \\ : * ? " < > |, e.g. encode[trial-03]',
        )


def resolve(task: Task, found: Mapping[str, Artefact]) -> Inputs:
    """Put artefacts (by task name) in the places a task's inputs name."""
    return MappingProxyType(
        {
            name: found[made] if isinstance(made, str) else tuple(found[one] for one in made)
            for name, made in task.inputs.items()
        }
    )
