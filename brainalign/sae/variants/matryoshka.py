"""Matryoshka BatchTopK: the first features alone must explain what they can, the first and the next together more.

    loss = mean over prefixes g of |x - x_hat(first n_g features)|^2        (mean over frames)

A general feature cannot be split up among special ones without cost to the small dictionaries, so it stays in front
(against absorption). Active features are chosen as in BatchTopK, over all prefixes at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from brainalign.core.errors import ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.calibrate import calibrate
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, Pattern
from brainalign.sae.screening import Screening
from brainalign.sae.variants.pairs import added, by_feature, encoder_gradients, products, summed
from brainalign.sae.variants.selection import LargestOfBatch


class Matryoshka:
    """One run of Matryoshka BatchTopK training.

    Parameters
    ----------
    n_groups
        Number of nested prefixes.
    ratio
        How many times as many features each prefix has as the one before it: by default 1/16, 1/8, 1/4, 1/2 and
        all of the features.
    screening
        How the largest pre-activations are found: ``"exact"`` or ``"bfloat16"``.
    """

    def __init__(self, n_groups: float = 5, *, ratio: float = 2.0, screening: Screening = "exact") -> None:
        if not (n_groups >= 1 and n_groups == int(n_groups) and ratio > 1):
            got = f"n_groups={n_groups}, ratio={ratio}"
            raise ValueProblem("prefixes must grow", got=got, fix="give a whole n_groups >= 1 and a ratio > 1")
        self._n_groups, self._ratio = int(n_groups), float(ratio)
        self._choice = LargestOfBatch(screening)

    def sizes(self, d_sae: int) -> tuple[int, ...]:
        """Return how many features each prefix has, the last one all of them."""
        wanted = [round(d_sae / self._ratio**power) for power in reversed(range(self._n_groups))]
        if wanted[0] < 1 or len(set(wanted)) < len(wanted):
            got = f"prefixes of {wanted} features"
            raise ValueProblem("there are too few features for so many prefixes", got=got, fix="lower n_groups")
        return tuple(wanted)

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        self.sizes(len(initial["decoder"]))
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Keep the batch's largest pre-activations and return the mean loss of all prefixes."""
        pattern, values = self._choice.active(parameters, x, k=k)
        nested = nest(pattern, sizes=self.sizes(pattern.shape[1]))
        return nested_step(parameters, x, (nested, values))

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Set the threshold where mean L0 becomes k; the prefixes' sizes stay with the coder as ``groups``."""
        return in_groups(coder, self.sizes(coder.d_sae), trajectories)

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return self._choice.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._choice.restore(state)


def in_groups(coder: SparseCoder, sizes: Sequence[int], trajectories: Sequence[Trajectory]) -> SparseCoder:
    """Return a coder calibrated on these frames that knows the sizes of its prefixes."""
    return calibrate(replace(coder, metadata={**coder.metadata, "groups": list(sizes)}), trajectories)


@dataclass(frozen=True, eq=False)
class Nested:
    """The active pairs of a batch, and which of them belong to which group of features.

    Parameters
    ----------
    whole
        All active pairs.
    members
        For each group, the positions of its pairs in ``whole``.
    """

    whole: Pattern
    members: tuple[torch.Tensor, ...]

    @property
    def parts(self) -> tuple[Pattern, ...]:
        """Each group's own pairs."""
        whole = self.whole
        return tuple(Pattern(whole.rows[at], whole.columns[at], whole.shape) for at in self.members)


def nest(pattern: Pattern, *, sizes: Sequence[int]) -> Nested:
    """Divide pairs among the groups whose prefixes have these sizes."""
    group = np.searchsorted(np.asarray(sizes), pattern.columns.numpy(), side="right")
    return Nested(pattern, tuple(torch.from_numpy(np.flatnonzero(group == number)) for number in range(len(sizes))))


def nested_step(
    parameters: Parameters,
    x: torch.Tensor,
    active: tuple[Nested, torch.Tensor],
    *,
    extra: tuple[float, torch.Tensor] | None = None,
) -> LossStep:
    """Return the mean squared error of all prefixes, and its gradients.

    Parameters
    ----------
    parameters
        The coder's parameters.
    x
        Scaled frames, shape ``(n_frames, d_in)``.
    active
        The active pairs, by group, and the pre-activation of each.
    extra
        A further loss of the active values, and its derivative for each pair.
    """
    nested, values = active
    whole, parts, decoder = nested.whole, nested.parts, parameters["decoder"]
    residual, residuals = parameters["b_dec"] - x, []
    for part, at in zip(parts, nested.members, strict=True):
        residual = residual + summed(part, values[at], decoder)
        residuals.append(residual)
    loss, to_pre = extra or (0.0, torch.zeros_like(values))
    loss += sum(float(item.square().sum()) for item in residuals) / len(x) / len(parts)
    to_pre, to_decoder, slope = to_pre.clone(), torch.zeros_like(decoder), torch.zeros_like(x)
    # a feature is in its group's prefix and all larger ones, so slopes add up from the last group to the first
    for part, at, item in reversed(list(zip(parts, nested.members, residuals, strict=True))):
        slope = slope + item * (2 / len(x) / len(parts))
        to_pre[at] += products(part, slope, decoder)
        to_decoder += by_feature(part, values[at], slope)
    gradients = added(
        encoder_gradients(parameters, x, pattern=whole, to_pre=to_pre),
        {"decoder": to_decoder, "b_dec": slope.sum(0)},
    )
    return LossStep(loss, gradients, whole, residual)
