"""Gated: one map decides which features are active, a rescaled copy of it how much.

    gate = (x - b_dec) @ encoder.T + b_enc                  active where gate > 0
    mag  = exp(r_mag) * (gate - b_enc) + b_mag              f = relu(mag) where active
    loss = |x - x_hat(f)|^2 + |x - x_frozen(relu(gate))|^2 + sparsity * sum relu(gate)        (mean over frames)

The L1 penalty shrinks the gate only; the second reconstruction, through a decoder held constant, keeps the gate
meaningful (Rajamanoharan et al. 2024). A finished coder is exactly a JumpReLU, because gate > 0 is
mag > b_mag - exp(r_mag) * b_enc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, Pattern, pre_activations
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


class Gated:
    """One run of Gated training; the decoder keeps unit norm.

    Parameters
    ----------
    sparsity
        Weight of the L1 penalty on the gate, for frames whose mean squared norm is 1. None (the default) steers it
        so that k features are active on average.
    warm_up
        Share of the run over which a given weight rises from 0.
    start
        Where a steered weight begins.
    auxiliary
        Weight of the gate's own reconstruction (1 in the paper).
    """

    def __init__(
        self, sparsity: float | None = None, *, warm_up: float = 0.05, start: float = 0.02, auxiliary: float = 1.0
    ) -> None:
        self._weight = Weight(sparsity, start=start, warm_up=warm_up)
        self._auxiliary = auxiliary
        self._trained: Parameters = {}

    def begin(self, trajectories: Sequence[Trajectory], *, n_steps: int) -> None:
        """Learn how long the run is."""
        self._weight.begin(n_steps)

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters and the magnitude's own: ``r_mag`` and ``b_mag``, both ``(d_sae,)``."""
        own = {"r_mag": torch.zeros_like(initial["b_enc"]), "b_mag": initial["b_enc"].clone()}
        self._trained = {**initial, **own}
        return self._trained

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Return both reconstructions' loss and the penalty on one batch, and their gradients."""
        self._trained = parameters
        decoder, growth = parameters["decoder"], parameters["r_mag"].exp()
        gate = pre_activations(parameters, x)
        magnitude = growth * (gate - parameters["b_enc"]) + parameters["b_mag"]
        fired = pattern_of((gate > 0) & (magnitude > 0))
        values = values_at(fired, magnitude)
        residual = summed(fired, values, decoder) + parameters["b_dec"] - x
        slope = residual * (2 / len(x))
        to_value = products(fired, slope, decoder)
        # the projection that gate and magnitude share: the pre-activation without the gate's bias
        main = encoder_gradients(parameters, x, pattern=fired, to_pre=to_value * growth[fired.columns])
        shared = values - parameters["b_mag"][fired.columns]
        own = {"b_mag": totals(fired, to_value), "r_mag": totals(fired, to_value * shared)}
        del main["b_enc"]
        loss, aside = self._gate(parameters, x, gate)
        gradients = added(main, own, {"decoder": by_feature(fired, values, slope), "b_dec": slope.sum(0)}, aside)
        self._weight.after(len(fired.columns) / len(x), k=k)
        return LossStep(float(residual.square().sum()) / len(x) + loss, gradients, fired, residual)

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Return the JumpReLU that is this gate and magnitude."""
        arrays = {name: self._trained[name].detach().numpy().astype(np.float64) for name in ("r_mag", "b_mag")}
        growth = np.exp(arrays["r_mag"])
        return replace(
            coder,
            W_enc=coder.W_enc * growth,
            b_enc=arrays["b_mag"],
            threshold=arrays["b_mag"] - growth * coder.b_enc,
            metadata={**coder.metadata, "sparsity": self._weight.value},
        )

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return self._weight.state()

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._weight.restore(state)

    def _gate(self, parameters: Parameters, x: torch.Tensor, gate: torch.Tensor) -> tuple[float, Parameters]:
        """Return the gate's penalty and its reconstruction through a decoder held constant, and their gradients."""
        open_: Pattern = pattern_of(gate > 0)
        values, decoder = values_at(open_, gate), parameters["decoder"]
        residual = summed(open_, values, decoder) + parameters["b_dec"] - x
        price = self._weight.value / len(x)
        to_gate = products(open_, residual * (2 * self._auxiliary / len(x)), decoder) + price
        loss = self._auxiliary * float(residual.square().sum()) / len(x) + price * float(values.sum())
        return loss, encoder_gradients(parameters, x, pattern=open_, to_pre=to_gate)
