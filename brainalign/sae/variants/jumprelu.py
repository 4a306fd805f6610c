"""JumpReLU: a learnt threshold for each feature, trained through the jump by straight-through gradients.

    f = pre where pre > theta, else 0        theta = exp(log_threshold)
    loss = |x - x_hat|^2 + sparsity * S + dead * sum_i relu(theta_i - pre_i) |d_i|        (mean over frames)
    tanh:  S = sum_i tanh(steepness * f_i |d_i|)        step:  S = number of active features

At the jump the derivative of f is a spike; a rectangle of width ``bandwidth`` stands for it. The form of January 2025
(Anthropic) lets it reach all parameters and needs a wide one; the form of 2024 (DeepMind) moves thresholds only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from brainalign.core.errors import unknown_name
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters, Pattern, pre_activations
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


@dataclass(frozen=True)
class _Form:
    """What differs between the two published forms (lengths at a mean squared norm of 1, or of d_in if ``rooted``)."""

    threshold: float
    bandwidth: float
    dead: float
    rooted: bool


FORMS = {"tanh": _Form(0.1, 0.5, 3e-6, True), "step": _Form(0.1, 0.1, 0.0, False)}


@dataclass(frozen=True, eq=False)
class _Jump:
    """One batch at the jump: the pairs that are active or near it, and what the loss sees of each."""

    pre: torch.Tensor
    near: Pattern
    values: torch.Tensor
    active: torch.Tensor
    theta: torch.Tensor
    spike: torch.Tensor

    @property
    def fired(self) -> Pattern:
        """The pairs that are active."""
        return Pattern(self.near.rows[self.active], self.near.columns[self.active], self.near.shape)


@dataclass(frozen=True, eq=False)
class _Price:
    """What the sparsity penalty adds to derivatives: of values, of the spike's thresholds, of the decoder."""

    value: torch.Tensor | float
    spike: torch.Tensor | float
    decoder: torch.Tensor | float


