"""The package's own source, parsed once."""

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def room(self) -> str:
        """The part of the package it stands in: ``"core"``, ``"cli"``, ..."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return parts[1] if len(parts) > 1 else ""

    def at(self, node: ast.AST) -> str:
        return f"{self.name}:{getattr(node, 'lineno', 1)}"


def _sources(folder: str) -> list[Source]:
    return [Source(path) for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.fixture(scope="session")
def package() -> list[Source]:
    """Every file of the package."""
    return _sources("brainalign")


@pytest.fixture(scope="session")
def everything(package) -> list[Source]:
    """Every file of the package, its tests, benchmarks and examples."""
    return package + [source for folder in ("tests", "benchmarks", "examples") for source in _sources(folder)]
