"""Under which conditions does training compute? A known number of threads, no autograd, no repeated warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def quiet_threads(n: int) -> Iterator[None]:
    """Run on n threads and put the caller's number back; PyTorch calls CSR "beta" once per process."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support", category=UserWarning)
            yield
    finally:
        torch.set_num_threads(before)