class JumpReLU:
    """One run of JumpReLU training.

    Lengths (threshold, bandwidth, 1 / steepness) of the tanh form are in units in which frames have a mean squared
    norm of d_in, and weights are those of losses in these units, so that Anthropic's numbers can be used as they are;
    the step form's are at a mean squared norm of 1, as DeepMind's. The published numbers suit a billion frames.
    On 0.5 million frames of a planted dictionary, tanh with a bandwidth of 2 and a steepness of 4 (Anthropic's)
    left 30 % of the features dead and found the truth to a mean cosine of 0.70, with 0.5 and 1 it was 2 % and
    0.92; the step's 0.001 moved no threshold at all. Hence the defaults.

    Parameters
    ----------
    sparsity
        The penalty's weight. None (the default) steers it so that k features are active on average.
    penalty
        ``"tanh"`` (January 2025) or ``"step"`` (L0 itself, 2024).
    threshold
        Where thresholds begin; None means 0.1 (published: 0.1 for tanh, 0.001 for step).
    bandwidth
        Width of the rectangle; None means 0.5 for tanh, 0.1 for step (published: 2 and 0.001).
    steepness
        Of the tanh (published: 4).
    dead
        Weight of the loss that pulls pre-activations up to their threshold, which is felt where nothing else is: by
        features that never fire. None means 3e-6 (tanh) or 0 (step).
    warm_up
        Share of the run over which a given ``sparsity`` rises from 0.
    begin_active
        The encoder's bias is set on the first batch such that this many times k features are active on average,
        all equally often.
    """

    tied_norm = False

    def __init__(
        self,
        sparsity: float | None = None,
        *,
        penalty: Literal["tanh", "step"] = "tanh",
        threshold: float | None = None,
        bandwidth: float | None = None,
        steepness: float = 1.0,
        dead: float | None = None,
        warm_up: float = 1.0,
        begin_active: float = 10.0,
    ) -> None:
        if penalty not in FORMS:
            raise unknown_name(penalty, among=FORMS, kind="JumpReLU penalty")
        form = FORMS[penalty]
        self._form = _Form(
            form.threshold if threshold is None else threshold,
            form.bandwidth if bandwidth is None else bandwidth,
            form.dead if dead is None else dead,
            form.rooted,
        )
        self._tanh = penalty == "tanh"
        self._steepness = steepness
        self._weight = Weight(sparsity, start=1.0 if self._tanh else 1e-3, warm_up=warm_up)
        self._begin_active = begin_active
        self._begun = False
        self._unit = 1.0
        self._trained: Parameters = {}

    def begin(self, trajectories: Sequence[Trajectory], *, n_steps: int) -> None:
        """Learn how long the run is."""
        self._weight.begin(n_steps)

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters and the logarithm of the thresholds, ``log_threshold (d_sae,)``."""
        self._unit = float(initial["decoder"].shape[1] ** 0.5) if self._form.rooted else 1.0
        start = float(np.log(self._form.threshold / self._unit))
        self._trained = {**initial, "log_threshold": torch.full_like(initial["b_enc"], start)}
        return self._trained

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Return the loss on one batch, and its straight-through gradients."""
        if not self._begun:
            self._spread(parameters, x, k=k)
        self._trained = parameters
        decoder = parameters["decoder"]
        jump = self._jump(parameters, x)
        residual = summed(jump.near, jump.values, decoder) + parameters["b_dec"] - x
        slope = residual * (2 / len(x))
        penalty, price = self._penalty(parameters, jump)
        upstream = products(jump.near, slope, decoder) + price.value
        to_pre = upstream * (jump.active + jump.spike) if self._tanh else upstream * jump.active
        error, pull = self._pull(parameters, x, jump)
        gradients = added(
            encoder_gradients(parameters, x, pattern=jump.near, to_pre=to_pre),
            {
                "decoder": by_feature(jump.near, jump.values, slope) + price.decoder,
                "b_dec": slope.sum(0),
                "log_threshold": -totals(jump.near, upstream * jump.spike * jump.theta + price.spike),
            },
            pull,
        )
        fired = jump.fired
        self._weight.after(len(fired.columns) / len(x), k=k)
        return LossStep(float(residual.square().sum()) / len(x) + penalty + error, gradients, fired, residual)

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Return the coder at unit decoder norm with its learnt thresholds."""
        theta = np.exp(self._trained["log_threshold"].detach().numpy().astype(np.float64))
        folded = unit_norm(replace(coder, threshold=theta))
        return replace(folded, metadata={**coder.metadata, "sparsity": self._weight.value})

    def state(self) -> dict[str, float]:
        """Return what a later run needs to go on."""
        return {**self._weight.state(), "begun": float(self._begun)}

    def restore(self, state: Mapping[str, float]) -> None:
        """Take back what `state` gave."""
        self._weight.restore(state)
        self._begun = bool(state["begun"])

    def _spread(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> None:
        """Set the bias so that all features start equally active."""
        pre = pre_activations(parameters, x)
        share = min(0.5, self._begin_active * k / pre.shape[1])
        highest = pre.topk(max(1, round(share * len(x))), dim=0).values[-1]
        parameters["b_enc"] += parameters["log_threshold"].exp() - highest
        self._begun = True

    def _jump(self, parameters: Parameters, x: torch.Tensor) -> _Jump:
        pre, theta = pre_activations(parameters, x), parameters["log_threshold"].exp()
        width = self._form.bandwidth / self._unit
        near = pattern_of((pre > theta) | ((pre - theta).abs() < width / 2))
        here, limit = values_at(near, pre), theta[near.columns]
        active = here > limit
        spike = torch.where((here - limit).abs() < width / 2, limit / width, 0.0)
        return _Jump(pre, near, torch.where(active, here, 0.0), active, limit, spike)

    def _penalty(self, parameters: Parameters, jump: _Jump) -> tuple[float, _Price]:
        """Return the sparsity penalty and its derivatives."""
        n, decoder = jump.near.shape[0], parameters["decoder"]
        weight = self._weight.value / n / self._unit**2
        if not self._tanh:
            # d/d log(theta) of a step is the spike itself, without the theta that f's own jump has
            return weight * int(jump.active.sum()), _Price(0.0, weight * jump.spike, 0.0)
        norms = decoder.norm(dim=1)
        here, steep = norms[jump.near.columns], self._steepness * self._unit
        bent = torch.tanh(steep * jump.values * here)
        slope = weight * steep * (1 - bent.square())
        to_decoder = _along(decoder, norms, totals(jump.near, slope * jump.values))
        return weight * float(bent.sum()), _Price(slope * here, 0.0, to_decoder)

    def _pull(self, parameters: Parameters, x: torch.Tensor, jump: _Jump) -> tuple[float, Parameters]:
        """Return the loss of pre-activations below their threshold, and its gradients.

        Almost all pairs are below: each sum over them is the sum over all frames less that over the active pairs.
        """
        if not self._form.dead:
            return 0.0, {}
        n, fired, values = len(x), jump.fired, jump.values[jump.active]
        theta, norms = parameters["log_threshold"].exp(), parameters["decoder"].norm(dim=1)
        ones, centred = torch.ones_like(values), x - parameters["b_dec"]
        below = n - totals(fired, ones)
        missing = below * theta - (jump.pre.sum(0) - totals(fired, values))
        weight = self._form.dead / self._unit / n
        pulled = weight * norms
        gradients = {
            "encoder": -pulled[:, None] * (centred.sum(0) - by_feature(fired, ones, centred)),
            "b_enc": -pulled * below,
            "b_dec": (pulled * below) @ parameters["encoder"],
            "log_threshold": pulled * below * theta,
            "decoder": _along(parameters["decoder"], norms, weight * missing),
        }
        return float(missing @ pulled), gradients


def _along(decoder: torch.Tensor, norms: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the gradient of ``sum_i weights_i |d_i|`` with respect to the decoder."""
    return (weights / norms.clamp_min(1e-12))[:, None] * decoder
