"""How do dead features come back? They are trained to explain what the living ones leave over.

The auxiliary loss of top-k training: the ``d_in / 2`` strongest dead features of each frame
reconstruct the residual, taken as a constant and measured against its own variance.
"""

from __future__ import annotations

import numpy as np
import torch

from brainalign.sae.loss import LossStep, Parameters, Pattern, combine, pattern_gradients, pre_activations


def revival_gradients(
    parameters: Parameters, x: torch.Tensor, step: LossStep, *, dead: np.ndarray, weight: float
) -> Parameters | None:
    """Return the auxiliary loss' gradients, or None where no feature is dead.

    Parameters
    ----------
    parameters
        The coder's parameters.
    x
        Scaled frames, shape ``(n_frames, d_in)``.
    step
        The main loss' step on these frames.
    dead
        Numbers of the dead features, sorted.
    weight
        Weight of the loss ``|e - e_hat|^2 / |e - mean(e)|^2``.
    """
    if not dead.size:
        return None
    numbers = torch.from_numpy(dead)
    pre = pre_activations({**parameters, **{name: parameters[name][numbers] for name in ("encoder", "b_enc")}}, x)
    n = min(dead.size, max(1, x.shape[1] // 2))
    chosen, values = _strongest(pre, numbers, n=n, d_sae=len(parameters["encoder"]))
    missing = -step.residual
    spread = (missing - missing.mean(0)).square().sum().clamp_min(torch.finfo(x.dtype).tiny)
    slope = (combine(chosen, values, parameters["decoder"]) - missing) * (2 * weight / spread)
    return pattern_gradients(parameters, x, slope, (chosen, values))


def _strongest(pre: torch.Tensor, dead: torch.Tensor, *, n: int, d_sae: int) -> tuple[Pattern, torch.Tensor]:
    """Return the n strongest dead features of every frame where positive, sorted by frame and feature.

    Only the dead ones' pre-activations are computed, one column each.
    """
    found = pre.topk(n, dim=1).indices.sort(dim=1).values
    values, columns = pre.gather(1, found), dead[found]
    positive = values > 0
    rows = torch.arange(len(pre))[:, None].expand_as(columns)
    return Pattern(rows[positive], columns[positive], (len(pre), d_sae)), values[positive]
