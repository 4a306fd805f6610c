"""Crosscoder: one code for several layers, by BatchTopK on activations times the sum of their decoder norms.

    chosen by  f_i * sum_l |d_i^l|        loss = sum over layers |x^l - x_hat^l|^2        (mean over frames)

The sum of norms (not the norm of the sum) is what a feature costs: one that lasts through the layers does not come
cheaper than as many features of single layers. Frames are those of `brainalign.sae.crosscoder.stack_layers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.calibrate import calibrate
from brainalign.sae.coder import SparseCoder
from brainalign.sae.crosscoder import Layer, decoder_norms, layers_of
from brainalign.sae.loss import LossStep, Parameters, values_step
from brainalign.sae.screening import Screening
from brainalign.sae.variants.folding import in_units_of
from brainalign.sae.variants.selection import LargestOfBatch


class Crosscoder:
    """One run of crosscoder training; decoder norms are free, because their ratio between layers is what is learnt.

    Parameters
    ----------
    screening
        How the largest are found: ``"exact"`` or ``"bfloat16"``.
    """

    tied_norm = False

    def __init__(self, *, screening: Screening = "exact") -> None:
        self._choice = LargestOfBatch(screening)
        self._layers: tuple[Layer, ...] = ()

    def begin(self, trajectories: Sequence[Trajectory], *, n_steps: int) -> None:
        """Learn which inputs belong to which layer."""
        self._layers = layers_of(trajectories[0])

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Keep the pairs that weigh most over all layers and return the loss of what they explain."""
        parts = parameters["decoder"].split([layer.width for layer in self._layers], dim=1)
        sizes = sum((part.norm(dim=1) for part in parts), torch.zeros(len(parts[0]), dtype=x.dtype)).clamp_min(1e-12)
        weighed = {"encoder": parameters["encoder"] * sizes[:, None], "b_enc": parameters["b_enc"] * sizes}
        pattern, values = self._choice.active({**parameters, **weighed}, x, k=k)
        return values_step(parameters, x, (pattern, values / sizes[pattern.columns]))

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Give every feature a summed decoder norm of 1, and one threshold where mean L0 becomes k.

        The layers stay with the coder as ``layers``: name, width and scale of each.
        """
        told = [[layer.name, layer.width, layer.scale] for layer in self._layers]
        noted = replace(coder, metadata={**coder.metadata, "layers": told})
        return calibrate(in_units_of(noted, np.sum(decoder_norms(noted), axis=1)), trajectories)

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return self._choice.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._choice.restore(state)
