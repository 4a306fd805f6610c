"""Who turns frames into features? Our coder with each of its screenings, and SAELens' with the same weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.sae.calibrate import calibrate
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import Parameters
from brainalign.sae.screened import LOOK_ROWS

PEER, PEER_CSR = "SAELens, JumpReLU (dense output)", "SAELens, JumpReLU, and its output to CSR"
LIMIT = "the encoder's product alone, int8"

CODERS: dict[str, Callable[[SparseCoder, np.ndarray], sparse.csr_array]] = {
    "brainalign, float32": lambda coder, x: coder.encode(x),
    "brainalign, bfloat16 screening": lambda coder, x: coder.encode(x, screening="bfloat16"),
    "brainalign, int8 screening": lambda coder, x: coder.encode(x, screening="int8"),
}


def make_coder(parameters: Parameters, frames: np.ndarray, *, k: int) -> SparseCoder:
    """Return a coder whose mean L0 is k on some frames."""
    arrays = {name: tensor.numpy() for name, tensor in parameters.items()}
    coder = SparseCoder(
        W_enc=arrays["encoder"].T,
        b_enc=arrays["b_enc"],
        W_dec=arrays["decoder"],
        b_dec=arrays["b_dec"],
        threshold=np.nan,
        scale=1.0,
        k=k,
    )
    names = tuple(map(str, range(coder.d_in)))
    return calibrate(coder, Trajectory(frames, TimeAxis(50, len(frames)), names))


def peer_calls(coder: SparseCoder, x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return SAELens' encoding of the same frames with the same weights; nothing where it is not installed."""
    if importlib.util.find_spec("sae_lens") is None:
        return {}
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    config = JumpReLUSAEConfig(d_in=coder.d_in, d_sae=coder.d_sae, device="cpu", apply_b_dec_to_input=True)
    sae = JumpReLUSAE(config)
    frames = torch.from_numpy(x)
    with torch.no_grad():
        for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"):
            getattr(sae, name).copy_(torch.from_numpy(np.array(getattr(coder, name))))

    def encode() -> torch.Tensor:
        with torch.no_grad():
            return sae.encode(frames)

    return {PEER: encode, PEER_CSR: lambda: sparse.csr_array(encode().numpy())}


def int8_product(coder: SparseCoder, n: int) -> Callable[[], Any]:
    """Return the rough product of so many frames alone, in the same blocks."""
    numbers = torch.randint(-127, 128, (LOOK_ROWS, coder.d_in), dtype=torch.int8)
    table = torch.randint(-127, 128, (coder.d_in, coder.d_sae), dtype=torch.int8)
    room = torch.empty(LOOK_ROWS, coder.d_sae, dtype=torch.int32)
    return lambda: [torch._int_mm(numbers, table, out=room) for _ in range(0, n, LOOK_ROWS)]


@dataclass(frozen=True)
class Agreement:
    """How far features are from a reference.

    Attributes
    ----------
    apart
        Largest difference where both are active.
    pairs
        In how many only one is.
    above
        By how much, at most, such a lonely value exceeds its threshold: rounding, or something overlooked.
    """

    apart: float
    pairs: int
    above: float


def agreement(reference: sparse.csr_array, other: Any, threshold: np.ndarray) -> Agreement:
    """Compare features, CSR or a dense tensor, with a reference."""
    other = sparse.csr_array(other.numpy()) if isinstance(other, torch.Tensor) else other
    both = reference.astype(bool).multiply(other.astype(bool))
    difference = reference - other
    shared = difference.multiply(both)
    alone = sparse.coo_array(difference - shared)
    above = np.abs(alone.data) - np.maximum(threshold, 0)[alone.coords[1]]
    return Agreement(
        apart=float(np.abs(shared.data).max(initial=0)),
        pairs=int(reference.nnz + other.nnz - 2 * both.nnz),
        above=float(above[alone.data != 0].max(initial=0)),
    )
