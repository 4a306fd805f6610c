"""What is trained on, and from where? Planted sparse causes in many inputs, and one first decoder for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from brainalign.core.seeds import generator
from brainalign.sae.loss import Parameters

_NOISE, _OFFSET = 0.02, 3.0


@dataclass(frozen=True)
class Shape:
    """How large a sparse autoencoder and its batches are.

    Attributes
    ----------
    d_in, d_sae, k
        Inputs, features, and active features per frame.
    n_batch
        Frames per step.
    learning_rate
        Adam's, the same from the first step to the last.
    """

    d_in: int
    d_sae: int
    k: int
    n_batch: int
    learning_rate: float


@dataclass(frozen=True, eq=False)
class World:
    """Frames that are sparse sums of directions, far off the origin, with a mean squared norm of 1.

    Attributes
    ----------
    directions
        Shape ``(n_causes, d_in)``.
    chance
        Of each cause in a frame; a few are common and most are rare.
    offset
        Shape ``(d_in,)``.
    scale
        What makes the mean squared norm 1.
    """

    directions: np.ndarray
    chance: np.ndarray
    offset: np.ndarray
    scale: np.float32

    def frames(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw frames, float32, shape ``(n, d_in)``."""
        present = rng.random((n, len(self.chance)), dtype=np.float32) < self.chance
        causes = np.zeros(present.shape, dtype=np.float32)
        causes[present] = 0.5 + rng.exponential(0.5, int(present.sum()))
        x = causes @ self.directions + self.offset
        return (x + np.float32(_NOISE) * rng.standard_normal(x.shape, dtype=np.float32)) * self.scale


def make_world(shape: Shape, seed: int) -> World:
    """Plant half as many causes as there are features, nearly k at a time."""
    rng = generator(seed, "sae speed", "world")
    n_causes = shape.d_sae // 2
    directions = rng.standard_normal((n_causes, shape.d_in), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chance = np.arange(1, n_causes + 1) ** -0.6
    chance = np.minimum(0.5, 0.8 * shape.k * chance / chance.sum()).astype(np.float32)
    offset = (_OFFSET * rng.standard_normal(shape.d_in) / np.sqrt(shape.d_in)).astype(np.float32)
    unscaled = World(directions, chance, offset, np.float32(1))
    sample = unscaled.frames(2048, rng)
    return World(directions, chance, offset, np.float32(1 / np.sqrt(np.square(sample).sum(1).mean())))


def batches(world: World, shape: Shape, seed: int) -> Iterator[torch.Tensor]:
    """Yield fresh frames for step after step, the same for the same seed."""
    rng = generator(seed, "sae speed", "frames")
    while True:
        yield torch.from_numpy(world.frames(shape.n_batch, rng))


def first_parameters(world: World, shape: Shape, seed: int) -> Parameters:
    """Return random unit directions for decoder and encoder, and the frames' mean as the decoder's bias."""
    rng = generator(seed, "sae speed", "first")
    decoder = rng.standard_normal((shape.d_sae, shape.d_in), dtype=np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    return {
        "encoder": torch.from_numpy(decoder.copy()),
        "b_enc": torch.zeros(shape.d_sae),
        "decoder": torch.from_numpy(decoder),
        "b_dec": torch.from_numpy(world.frames(4096, rng).mean(0)),
    }
