"""Which library does the arithmetic? The few operations the engine needs, on NumPy or torch arrays.

The engine is written once, against these names. NumPy is the default; torch is imported
only when a device is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import fft

from brainalign.core.errors import MissingPackage, ValueProblem

Array = Any


@dataclass(frozen=True, eq=False)
class Backend:
    """Operations of one library on one device; those with ``out`` write where they are told to.

    Attributes
    ----------
    name
        ``"numpy"``, or torch's name of the device.
    matmul, multiply, add, subtract, divide, sqrt
        As NumPy's, with ``out=``.
    clip, at_least
        ``clip(array, low, high, out=)`` and ``at_least(array, low, out=)``.
    rfft, irfft
        Real transforms along axis 0 (``n=`` frames).
    where
        As NumPy's.
    take
        ``take(array, index, out)``: rows of an array, for an index array of any shape.
    empty
        ``empty(shape, dtype)`` for a NumPy dtype.
    put, get
        From NumPy onto the device, and back.
    """

    name: str
    matmul: Callable[..., Array]
    multiply: Callable[..., Array]
    add: Callable[..., Array]
    subtract: Callable[..., Array]
    divide: Callable[..., Array]
    sqrt: Callable[..., Array]
    clip: Callable[..., Array]
    at_least: Callable[..., Array]
    rfft: Callable[..., Array]
    irfft: Callable[..., Array]
    where: Callable[..., Array]
    take: Callable[[Array, np.ndarray, Array], Array]
    empty: Callable[[tuple[int, ...], Any], Array]
    put: Callable[[np.ndarray], Array]
    get: Callable[[Array], np.ndarray]


def _take(array: np.ndarray, index: np.ndarray, out: np.ndarray) -> np.ndarray:
    return np.take(array, index, axis=0, out=out, mode="clip")


def _at_least(array: np.ndarray, low: float, out: np.ndarray) -> np.ndarray:
    return np.maximum(array, array.dtype.type(low), out=out)  # np.clip takes half as long again


NUMPY = Backend(
    name="numpy",
    matmul=np.matmul,
    multiply=np.multiply,
    add=np.add,
    subtract=np.subtract,
    divide=np.divide,
    sqrt=np.sqrt,
    clip=np.clip,
    at_least=_at_least,
    rfft=partial(fft.rfft, axis=0),
    irfft=partial(fft.irfft, axis=0),
    where=np.where,
    take=_take,
    empty=np.empty,
    put=np.asarray,
    get=np.asarray,
)


def get_backend(device: str | None = None) -> Backend:
    """Return NumPy (no device), or torch on a device such as ``"cpu"`` or ``"cuda"``."""
    if device is None or device == "numpy":
        return NUMPY
    try:
        import torch
    except ImportError as error:
        raise MissingPackage("a device needs torch", got=error, fix="pip install torch, or leave device out") from error
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ValueProblem("torch cannot use this device", got=device, fix="use 'cpu', or leave device out") from error
    return _torch_backend(torch, place)


def _torch_backend(torch: Any, device: Any) -> Backend:
    def take(array: Array, index: np.ndarray, out: Array) -> Array:
        flat = torch.from_numpy(np.ascontiguousarray(index).reshape(-1)).to(device)
        torch.index_select(array, 0, flat, out=out.view(-1, *array.shape[1:]))
        return out

    def put(array: np.ndarray) -> Array:
        owned = array if array.flags.writeable and array.flags.c_contiguous else np.array(array)
        return torch.from_numpy(owned).to(device)

    def empty(shape: tuple[int, ...], dtype: Any) -> Array:
        return torch.empty(shape, dtype=getattr(torch, np.dtype(dtype).name), device=device)

    return Backend(
        name=str(device),
        matmul=torch.matmul,
        multiply=torch.mul,
        add=torch.add,
        subtract=torch.sub,
        divide=torch.div,
        sqrt=torch.sqrt,
        clip=torch.clamp,
        at_least=torch.clamp,
        rfft=partial(torch.fft.rfft, dim=0),
        irfft=partial(torch.fft.irfft, dim=0),
        where=torch.where,
        take=take,
        empty=empty,
        put=put,
        get=lambda array: array.detach().cpu().numpy(),
    )
