"""How would a model listen that has learnt nothing? The same architecture at its random start."""

from __future__ import annotations

from dataclasses import replace

import torch

from brainalign.encoders.hugging import HuggingEncoder


def untrained_twin(encoder: HuggingEncoder, *, seed: int) -> HuggingEncoder:
    """Return an encoder of the same configuration, clock and input with its library's own random weights.

    Parameters
    ----------
    encoder
        The trained one; it stays as it is.
    seed
        Of the weights: the same seed gives the same twin. Torch's own generator is left as it was.
    """
    first = next(encoder.model.parameters())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = type(encoder.model)(encoder.model.config)
    model = model.to(device=first.device, dtype=first.dtype).eval().requires_grad_(False)
    identity = {**encoder.identity, "untrained_twin": True, "twin_seed": seed}
    return replace(encoder, name=f"untrained twin of {encoder.name}", model=model, identity=identity)
