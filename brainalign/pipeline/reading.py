"""What does a configuration file say, and what in it cannot be right?

YAML in, a validated pydantic model out. All that is wrong is told at once, each with its
line, the value got and what to write instead; a misspelt name is answered with the
nearest one that exists.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from brainalign.core.errors import BrainalignError, ConfigProblem, MissingFile, UnreadableFile

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_WORDS = {
    "int": "a whole number, e.g. 12",
    "float": "a number, e.g. 0.5",
    "bool": "true or false",
    "string": "text",
    "list": "a list, e.g. [1, 2]",
    "tuple": "a list, e.g. [1, 2]",
    "dict": "names with values",
    "model": "names with values",
    "dataclass": "names with values",
    "path": "a path",
    "mapping": "names with values",
}


@dataclass(frozen=True)
class _Problem:
    """One thing that is wrong: where, the line if known, what, and what to do."""

    place: str
    line: int | None
    wrong: str
    fix: str

    def told(self) -> str:
        """Say where and what."""
        return f"{self.prefix()}{self.wrong}"

    def prefix(self) -> str:
        """Say where."""
        return f"line {self.line}, {self.place}: " if self.line else f"{self.place}: "


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a name given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, as YAML's own loader does, once its names are found to differ."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = key.value
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def read_config(
    path: str | Path, model: type[Model], *, overrides: Mapping[str, object] = types.MappingProxyType({})
) -> Model:
    """Read a YAML file into a model.

    Parameters
    ----------
    path
        The file.
    model
        A pydantic model, best with ``extra="forbid"`` and ``frozen=True``.
    overrides
        Values by dotted name, e.g. ``{"sae.k": 16}``, that take the place of the file's.

    Raises
    ------
    MissingFile, UnreadableFile
        If there is nothing to read.
    ConfigProblem
        With everything that is wrong, and what to do about each.
    """
    path = Path(path)
    text = _read(path)
    values = _parse(text, path)
    for name, value in overrides.items():
        values = _with(values, name.split("."), value)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = dict(_lines(yaml.compose(text, Loader=yaml.SafeLoader)))
        raise _told(path, [_problem(one, model, lines=lines) for one in error.errors()]) from None


def read_value(path: str | Path, name: str) -> object:
    """Return what a YAML file says of one name at its top, or None.

    Parameters
    ----------
    path
        The file.
    name
        The name.
    """
    return _parse(_read(Path(path)), Path(path)).get(name)


def _read(path: Path) -> str:
    if path.is_dir():
        raise UnreadableFile("the configuration is a folder", got=path, fix="name the YAML file in it")
    if not path.exists():
        near = get_close_matches(path.name, [item.name for item in path.parent.glob("*.y*ml")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "check the path; brainalign demo needs none"
        raise MissingFile("there is no configuration file", got=path, fix=hint)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigProblem("the configuration is not UTF-8 text", got=path, fix="save it as UTF-8") from error
    except OSError as error:
        raise UnreadableFile(
            "the configuration cannot be read", got=f"{path}: {error.strerror or error}", fix="check its permissions"
        ) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader that refuses more)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigProblem(
            "the configuration is not valid YAML",
            got=f"{where}: {why}",
            fix="write one 'name: value' per line, indented by spaces",
        ) from error
    if values is None:
        raise ConfigProblem("the configuration is empty", got=path, fix="start from configs/demo.yaml")
    if not isinstance(values, dict):
        raise ConfigProblem(
            "a configuration is made of names with values",
            got=f"{path}: {_short(values)}",
            fix="write 'name: value' lines",
        )
    return values


def _with(values: Mapping[str, Any], names: Sequence[str], value: object) -> dict[str, Any]:
    """Return a copy with one (nested) value put in."""
    name, *rest = names
    inside = values.get(name)
    return {**values, name: _with(inside if isinstance(inside, Mapping) else {}, rest, value) if rest else value}


def _lines(node: yaml.Node | None, place: Place = ()) -> Iterator[tuple[Place, int]]:
    """Go through a YAML text's places and the lines they begin in (from 1)."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*place, key.value), key.start_mark.line + 1
            yield from _lines(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1
            yield from _lines(value, (*place, number))


def _told(path: Path, problems: Sequence[_Problem]) -> ConfigProblem:
    if len(problems) == 1:
        return ConfigProblem(f"{path} cannot be used", got=problems[0].told(), fix=problems[0].fix)
    indent = "\n       "
    return ConfigProblem(
        f"{path} has {len(problems)} problems",
        got=indent.join(problem.told() for problem in problems),
        fix=indent.join(f"{problem.prefix()}{problem.fix}" for problem in problems),
    )


def _problem(error: Mapping[str, Any], model: type[BaseModel], *, lines: Mapping[Place, int]) -> _Problem:
    place, models = _walk(model, error["loc"])
    line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), None)
    wrong, fix = _words(error, str(place[-1]) if place else "", known=_fields(models))
    return _Problem(_dotted(place), line, wrong, fix)


