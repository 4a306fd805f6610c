"""What may a model compute in? Single precision, or half of it where the device can."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch

from brainalign.core.errors import ValueProblem, unknown_name

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
PRECISIONS: Mapping[str, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
)


def checked_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return a precision by its name, or refuse one that is not known or that the device cannot compute in.

    Parameters
    ----------
    name
        ``"float32"``, ``"bfloat16"`` or ``"float16"``.
    device
        Where the model is to run.
    """
    if name not in PRECISIONS:
        raise unknown_name(str(name), among=PRECISIONS, kind="precision of an encoder")
    dtype = PRECISIONS[name]
    try:
        ones = torch.ones(1, 2, 4, dtype=dtype, device=device)
        torch.nn.functional.conv1d(ones, ones)
        torch.nn.functional.scaled_dot_product_attention(ones, ones, ones)
    except RuntimeError as error:
        raise ValueProblem(
            f"this device cannot compute in {name}",
            got=f"{device}: {str(error).splitlines()[0]}",
            fix="use dtype='float32'",
        ) from error
    return dtype


def named(dtype: torch.dtype) -> str:
    """Return a precision's name, as provenance has it."""
    return str(dtype).removeprefix("torch.")
