"""ReLU with an L1 penalty: every positive pre-activation is active, and activity costs.

    loss = |x - x_hat|^2 + sparsity * sum_i f_i |d_i|        (mean over frames)

The penalty counts an activation times its decoder norm, so that rows need no constraint. At inference the
threshold is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, pre_activations
from brainalign.sae.variants.folding import unit_norm
from brainalign.sae.variants.pairs import (
    added,
    by_feature,
    encoder_gradients,
    pattern_of,
    products,
    summed,
    totals,
    values_at,
)
from brainalign.sae.variants.sparsity import Weight


class ReluL1:
    """One run of ReLU training with an L1 penalty.

    Parameters
    ----------
    sparsity
        The penalty's weight, for frames whose mean squared norm is 1. None (the default) steers it so that k
        features are active on average: a fixed weight gives another sparsity in every layer.
    warm_up
        Share of the run over which a given weight rises from 0. At full weight from the start, features die
        before they have found a direction. Anthropic's recipe warms up over the first 5 %.
    start
        Where a steered weight begins.
    """

    tied_norm = False

    def __init__(self, sparsity: float | None = None, *, warm_up: float = 0.05, start: float = 0.02) -> None:
        self._weight = Weight(sparsity, start=start, warm_up=warm_up)

    def begin(self, trajectories: Sequence[Trajectory], *, n_steps: int) -> None:
        """Learn how long the run is."""
        self._weight.begin(n_steps)

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Return reconstruction and penalty on one batch, and their gradients."""
        pre = pre_activations(parameters, x)
        pattern = pattern_of(pre > 0)
        values, decoder = values_at(pattern, pre), parameters["decoder"]
        residual = summed(pattern, values, decoder) + parameters["b_dec"] - x
        slope = residual * (2 / len(x))
        norms, price = decoder.norm(dim=1), self._weight.value / len(x)
        use = totals(pattern, values)
        to_pre = products(pattern, slope, decoder) + price * norms[pattern.columns]
        to_decoder = by_feature(pattern, values, slope) + (price * use / norms.clamp_min(1e-12))[:, None] * decoder
        gradients = added(
            encoder_gradients(parameters, x, pattern=pattern, to_pre=to_pre),
            {"decoder": to_decoder, "b_dec": slope.sum(0)},
        )
        loss = float(residual.square().sum()) / len(x) + price * float(use @ norms)
        self._weight.after(len(pattern.columns) / len(x), k=k)
        return LossStep(loss, gradients, pattern, residual)

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Return the coder at unit decoder norm with a threshold of 0: a frame's ReLU needs no other frame."""
        plain = replace(coder, threshold=np.zeros(coder.d_sae))
        return replace(unit_norm(plain), metadata={**coder.metadata, "sparsity": self._weight.value})

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return self._weight.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._weight.restore(state)
