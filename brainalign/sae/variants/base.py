"""What must a way of training a sparse coder provide? Parameters, a step, and its inference form.

Beyond that a variant may have (the trainer looks for them by name):

``begin(trajectories, *, n_steps)``
    Called once before `parameters`: the corpus and the length of the run.
``state()`` and ``restore(state)``
    What it has learnt besides its parameters, as arrays and floats, for a run that is resumed.
``tied_norm: bool = True``
    Whether the trainer keeps the decoder's rows at norm 1.
``wants_neighbours: bool = False``
    Whether batches are to come as ``2 n`` rows in which rows i and n + i are neighbours in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Beginning(Protocol):
    """A variant that wants to see the corpus, or know the length of the run, before it starts."""

    def begin(self, trajectories: Sequence[Trajectory], *, n_steps: int) -> None:
        """Look at the corpus and learn how many steps the run has."""
        ...


def begin(variant: Variant, trajectories: Sequence[Trajectory], *, n_steps: int) -> None:
    """Tell a variant what it is about to learn from, where it wants to know."""
    if isinstance(variant, Beginning):
        variant.begin(trajectories, n_steps=n_steps)


def keeps_unit_norm(variant: Variant) -> bool:
    """Whether the trainer holds the decoder's rows at norm 1 for this variant."""
    return bool(getattr(variant, "tied_norm", True))
