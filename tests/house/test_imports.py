"""Imports go down only, the centre is light, and the package opens at once."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

import brainalign

LIGHT_ROOMS = ("core", "align", "encoding", "stats")
LIGHT = {"numpy", "scipy", "sklearn", "brainalign"}
HEAVY = ("torch", "transformers", "mne", "matplotlib", "pydantic")
OPENING_S = 0.3


def _at_import(nodes: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run when a module is imported: not those of functions or for type checkers."""
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _at_import(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for block in ("body", "orelse", "finalbody", "handlers"):
                yield from _at_import(getattr(node, block, []))


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]


def _ask_python(code: str, root) -> object:
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_contracts_of_import_linter_hold(root, monkeypatch, capsys):
    cli = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    outcome = cli.lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert outcome == 0, capsys.readouterr().out


def test_the_light_rooms_name_nothing_heavy_when_imported(package):
    found = [
        (source.at(node), module)
        for source in package
        if source.room in LIGHT_ROOMS
        for node in _at_import(source.tree.body)
        for module in _modules(node)
        if module.split(".")[0] not in LIGHT | sys.stdlib_module_names
    ]
    assert not found, "\n".join(map(str, found))


def test_the_light_rooms_load_nothing_heavy_when_imported(package, root):
    """What the source does not name could still come in by another way."""
    names = [source.path.relative_to(root).with_suffix("").parts for source in package if source.room in LIGHT_ROOMS]
    modules = [".".join(part for part in parts if part != "__init__") for parts in names]
    code = (
        f"import importlib, json, sys; [importlib.import_module(name) for name in {modules}]; "
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )
    assert _ask_python(code, root) == []


def test_nothing_inside_imports_from_the_root(package):
    """What a module needs has one home; through the root, two modules would come to need each other."""
    modules = {source.room for source in package} - set(brainalign.__all__)
    found = []
    for source in package:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                found += [source.at(node) for alias in node.names if alias.name == "brainalign"]
            if isinstance(node, ast.ImportFrom) and (node.level or node.module == "brainalign"):
                found += [(source.at(node), alias.name) for alias in node.names if alias.name not in modules]
    assert not found, "\n".join(map(str, found))


def test_a_rooms_own_page_holds_a_docstring_only(package):
    full = [
        source.name
        for source in package
        if source.path.name == "__init__.py" and source.path.parent.name != "brainalign" and len(source.tree.body) != 1
    ]
    assert not full, "\n".join(map(str, full))


def test_opening_the_package_is_quick_and_loads_nothing_heavy(root):
    code = (
        "import time; start = time.perf_counter(); import brainalign; spent = time.perf_counter() - start\n"
        "import json, sys; print(json.dumps([spent, sorted(sys.modules)]))"
    )
    answers = [_ask_python(code, root) for _ in range(3)]
    assert min(spent for spent, _ in answers) < OPENING_S
    assert not {*HEAVY, "sklearn", "scipy"} & set(answers[0][1])


class TestPublicNames:
    """The front door."""

    def test_every_name_is_there(self):
        for name in brainalign.__all__:
            assert getattr(brainalign, name) is not None
        assert set(brainalign.__all__) <= set(dir(brainalign))

    def test_type_checkers_see_the_same_names(self, package):
        root = next(source for source in package if source.name == "brainalign/__init__.py")
        block = next(node for node in root.tree.body if isinstance(node, ast.If))
        seen = {alias.asname: node.module for node in block.body for alias in node.names}
        assert seen == brainalign._HOMES

    def test_a_function_wins_over_the_room_of_its_name(self, root):
        code = (
            "import json, brainalign.align.build, brainalign; from brainalign.align import build; "
            "print(json.dumps([callable(brainalign.align), build.__name__]))"
        )
        assert _ask_python(code, root) == [True, "brainalign.align.build"]

    def test_a_name_that_is_not_there_is_met_with_those_that_are(self):
        with pytest.raises(AttributeError, match=r"no attribute 'Lag'; it has .*Lags"):
            _ = brainalign.Lag
