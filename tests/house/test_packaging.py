"""What the project says of itself agrees with itself."""

import ast
import re
import sys
import tomllib

import pytest
import yaml

import brainalign

PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[0-9][0-9a-z.]*)( ; .+)?")
FIXED = {"torch", "transformers", "mne", "scikit-learn", "numpy", "scipy", "nilearn", "joblib"}


def _name(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement)[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(root) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    matches = [PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert all(matches), "every line is NAME==VERSION"
    return {match["name"]: match["version"] for match in matches}


def test_the_scientific_stack_is_required(project):
    assert {_name(item) for item in project["dependencies"]} >= FIXED


def test_everything_that_is_asked_for_is_pinned(project, pins):
    extras = project["optional-dependencies"].values()
    asked = project["dependencies"] + [item for items in extras for item in items]
    assert {_name(item) for item in asked} - {"brainalign"} - pins.keys() == set()


def test_what_is_imported_is_asked_for(project, package):
    homes = {"sklearn": "scikit-learn", "yaml": "pyyaml", "cycler": "matplotlib"}
    extras = {_name(item) for items in project["optional-dependencies"].values() for item in items}
    known = {_name(item) for item in project["dependencies"]} | extras | {"brainalign"}
    found = set()
    for source in package:
        for node in ast.walk(source.tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names
            found |= {(source.name, top) for top in tops if homes.get(top, top).replace("_", "-") not in known}
    assert not found, "\n".join(map(str, sorted(found)))


def test_one_version_everywhere(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["version"] == brainalign.__version__
    assert f"## {brainalign.__version__}" in changes
    assert citation["authors"] == [{"name": "The brainalign developers"}]


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "clean"])
def test_the_makefile_knows_every_target(root, target):
    text = (root / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", text, flags=re.MULTILINE)
