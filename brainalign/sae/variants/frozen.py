"""Frozen decoder: BatchTopK whose decoder stays at random directions; only the encoder and the biases learn.

How much of a coder's quality comes from the directions it found? What this control cannot do is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters
from brainalign.sae.variants.batchtopk import BatchTopK


class FrozenDecoder(BatchTopK):
    """One run of BatchTopK with a constant decoder."""

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters and remember the decoder."""
        self._decoder = initial["decoder"].clone()
        return super().parameters(initial)

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Return the BatchTopK step with no gradient for the decoder, put back to where it was.

        Whatever moved it (the revival of dead features, rounding of its norm) is undone before each step.
        """
        parameters["decoder"].copy_(self._decoder)
        step = super().step(parameters, x, k=k)
        return replace(step, gradients={**step.gradients, "decoder": torch.zeros_like(self._decoder)})

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Set the threshold for the decoder as it was."""
        return super().finish(replace(coder, W_dec=self._decoder.numpy()), trajectories)
