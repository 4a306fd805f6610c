"""No file, function or signature outgrows the house numbers."""

import ast
import statistics
from collections.abc import Iterator

MAX_FILE, MAX_BODY, MAX_NEST, MAX_PARAMETERS, MAX_POSITIONAL = 400, 60, 3, 8, 2
MEDIAN_FILE, MEDIAN_BODY = 180, 12
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)
SCALARS = {"int", "float", "bool", "str", "Fraction", "Number", "None"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _functions(source) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(source.tree) if isinstance(node, FUNCTIONS))


def _body_lines(node: ast.FunctionDef) -> int:
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return node.end_lineno - first.lineno + 1


def _depth(node: ast.AST, depth: int = 0) -> int:
    """Count blocks within blocks; an elif is no deeper than its if, and a function within starts again."""
    deepest = depth
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, (*FUNCTIONS, ast.ClassDef)):
                is_elif = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If)
                deepest = max(deepest, _depth(child, depth + (isinstance(child, BLOCKS) and not is_elif)))
    return deepest


def _lines(source) -> int:
    return source.text.count("\n")


def test_no_file_is_long(everything):
    assert [f"{source.name}: {_lines(source)} lines" for source in everything if _lines(source) > MAX_FILE] == []


def test_files_are_short_on_the_whole(package):
    assert statistics.median(_lines(source) for source in package if source.path.name != "__init__.py") <= MEDIAN_FILE


def test_no_function_is_long(everything):
    found = [(source.at(f), f.name, _body_lines(f)) for source in everything for f in _functions(source)]
    assert [item for item in found if item[2] > MAX_BODY] == []


def test_functions_are_short_on_the_whole(package):
    assert statistics.median(_body_lines(f) for source in package for f in _functions(source)) <= MEDIAN_BODY


def test_no_function_is_deep(everything):
    found = [(source.at(f), f.name, _depth(f)) for source in everything for f in _functions(source)]
    assert [item for item in found if item[2] > MAX_NEST] == []


def test_no_signature_is_long(package):
    found = [
        (source.at(f), f.name, len(f.args.posonlyargs + f.args.args + f.args.kwonlyargs))
        for source in package
        for f in _functions(source)
    ]
    assert [item for item in found if item[2] > MAX_PARAMETERS + 1] == []


def test_numbers_and_names_are_named_at_the_call(package):
    """Arrays tell themselves apart by their shapes; with rates, lags and penalties, position is a trap."""
    found = []
    for source in package:
        for f in _functions(source):
            scalars = [arg.arg for arg in f.args.posonlyargs + f.args.args if _is_scalar(arg)]
            if len(scalars) > MAX_POSITIONAL and not f.name.startswith("_"):
                found.append((source.at(f), f.name, scalars))
    assert not found, "\n".join(map(str, found))


def _is_scalar(arg: ast.arg) -> bool:
    return bool(arg.annotation) and set(ast.unparse(arg.annotation).split(" | ")) <= SCALARS
