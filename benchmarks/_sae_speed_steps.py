"""Whose step is it? Ours, SAELens' and dictionary_learning's, from the same weights, on the same frames."""

from __future__ import annotations

import importlib.util
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from benchmarks._sae_speed_data import Shape
from brainalign.sae.learner import Learner
from brainalign.sae.loss import Parameters
from brainalign.sae.settings import SaeTraining
from brainalign.sae.variants.known import variant_named

Step = Callable[[torch.Tensor], float]
"""One step of training on frames ``(n, d_in)``; gives the loss before it."""

MANY_STEPS = 1_000_000


class MissingPeer(Exception):
    """A peer is not installed."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread and quiet; NumPy's products are kept to one by the environment."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(before)


def cost(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the process' core-seconds of a call, and what it gave."""
    start = time.process_time()
    given = call()
    return time.process_time() - start, given


def our_step(parameters: Parameters, shape: Shape, *, screening: str, unit_norm: bool = True) -> Step:
    """Return this package's step, with its default recipe but for the schedules."""
    recipe = SaeTraining(
        k=shape.k,
        expansion=shape.d_sae / shape.d_in,
        n_steps=MANY_STEPS,
        n_batch=shape.n_batch,
        learning_rate=shape.learning_rate,
        warm_up=0,
        decay=0,
    )
    own = {name: tensor.clone() for name, tensor in parameters.items()}
    variant = variant_named("batchtopk", {"screening": screening, "unit_norm": unit_norm})
    learner = Learner(recipe, variant, parameters=own, n_steps=MANY_STEPS, rate=None, seed=0)

    def step(x: torch.Tensor) -> float:
        with torch.no_grad():
            return learner.update(x).loss

    step.parameters = own  # type: ignore[attr-defined]
    return step


def saelens_step(parameters: Parameters, shape: Shape, *, autocast: bool) -> Step:
    """Return SAELens' trainer's step on its batch-top-k autoencoder."""
    if importlib.util.find_spec("sae_lens") is None:
        raise MissingPeer("sae-lens")
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=shape.d_in, d_sae=shape.d_sae, k=shape.k, device="cpu"))
    with torch.no_grad():
        sae.W_enc.copy_(parameters["encoder"].T)
        sae.b_enc.copy_(parameters["b_enc"])
        sae.W_dec.copy_(parameters["decoder"])
        sae.b_dec.copy_(parameters["b_dec"])
    config = SAETrainerConfig(
        total_training_samples=MANY_STEPS * shape.n_batch,
        train_batch_size_samples=shape.n_batch,
        lr=shape.learning_rate,
        lr_end=shape.learning_rate / 10,  # None, its default, does not get past its own assertion; unused without decay
        autocast=autocast,
    )
    trainer = SAETrainer(config, sae=sae, data_provider=iter(()))

    def step(x: torch.Tensor) -> float:
        output = trainer.step(x)
        trainer.n_training_steps += 1
        return float(output.losses["mse_loss"])

    return step


def dictionary_learning_step(parameters: Parameters, shape: Shape, *, autocast: bool) -> Step:
    """Return dictionary_learning's trainer's update on its batch-top-k autoencoder."""
    if importlib.util.find_spec("dictionary_learning") is None:
        raise MissingPeer("dictionary_learning")
    with _without_nnsight():
        from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

    trainer = BatchTopKTrainer(
        steps=MANY_STEPS,
        activation_dim=shape.d_in,
        dict_size=shape.d_sae,
        k=shape.k,
        layer=0,
        lm_name="none",
        lr=shape.learning_rate,
        warmup_steps=0,
        threshold_start_step=0,
        device="cpu",
    )
    with torch.no_grad():
        trainer.ae.encoder.weight.copy_(parameters["encoder"])
        trainer.ae.encoder.bias.copy_(parameters["b_enc"])
        trainer.ae.decoder.weight.copy_(parameters["decoder"].T)
        trainer.ae.b_dec.copy_(parameters["b_dec"])
    number = 0

    def step(x: torch.Tensor) -> float:
        nonlocal number
        number += 1  # never 0: step 0 would replace the decoder's bias by a geometric median
        with torch.autocast("cpu", dtype=torch.bfloat16) if autocast else nullcontext():
            return float(trainer.update(number, x))

    return step


@contextmanager
def _without_nnsight() -> Iterator[None]:
    """Stand in for nnsight while dictionary_learning is imported: its trainers never use it."""
    if importlib.util.find_spec("nnsight") is not None:
        yield
        return
    sys.modules["nnsight"] = types.ModuleType("nnsight")
    sys.modules["nnsight"].LanguageModel = object  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del sys.modules["nnsight"]


Maker = Callable[[Parameters, Shape], Step]

STEPS: dict[str, Maker] = {
    "brainalign, float32": lambda first, shape: our_step(first, shape, screening="exact"),
    "brainalign, bfloat16 screening": lambda first, shape: our_step(first, shape, screening="bfloat16"),
    "brainalign, free norm, float32": lambda first, shape: our_step(first, shape, screening="exact", unit_norm=False),
    "brainalign, free norm, bfloat16 screening": lambda first, shape: our_step(
        first, shape, screening="bfloat16", unit_norm=False
    ),
    "SAELens, float32": lambda first, shape: saelens_step(first, shape, autocast=False),
    "SAELens, bfloat16 autocast": lambda first, shape: saelens_step(first, shape, autocast=True),
    "dictionary_learning, float32": lambda first, shape: dictionary_learning_step(first, shape, autocast=False),
    "dictionary_learning, bfloat16 autocast": lambda first, shape: dictionary_learning_step(
        first, shape, autocast=True
    ),
}
OWN, OWN_BF16, FREE, FREE_BF16 = list(STEPS)[:4]
SAELENS, DICTIONARY = "SAELens, float32", "dictionary_learning, float32"


def products(shape: Shape) -> dict[str, Callable[[], Any]]:
    """Return the one product that no step can do without, alone, into memory that is there already."""
    left, right = torch.randn(shape.n_batch, shape.d_in), torch.randn(shape.d_sae, shape.d_in)
    calls: dict[str, Callable[[], Any]] = {}
    for name, dtype in {"product, float32": torch.float32, "product, bfloat16": torch.bfloat16}.items():
        x, table = left.to(dtype), right.to(dtype)
        room = torch.empty(shape.n_batch, shape.d_sae, dtype=dtype)
        calls[name] = lambda x=x, table=table, room=room: torch.mm(x, table.T, out=room)
    return calls
