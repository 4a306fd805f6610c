"""TopK: the k largest positive pre-activations of each frame stay, in training and afterwards.

Exactly k per frame, so silence costs as much as speech; but what a frame's features are never depended on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, Pattern, pre_activations, reconstruction_step


class TopK:
    """One run of TopK training (no hyper-parameters but k)."""

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Keep each frame's largest pre-activations and return the loss of what they explain."""
        pre = pre_activations(parameters, x)
        return reconstruction_step(parameters, x, pre, largest_of_each(pre, max(1, round(k))))

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Choose each frame's k largest at inference too."""
        return replace(coder, rule="top-k", threshold=np.zeros(coder.d_sae))


def largest_of_each(pre: torch.Tensor, n: int) -> Pattern:
    """Return the n largest positive entries of every row, as pairs sorted by frame and feature."""
    columns = pre.topk(n, dim=1, sorted=False).indices.sort(dim=1).values
    positive = pre.gather(1, columns) > 0
    rows = torch.arange(len(pre))[:, None].expand_as(columns)
    return Pattern(rows[positive], columns[positive], tuple(pre.shape))
