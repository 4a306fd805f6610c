"""The tiny study, run once for all tests of this folder, and the same data as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brainalign.pipeline.outputs import Results, summarise
from brainalign.pipeline.store import Store
from brainalign.pipeline.study import Study
from tests.study import worlds
from tests.study.exported import export


@dataclass(frozen=True)
class Run:
    """A study that was run to its end."""

    study: Study
    store: Store

    @property
    def results(self) -> Results:
        return Results(self.study, self.store)

    @property
    def summary(self) -> dict[str, Any]:
        return summarise(self.results, seconds=None)

    @property
    def report(self) -> Path:
        return self.study.out_folder / "report.html"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny study, done."""
    study = worlds.tiny(tmp_path_factory.mktemp("tiny") / "out")
    return Run(study, worlds.made(study))


@pytest.fixture(scope="session")
def exported(tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study's sounds and recordings as WAV and FIF files, with a configuration that names them."""
    return export(tiny.results, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def from_files(exported: Path) -> Run:
    """The study of those files, done through the command line."""
    found = worlds.in_terminal("run", exported, "--jobs", 2, "--out", exported.parent / "out")
    assert found.returncode == 0, found.stderr
    study = worlds.load_study(exported, {"out": exported.parent / "out"})
    return Run(study, Store(study.store_folder))
