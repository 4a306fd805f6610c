"""Which pairs of a batch are active? The ``k * n`` largest pre-activations, for the variants built on BatchTopK."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from brainalign.core.errors import unknown_name
from brainalign.sae.loss import Parameters, Pattern
from brainalign.sae.screening import SCREENS, Screening
from brainalign.sae.variants.batchtopk import SCREEN


class LargestOfBatch:
    """The choice of BatchTopK; remembers the last batch's smallest kept value, near which it looks first.

    Parameters
    ----------
    screening
        How the largest are found: ``"exact"``, or ``"bfloat16"`` with candidates computed again in float32.
    """

    def __init__(self, screening: Screening = "exact") -> None:
        if screening not in SCREENS:
            raise unknown_name(screening, among=SCREENS, kind="screening")
        self._screen = SCREENS[screening]()
        self._last = 0.0

    def active(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> tuple[Pattern, torch.Tensor]:
        """Return the pairs with the ``k`` per frame largest positive pre-activations, and these."""
        self._screen.load(parameters, x)
        (found, values), self._last = self._screen.largest(round(k * len(x)), guess=SCREEN * self._last)
        return Pattern.from_flat(found, shape=(len(x), len(parameters["encoder"]))), torch.from_numpy(values)

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return {"last": self._last}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._last = float(state["last"])
