"""How do dead features start again? At frames that the living ones explain poorly.

Frames are drawn by their squared error; a dead feature takes what is missing of one as
its direction, at the living ones' mean length, and forgets Adam's moments. Nothing is added to
the loss. On a planted dictionary learnt too fast it helped little (alive 0.74 to 0.78, mean
|cosine| to the truth 0.938 to 0.943; the auxiliary loss of `brainalign.sae.revive`: 0.93 and
0.966), and longer new rows did harm: try that loss first.
"""

from __future__ import annotations

import numpy as np
import torch

from brainalign.sae.loss import LossStep, Parameters


def resample(
    parameters: Parameters,
    optimiser: torch.optim.Optimizer,
    step: LossStep,
    *,
    dead: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Start dead features again, in place, each at a frame of its own.

    Parameters
    ----------
    parameters
        The coder's parameters. A variant's own with one row per feature get the mean of the
        living rows.
    optimiser
        Adam, whose moments of these rows are forgotten.
    step
        The step of a batch, whose residual says what is missing.
    dead
        Numbers of the dead features.
    rng
        Draws the frames.

    Returns
    -------
    numpy.ndarray
        Numbers of those that did start again: not more than there are frames with an error.
    """
    missing = -step.residual
    errors = missing.square().sum(1).double().numpy()
    n = min(int(dead.size), int(np.count_nonzero(errors)))
    if n == 0 or dead.size == step.pattern.shape[1]:
        return dead[:0]
    drawn = rng.choice(len(errors), size=n, replace=False, p=errors / errors.sum())
    directions = missing[torch.from_numpy(drawn)]
    directions = directions / directions.norm(dim=1, keepdim=True)
    chosen = np.sort(rng.permutation(dead)[:n])
    rows = torch.from_numpy(chosen)
    alive = torch.ones(step.pattern.shape[1], dtype=torch.bool)
    alive[torch.from_numpy(dead)] = False
    length = {name: parameters[name][alive].norm(dim=1).mean() for name in ("encoder", "decoder")}
    new = {name: directions * mean for name, mean in length.items()} | {"b_enc": torch.zeros(n)}
    for name, tensor in parameters.items():
        if tensor.ndim and len(tensor) == len(alive):
            tensor[rows] = new[name] if name in new else tensor[alive].mean(0)
            _forget(optimiser, tensor, rows)
    return chosen


def _forget(optimiser: torch.optim.Optimizer, tensor: torch.Tensor, rows: torch.Tensor) -> None:
    for moment in optimiser.state[tensor].values():
        if moment.shape == tensor.shape:
            moment[rows] = 0
