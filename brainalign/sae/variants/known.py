"""Which variants can be trained? One line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from brainalign.core.errors import unknown_name
from brainalign.sae.variants.base import Variant
from brainalign.sae.variants.batchtopk import BatchTopK
from brainalign.sae.variants.crosscoder import Crosscoder
from brainalign.sae.variants.frozen import FrozenDecoder
from brainalign.sae.variants.gated import Gated
from brainalign.sae.variants.jumprelu import JumpReLU
from brainalign.sae.variants.matryoshka import Matryoshka
from brainalign.sae.variants.relul1 import ReluL1
from brainalign.sae.variants.temporal import Temporal
from brainalign.sae.variants.topk import TopK

VARIANTS: dict[str, Callable[..., Variant]] = {
    "batchtopk": BatchTopK,
    "topk": TopK,
    "relu-l1": ReluL1,
    "jumprelu": JumpReLU,
    "gated": Gated,
    "matryoshka": Matryoshka,
    "temporal": Temporal,
    "crosscoder": Crosscoder,
    "frozen-decoder": FrozenDecoder,
}


def variant_named(name: str, options: Mapping[str, Any] | None = None) -> Variant:
    """Return a fresh variant for one training run, made with the options that it knows by name."""
    if name not in VARIANTS:
        raise unknown_name(name, among=VARIANTS, kind="SAE variant")
    known = signature(VARIANTS[name]).parameters
    for option in options or {}:
        if option not in known:
            raise unknown_name(option, among=known, kind=f"option of the SAE variant {name!r}")
    return VARIANTS[name](**(options or {}))
