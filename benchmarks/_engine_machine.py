"""On what, and with what, was it run?"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("brainalign", "numpy", "scipy", "scikit-learn", "mtrf", "mne", "himalaya", "fftrf", "eelbrain", "joblib")
_BUSY = 0.25


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of every package that matters, or that it is not installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    if found.get("brainalign") == "not installed":
        from brainalign.__about__ import __version__

        found["brainalign"] = __version__
    return found


def machine() -> dict[str, Any]:
    """Return the processor, its cores and how busy it is, with a warning if others are at work."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told: dict[str, Any] = {"processor": _processor(), "cores": cores, "system": platform.system()}
    told["blas"] = _blas()
    told["load_at_start"] = load
    if load > _BUSY * cores:
        told["warning"] = f"the machine is busy (load {load:.1f} on {cores} cores): times are too long and uneven"
    return told


def _blas() -> str:
    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found['name']} {found['version']}, one thread"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
