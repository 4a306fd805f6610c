"""Every public thing is documented and typed, and no docstring names what is not there."""

import ast
import inspect
import re
from collections.abc import Iterator

import pytest

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _public(source) -> Iterator[ast.AST]:
    """Yield public classes and functions, and public classes' public methods."""
    for node in source.tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (m for m in node.body if isinstance(m, FUNCTIONS) and not m.name.startswith("_"))


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    args = function.args
    extra = [arg for arg in (args.vararg, args.kwarg) if arg]
    return [arg for arg in args.posonlyargs + args.args + args.kwonlyargs + extra if arg.arg not in ("self", "cls")]


def _section(docstring: str, title: str) -> list[str]:
    """Read the names that a numpydoc section lists."""
    lines = inspect.cleandoc(docstring).splitlines()
    ruled = [i for i, line in enumerate(lines[1:], start=1) if re.fullmatch("-{3,}", line)]
    for number, rule in enumerate(ruled):
        if lines[rule - 1] == title:
            stop = ruled[number + 1] - 1 if number + 1 < len(ruled) else len(lines)
            heads = [line for line in lines[rule + 1 : stop] if line and not line[0].isspace()]
            return [name.strip().lstrip("*") for head in heads for name in head.split(":")[0].split(",")]
    return []


@pytest.fixture(scope="module")
def fields(package) -> dict[str, set[str]]:
    """The names that each class is made with: its annotated fields and its constructor's, its bases' included."""
    classes = {node.name: node for source in package for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)}

    def names(node: ast.ClassDef) -> set[str]:
        own = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
        for item in node.body:
            if isinstance(item, FUNCTIONS) and item.name in ("__init__", "__new__"):
                own |= {arg.arg for arg in _arguments(item)}
        bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
        return own.union(*(names(classes[base]) for base in bases))

    return {name: names(node) for name, node in classes.items()}


def test_every_module_says_which_question_it_answers(package):
    assert [source.name for source in package if not ast.get_docstring(source.tree)] == []


def test_every_public_thing_is_documented(package):
    missing = [(source.at(node), node.name) for source in package for node in _public(source) if not ast.get_docstring(node)]
    assert not missing, "\n".join(map(str, missing))


def test_every_function_is_typed(package):
    untyped = [
        (source.at(node), node.name)
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, FUNCTIONS)
        and (node.returns is None or any(arg.annotation is None for arg in _arguments(node)))
    ]
    assert not untyped, "\n".join(map(str, untyped))


def test_docstrings_name_real_parameters_only(package, fields):
    invented = []
    for source in package:
        for node in ast.walk(source.tree):
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and ast.get_docstring(node):
                real = {arg.arg for arg in _arguments(node)} if isinstance(node, FUNCTIONS) else fields[node.name]
                named = _section(ast.get_docstring(node), "Parameters")
                invented += [(source.at(node), node.name, name) for name in named if name not in real]
    assert not invented, "\n".join(map(str, invented))


def test_a_list_of_parameters_is_whole(package):
    """A function's section either names every parameter or is not there."""
    missing = []
    for source in package:
        for node in ast.walk(source.tree):
            named = _section(ast.get_docstring(node) or "", "Parameters") if isinstance(node, FUNCTIONS) else []
            if named:
                missing += [(source.at(node), node.name, arg.arg) for arg in _arguments(node) if arg.arg not in named]
    assert not missing, "\n".join(map(str, missing))


def test_the_section_reader_reads():
    text = "Do it.\n\n    Parameters\n    ----------\n    a, b\n        Both.\n    *rest : int\n        More.\n\n    Returns\n    -------\n    int\n"
    assert _section(text, "Parameters") == ["a", "b", "rest"]
    assert _section(text, "Returns") == ["int"]
    assert _section(text, "Notes") == []
