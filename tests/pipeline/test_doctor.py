import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from brainalign.pipeline import doctor
from brainalign.pipeline.doctor import REQUIRED, Verdict, facts

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(autouse=True)
def no_torch(monkeypatch):
    """Stand in for torch, which is slow to import and whose machine is not what is tested."""
    fake = ModuleType("torch")
    fake.cuda = ModuleType("torch.cuda")
    fake.cuda.is_available = lambda: False
    monkeypatch.setitem(sys.modules, "torch", fake)


def check(store, name):
    return next(item for item in facts(store) if item.name == name)


def test_required_packages_are_those_of_the_project():
    with PROJECT.open("rb") as stream:
        wanted = tomllib.load(stream)["project"]["dependencies"]
    assert sorted(REQUIRED) == sorted(item.split(">=")[0] for item in wanted)


def test_every_fact_is_told_and_nothing_is_left_behind(tmp_path):
    names = {item.name for item in facts(tmp_path / "store")}
    assert {"python", "numpy", "cores", "memory", "gpu", "store", "disk"} <= names
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ok_comes_with_a_fix(tmp_path):
    for item in facts(tmp_path):
        assert item.verdict is Verdict.OK or item.fix


def test_an_unwritable_store_fails(tmp_path):
    (tmp_path / "file").write_text("")
    found = check(tmp_path / "file" / "store", "store")
    assert found.verdict is Verdict.FAIL
    assert "--store" in found.fix
    assert check(Path("/proc/self/store"), "store").verdict is Verdict.FAIL


def test_a_missing_package_fails_with_the_command_that_helps(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "REQUIRED", ("no-such-package",))
    found = check(tmp_path, "no-such-package")
    assert (found.verdict, found.fix) == (Verdict.FAIL, "pip install no-such-package")


@pytest.mark.parametrize(("gib", "verdict"), [(0.1, Verdict.FAIL), (1.0, Verdict.WARN), (100.0, Verdict.OK)])
def test_little_room_is_told(tmp_path, monkeypatch, gib, verdict):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": gib * 2**30}))
    assert check(tmp_path, "disk").verdict is verdict


def test_memory_is_a_plausible_number_and_little_of_it_is_told(tmp_path, monkeypatch):
    assert 2**20 < doctor.memory_available() < 2**50
    monkeypatch.setattr(doctor, "memory_available", lambda: 2**30)
    assert check(tmp_path, "memory").verdict is Verdict.WARN
    monkeypatch.setattr(doctor, "memory_available", lambda: None)
    assert check(tmp_path, "memory").found == "unknown"


def test_a_broken_gpu_is_a_finding_and_no_failure(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("driver too old")

    monkeypatch.setattr(sys.modules["torch"].cuda, "is_available", broken)
    found = check(tmp_path, "gpu")
    assert found.verdict is Verdict.WARN
    assert "driver too old" in found.found
