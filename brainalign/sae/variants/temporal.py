"""Temporal: neighbouring frames should use the same general features (T-SAE, Bhalla et al. 2025).

    loss = Matryoshka loss of two groups + consistency * InfoNCE of the first group's codes of neighbouring frames

A frame's code in the first group must be more like its neighbour's (cosine) than like those of the batch's other
frames. What changes from frame to frame is left to the second group. Batches come as ``2 n`` rows; rows i and n + i
are neighbours in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, Pattern
from brainalign.sae.screening import Screening
from brainalign.sae.variants.matryoshka import in_groups, nest, nested_step
from brainalign.sae.variants.selection import LargestOfBatch


class Temporal:
    """One run of temporal training.

    Parameters
    ----------
    consistency
        Weight of the contrastive loss against the reconstruction of frames with a mean squared norm of 1. On planted
        causes of 1 s and of one frame, 0, 0.1 and 0.3 made 0.45, 0.65 and 0.75 of the first group's activity go
        on in the next frame, at 0.73, 0.70 and 0.67 of the variance explained. (The paper's 1 stands beside the
        reconstruction at a language model's norms, which weighs hundreds of times more.)
    first
        Share of the features that are in the first group (the paper's 20 : 80).
    temperature
        Cosines are divided by it before the softmax.
    screening
        How the largest pre-activations are found: ``"exact"`` or ``"bfloat16"``.
    """

    wants_neighbours = True

    def __init__(
        self,
        consistency: float = 0.1,
        *,
        first: float = 0.2,
        temperature: float = 0.1,
        screening: Screening = "exact",
    ) -> None:
        if not (consistency >= 0 and 0 < first < 1 and temperature > 0):
            got = f"consistency={consistency}, first={first}, temperature={temperature}"
            fix = "give consistency >= 0, first between 0 and 1, temperature > 0"
            raise ValueProblem("options of the temporal variant are out of range", got=got, fix=fix)
        self._consistency, self._first, self._temperature = float(consistency), float(first), float(temperature)
        self._choice = LargestOfBatch(screening)

    def sizes(self, d_sae: int) -> tuple[int, int]:
        """Return how many features the first group has, and how many there are in all."""
        return max(1, min(d_sae - 1, round(self._first * d_sae))), d_sae

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Keep the batch's largest pre-activations; return both reconstructions' loss and the consistency."""
        if len(x) % 2:
            fix = "serve rows i and n + i as neighbours"
            raise ShapeMismatch("the temporal variant needs pairs of frames", got=f"{len(x)} rows", fix=fix)
        pattern, values = self._choice.active(parameters, x, k=k)
        sizes = self.sizes(pattern.shape[1])
        nested = nest(pattern, sizes=sizes)
        part, at = nested.parts[0], nested.members[0]
        loss, slope = consistency(part, values[at], width=sizes[0], temperature=self._temperature)
        extra = torch.zeros_like(values)
        extra[at] = self._consistency * slope
        return nested_step(parameters, x, (nested, values), extra=(self._consistency * loss, extra))

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Set the threshold where mean L0 becomes k; the groups' sizes stay with the coder as ``groups``."""
        return in_groups(coder, self.sizes(coder.d_sae), trajectories)

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return self._choice.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._choice.restore(state)


def consistency(part: Pattern, values: torch.Tensor, *, width: int, temperature: float) -> tuple[float, torch.Tensor]:
    """Return InfoNCE between the codes of the two halves of a batch, and its derivative at each pair.

    ``mean_i -log(exp(s_ii) / sum_j exp(s_ij))`` and the same with halves exchanged, averaged, where ``s_ij`` is the
    cosine of code i of the first half and code j of the second over the temperature; 0 for a code without any
    active feature.

    Parameters
    ----------
    part
        The group's active pairs.
    values
        Their values.
    width
        Number of features in the group; they come first.
    temperature
        See `Temporal`.
    """
    n = part.shape[0] // 2
    codes = torch.zeros((2 * n, width), dtype=values.dtype)
    codes[part.rows, part.columns] = values
    norms = codes.norm(dim=1, keepdim=True).clamp_min(1e-12)
    unit = codes / norms
    now, then = unit[:n], unit[n:]
    scores = now @ then.T / temperature
    own = scores.diagonal().sum()
    loss = (float(scores.logsumexp(1).sum() + scores.logsumexp(0).sum()) / 2 - float(own)) / n
    to_scores = (scores.softmax(1) + scores.softmax(0)) / (2 * n) - torch.eye(n, dtype=values.dtype) / n
    to_unit = torch.cat([to_scores @ then, to_scores.T @ now]) / temperature
    to_codes = (to_unit - unit * (to_unit * unit).sum(1, keepdim=True)) / norms
    return loss, to_codes[part.rows, part.columns]