def _words(error: Mapping[str, Any], name: str, *, known: Sequence[str]) -> tuple[str, str]:
    """Say in plain words what is wrong and what to do."""
    kind: str = error["type"]
    got = _short(error["input"])
    more = error.get("ctx", {})
    if kind == "extra_forbidden":
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"there is no setting {name!r}", f"{hint}Known here: {', '.join(known)}"
    if kind == "missing":
        return "this setting is needed and not given", f"add '{name}: ...'"
    if kind == "union_tag_not_found":
        return f"it has no {more['discriminator']}, so what it is cannot be told", f"add {more['discriminator']} to it"
    if kind == "union_tag_invalid":
        return (
            f"{more['tag']!r} is not one of the choices for {more['discriminator']}",
            f"choose {more['expected_tags']}",
        )
    if "expected" in more:
        return f"{got} is not one of the choices", f"choose {more['expected']}"
    if (words := _WORDS.get(kind.split("_")[0])) and kind.endswith(
        ("_type", "_parsing", "_from_float", "_attributes_type")
    ):
        return f"got {got} ({_kind(error['input'])})", f"write {words}"
    if isinstance(told := more.get("error"), BrainalignError):
        return f"{told.what}: {told.got}", told.fix
    message = error["msg"].removeprefix("Value error, ")
    return f"got {got}", message[:1].lower() + message[1:]


def _walk(model: type[BaseModel], loc: Place) -> tuple[Place, list[type[BaseModel]]]:
    """Follow an error's place through the models; drop what pydantic adds for unions.

    Returns
    -------
    tuple
        The place as written in the file, and the models whose fields could stand at its last name.
    """
    models: list[type[BaseModel]] = [model]
    here: list[Any] = []
    place: list[str | int] = []
    for step in loc[:-1]:
        fields = [
            field.annotation
            for one in models
            for name, field in one.model_fields.items()
            if step in (name, field.alias)
        ]
        if fields:
            here, models = fields, [found for field in fields for found in _models(field)]
        elif not (isinstance(step, int) or _is_key_of_mapping(here)):
            models = [one for one in models if step in (one.__name__, *_tags(one))] or models
            continue
        place.append(step)
    return (*place, *loc[-1:]), models


def _is_key_of_mapping(annotations: Sequence[Any]) -> bool:
    return any(typing.get_origin(one) in (dict, Mapping, typing.Mapping) for one in annotations)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the models inside a type such as ``list[A | B] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not typing.get_args(annotation):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _tags(model: type[BaseModel]) -> Iterator[Any]:
    for field in model.model_fields.values():
        if typing.get_origin(field.annotation) is typing.Literal:
            yield from typing.get_args(field.annotation)


def _fields(models: Sequence[type[BaseModel]]) -> list[str]:
    return sorted({field.alias or name for one in models for name, field in one.model_fields.items()})


def _dotted(place: Place) -> str:
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "the file"


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "names with values",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
