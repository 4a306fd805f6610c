"""BatchTopK: the ``k * n`` largest positive pre-activations of a batch of ``n`` frames stay.

The mean number of active features is set directly, with no penalty to tune, and a frame
may use more or fewer than k. At inference one global threshold takes the batch's place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.calibrate import calibrate
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, Pattern, pre_activations, reconstruction_step

# The k-th value moves little between batches: scanning above this share of the last one finds
# the few per cent of candidates, and only they are partitioned.
SCREEN = 0.93


class BatchTopK:
    """One run of BatchTopK training; remembers the last batch's smallest kept value."""

    def __init__(self) -> None:
        self._last = 0.0

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Keep the batch's largest pre-activations and return the loss of what they explain."""
        pre = pre_activations(parameters, x)
        active, self._last = largest_positive(pre.numpy().reshape(-1), round(k * len(x)), guess=SCREEN * self._last)
        return reconstruction_step(parameters, x, pre, Pattern.from_flat(active, shape=tuple(pre.shape)))

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Set the threshold on the training frames, where mean L0 becomes k."""
        return calibrate(coder, trajectories)


def largest_positive(values: np.ndarray, n: int, *, guess: float = 0.0) -> tuple[np.ndarray, float]:
    """Return the sorted indices of the ``n`` largest positive values, and the smallest kept.

    Exact whatever the guess. Values equal to the smallest kept one all stay, so that the
    result does not depend on their order; with fewer than ``n`` positive values all stay.
    """
    found = np.flatnonzero(values > max(guess, 0.0))
    if found.size < n and guess > 0:
        found = np.flatnonzero(values > 0)
    if found.size <= n:
        return found, 0.0
    candidates = values[found]
    smallest = np.partition(candidates, found.size - n)[found.size - n]
    return found[candidates >= smallest], float(smallest)
