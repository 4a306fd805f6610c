"""Every public thing is documented and typed, and no docstring names what is not there."""

import ast
import inspect
import re
from collections.abc import Iterator

import pytest

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _public(source) -> Iterator[ast.AST]:
    """Yield public classes and functions, and public methods of public classes; not overloads."""
    for node in source.tree.body:
        if any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in getattr(node, "decorator_list", ())):
            continue
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


def _fields(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Return what a class is made with: its annotated fields and its constructor's parameters, its bases' included."""
    own = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    for item in node.body:
        if isinstance(item, FUNCTIONS) and item.name in ("__init__", "__new__"):
            own |= {arg.arg for arg in _arguments(item)}
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    return own.union(*(_fields(classes[base], classes) for base in bases))


@pytest.fixture(scope="module")
def classes(package) -> dict[str, ast.ClassDef]:
    """Every class by its name."""
    return {node.name: node for source in package for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)}


def test_every_module_says_which_question_it_answers(package):
    assert [source.name for source in package if not ast.get_docstring(source.tree)] == []


def test_every_public_thing_is_documented(package):
    missing = [
        (source.at(node), node.name) for source in package for node in _public(source) if not ast.get_docstring(node)
    ]
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


def test_docstrings_name_real_parameters_only(package, classes):
    invented = []
    for source in package:
        for node in ast.walk(source.tree):
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and ast.get_docstring(node):
                real = {a.arg for a in _arguments(node)} if isinstance(node, FUNCTIONS) else _fields(node, classes)
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
    text = """Do it.

    Parameters
    ----------
    a, b
        Both.
    *rest : int
        More: of it.

    Returns
    -------
    int
    """
    assert _section(text, "Parameters") == ["a", "b", "rest"]
    assert _section(text, "Returns") == ["int"]
    assert _section(text, "Notes") == []
