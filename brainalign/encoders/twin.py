"""How would a model listen that has learnt nothing? The same architecture at its random start, or shuffled.

An untrained twin has the weights that its library starts training from: small, and of one size
within a tensor. A shuffled twin has the trained ones, heavy tails and all, in another order.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from brainalign.core.seeds import generator
from brainalign.encoders.hugging import HuggingEncoder

# What a batch norm has learnt without a gradient.
_RUNNING = ("running_mean", "running_var")


def untrained_twin(encoder: HuggingEncoder, *, seed: int) -> HuggingEncoder:
    """Return an encoder of the same configuration, clock and input with its library's own random weights.

    Parameters
    ----------
    encoder
        The trained one; it stays as it is.
    seed
        Of the weights: the same seed gives the same twin. Torch's own generator is left as it was.
    """
    model = _like(_fresh(encoder, seed=seed), encoder)
    identity = {**encoder.identity, "untrained_twin": True, "twin_seed": seed}
    return replace(encoder, name=f"untrained twin of {encoder.name}", model=model, identity=identity)


def shuffled_twin(encoder: HuggingEncoder, *, seed: int) -> HuggingEncoder:
    """Return an encoder whose every tensor of weights holds the trained numbers in random order.

    Each tensor keeps its distribution of values, and loses what stands where. Biases, the weights of norms and the
    running statistics of batch norms are shuffled like the rest, each within itself: left in place, they
    would still say which of a layer's channels are loud, which is learnt. A convolution with weight norm
    has its two factors shuffled. Tables that are never trained (Whisper's sinusoids, rotary frequencies) stay.

    Parameters
    ----------
    encoder
        The trained one; it stays as it is.
    seed
        Of the orders: each tensor has its own, by its name.
    """
    model = _fresh(encoder, seed=seed)
    names = _learnt(model)
    state = {
        name: _shuffled(tensor, seed=seed, name=name) if name in names else tensor
        for name, tensor in encoder.model.state_dict().items()
    }
    model.load_state_dict(state)
    identity = {**encoder.identity, "shuffled_twin": True, "twin_seed": seed}
    return replace(encoder, name=f"shuffled twin of {encoder.name}", model=_like(model, encoder), identity=identity)


def _fresh(encoder: HuggingEncoder, *, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return type(encoder.model)(encoder.model.config)


def _like(model: nn.Module, encoder: HuggingEncoder) -> nn.Module:
    first = next(encoder.model.parameters())
    return model.to(device=first.device, dtype=first.dtype).eval()


def _learnt(fresh: nn.Module) -> set[str]:
    """Name the tensors that training changes: a fresh model still knows which parameters have gradients."""
    names = {name for name, parameter in fresh.named_parameters() if parameter.requires_grad}
    return names | {name for name, _ in fresh.named_buffers() if name.rpartition(".")[2] in _RUNNING}


def _shuffled(tensor: Tensor, *, seed: int, name: str) -> Tensor:
    order = torch.from_numpy(generator(seed, "shuffled-twin", name).permutation(tensor.numel()))
    return tensor.flatten()[order.to(tensor.device)].reshape(tensor.shape)
