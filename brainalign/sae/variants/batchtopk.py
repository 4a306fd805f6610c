"""BatchTopK: the ``k * n`` largest positive pre-activations of a batch of ``n`` frames stay.

The mean number of active features is set directly, with no penalty to tune, and a frame
may use more or fewer than k. At inference one global threshold takes the batch's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from brainalign.core.errors import unknown_name
from brainalign.core.trajectory import Trajectory
from brainalign.sae.calibrate import calibrate
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, Pattern, values_step
from brainalign.sae.screening import SCREENS, Screening, largest_of
from brainalign.sae.variants.folding import unit_norm as in_unit_norm

# The k-th value moves little between batches: scanning above this share of the last one finds
# not twice as many candidates as are kept, and only they are partitioned.
SCREEN = 0.9


class BatchTopK:
    """One run of BatchTopK training; remembers the last batch's smallest kept value.

    Parameters
    ----------
    screening
        How the largest are found: ``"exact"``, or ``"bfloat16"`` with candidates computed again in float32.
    unit_norm
        Whether decoder rows are kept at norm 1. If not (as SAELens has it), the largest of
        ``norm * pre`` stay, and the norms go into the encoder at the end.
    """

    def __init__(self, *, screening: Screening = "exact", unit_norm: bool = True) -> None:
        if screening not in SCREENS:
            raise unknown_name(screening, among=SCREENS, kind="screening")
        self.screen = SCREENS[screening]()
        self.tied_norm = bool(unit_norm)
        self._last = 0.0

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Keep the batch's largest pre-activations and return the loss of what they explain."""
        norms = None if self.tied_norm else parameters["decoder"].norm(dim=1)
        self.screen.load(parameters if norms is None else _louder(parameters, norms), x)
        (active, kept), self._last = self.screen.largest(round(k * len(x)), guess=SCREEN * self._last)
        pattern = Pattern.from_flat(active, shape=(len(x), len(parameters["encoder"])))
        values = torch.from_numpy(kept)
        return values_step(parameters, x, (pattern, values if norms is None else values / norms[pattern.columns]))

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Set the threshold on the training frames, where mean L0 becomes k."""
        return calibrate(coder if self.tied_norm else in_unit_norm(coder), trajectories)

    def state(self) -> dict[str, float]:
        """Return what is remembered between steps."""
        return {"last": self._last}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go back to a remembered state."""
        self._last = float(state["last"])


def _louder(parameters: Parameters, norms: torch.Tensor) -> Parameters:
    """Return parameters whose pre-activations are those of unit decoder rows."""
    louder = {"encoder": parameters["encoder"] * norms[:, None], "b_enc": parameters["b_enc"] * norms}
    return {**parameters, **louder}


def largest_positive(values: np.ndarray, n: int, *, guess: float = 0.0) -> tuple[np.ndarray, float]:
    """Return the sorted indices of the ``n`` largest positive values, and the smallest kept: `largest_of` an array."""
    (active, _), smallest = largest_of(values, n, guess=guess)
    return active, smallest
