"""What must a way of training a sparse coder provide? Parameters, a step, and its inference form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters


class Variant(Protocol):
    """One run's way of choosing active features and weighing errors (it may keep state between steps)."""

    def parameters(self, initial: Parameters) -> Parameters:
        """Return what is trained: the common parameters, and the variant's own if it has any."""
        ...

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Return loss and gradients for scaled frames ``x (n, d_in)`` at a sparsity of ``k`` per frame."""
        ...

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Give the trained coder its inference form, in which no frame depends on another."""
        ...
