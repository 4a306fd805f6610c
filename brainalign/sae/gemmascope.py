"""How does Gemma Scope write a coder? One ``params.npz``: JumpReLU, with no bias taken off the input."""

from __future__ import annotations

from pathlib import Path

from brainalign.sae.coder import SparseCoder
from brainalign.sae.foreign import built, read_npz, require_names, uncentred

WEIGHTS = "params.npz"
NAMES = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def found_in(folder: Path) -> bool:
    """Whether a folder holds Gemma Scope's archive."""
    return (folder / WEIGHTS).is_file()


def read_gemma_scope(folder: Path) -> SparseCoder:
    """Read ``params.npz``; older archives that write ``w_enc`` and ``w_dec`` are read too.

    The normalisation of the input is already in the weights. The file states no sparsity, so k is 0.
    """
    path = folder / WEIGHTS
    found = read_npz(path)
    state = {f"W_{name[2:]}" if name.startswith("w_") else name: array for name, array in found.items()}
    require_names(state, NAMES, path=path, kind="a Gemma Scope coder")
    weights = uncentred({name: state[name] for name in NAMES}, path=path)
    return built(weights, path=path, k=0, metadata={"architecture": "jumprelu"})
