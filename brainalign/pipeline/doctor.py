"""Is this machine fit for the work, and if not, what helps?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

REQUIRED = (
    "joblib",
    "matplotlib",
    "mne",
    "mne-bids",
    "nilearn",
    "numpy",
    "pooch",
    "pydantic",
    "pyyaml",
    "requests",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "soundfile",
    "soxr",
    "threadpoolctl",
    "torch",
    "transformers",
    "typer",
)
OPTIONAL = {
    "pandas": "tables of results",
    "xarray": "labelled results (to_xarray)",
    "distributed": "running on a Dask cluster",
}
_GIB = 2**30
_OLDEST_PYTHON = (3, 11)
_LITTLE_MEMORY_GIB = 4.0
_LITTLE_DISK_GIB = 5.0
_NO_DISK_GIB = 0.25


class Verdict(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, how it stands, what was found, and what helps."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""


def facts(store: Path) -> tuple[Check, ...]:
    """Look at Python, packages, processor, memory, GPU and the store's disk. Never fails, leaves nothing behind."""
    return (
        _python(),
        *(_package(name) for name in REQUIRED),
        *_optional(),
        Check("cores", Verdict.OK, str(_cores())),
        _memory(),
        _gpu(),
        *_disk(store),
    )


def _python() -> Check:
    good = sys.version_info >= _OLDEST_PYTHON
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("python", Verdict.OK if good else Verdict.FAIL, found, "" if good else f"use Python {oldest} or newer")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    version = _version(name)
    if version:
        return Check(name, Verdict.OK, version)
    return Check(name, Verdict.FAIL, "not installed", f"pip install {name}")


def _optional() -> Iterator[Check]:
    for name, purpose in OPTIONAL.items():
        version = _version(name)
        yield Check(f"{name} (optional)", Verdict.OK, version or f"not installed; only needed for {purpose}")


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _memory() -> Check:
    free = memory_available()
    if free is None:
        return Check("memory", Verdict.WARN, "unknown", f"make sure that {_LITTLE_MEMORY_GIB:g} GiB are free")
    low = free < _LITTLE_MEMORY_GIB * _GIB
    fix = "close other programs, or run with fewer --jobs" if low else ""
    return Check("memory", Verdict.WARN if low else Verdict.OK, f"{free / _GIB:.1f} GiB available", fix)


def memory_available() -> int | None:
    """Return the bytes of memory that can be had, with a container's limit regarded, or None if unknown."""
    candidates = [value for value in (_memory_of_system(), _memory_of_container()) if value is not None]
    return min(candidates, default=None)


def _memory_of_system() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def _memory_of_container() -> int | None:
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        return max(0, limit - int((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or no limit ("max")
        return None


def _gpu() -> Check:
    try:
        import torch  # only asked for here, and heavy

        if torch.cuda.is_available():
            free, total = torch.cuda.mem_get_info()
            found = f"{torch.cuda.get_device_name()}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
            return Check("gpu", Verdict.OK, found)
    except Exception as error:  # a broken driver can raise anything; it is a finding, not a failure
        return Check("gpu", Verdict.WARN, f"cannot be used: {error}", "the processor does the work, slower")
    return Check("gpu", Verdict.OK, "none; the processor does the work")


def _disk(store: Path) -> Iterator[Check]:
    """Look at the disk where the store is, or would be made."""
    existing = next((one for one in (store, *store.absolute().parents) if one.exists()), Path("/"))
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) and _can_write(existing):
        yield Check("store", Verdict.OK, f"{store} can be written")
    else:
        yield Check("store", Verdict.FAIL, f"{existing} cannot be written", "choose another folder with --store")
    try:
        free = shutil.disk_usage(existing).free / _GIB
    except OSError as error:
        yield Check("disk", Verdict.WARN, f"unknown: {error.strerror}", "choose another folder with --store")
        return
    verdict = Verdict.FAIL if free < _NO_DISK_GIB else Verdict.WARN if free < _LITTLE_DISK_GIB else Verdict.OK
    fix = "" if verdict is Verdict.OK else "free some room, or choose another folder with --store"
    yield Check("disk", verdict, f"{free:.1f} GiB free at {existing}", fix)


def _can_write(folder: Path) -> bool:
    """Try it: permissions alone do not tell of a read-only disk."""
    probe = folder / f".probe.{os.getpid()}.tmp"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return False
    return True
