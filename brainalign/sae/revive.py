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
    pre = pre_activations(parameters, x)
    chosen, values = _strongest(pre, torch.from_numpy(dead), n=min(dead.size, max(1, x.shape[1] // 2)))
    missing = -step.residual
    spread = (missing - missing.mean(0)).square().sum().clamp_min(torch.finfo(x.dtype).tiny)
    slope = (combine(chosen, values, parameters["decoder"]) - missing) * (2 * weight / spread)
    return pattern_gradients(parameters, x, slope, (chosen, values))


def _strongest(pre: torch.Tensor, dead: torch.Tensor, *, n: int) -> tuple[Pattern, torch.Tensor]:
    """Return the n strongest dead features of every frame where positive, sorted by frame and feature."""
    found = pre[:, dead].topk(n, dim=1).indices.sort(dim=1).values
    columns = dead[found]
    values = pre.gather(1, columns)
    positive = values > 0
    rows = torch.arange(len(pre))[:, None].expand_as(columns)
    return Pattern(rows[positive], columns[positive], tuple(pre.shape)), values[positive]
