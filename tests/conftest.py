"""Fixtures shared by all tests; no test reaches the network, a screen or the user's settings."""

import os
import socket
from pathlib import Path

# Before NumPy and torch are imported: tiny products are slower, and less repeatable, on several threads.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MNE_DONTWRITE_HOME"] = "true"

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

# The same examples every time: a failure is a failure for everybody.
hypothesis.settings.register_profile("house", derandomize=True, deadline=None, max_examples=60, database=None)
hypothesis.settings.load_profile("house")


@pytest.fixture
def rng() -> np.random.Generator:
    """One seeded generator per test."""
    return np.random.default_rng(42)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            pytest.fail(f"a test reached for the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
