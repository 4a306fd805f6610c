"""Which variants can be trained? One line each."""

from __future__ import annotations

from collections.abc import Callable

from brainalign.core.errors import unknown_name
from brainalign.sae.variants.base import Variant
from brainalign.sae.variants.batchtopk import BatchTopK

VARIANTS: dict[str, Callable[[], Variant]] = {
    "batchtopk": BatchTopK,
}


def variant_named(name: str) -> Variant:
    """Return a fresh variant for one training run."""
    if name not in VARIANTS:
        raise unknown_name(name, among=VARIANTS, kind="SAE variant")
    return VARIANTS[name]()
