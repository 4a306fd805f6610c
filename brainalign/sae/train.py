"""How is a sparse coder learnt from frames? Adam on hand-written sparse gradients, the same bytes every time.

Recipe: input scaled to a mean squared norm of 1; decoder bias at the data's mean (speech
frames lie far off the origin); encoder starts as the transposed decoder; decoder rows keep
unit norm; the threshold is calibrated at the end. No aux loss, as in AudioSAE.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch

from brainalign.core.errors import ValueProblem
from brainalign.core.hashing import plain
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import LossStep, Parameters
from brainalign.sae.revive import revival_gradients
from brainalign.sae.settings import SaeTraining
from brainalign.sae.stream import Corpus, minibatches, survey
from brainalign.sae.variants.base import Variant
from brainalign.sae.variants.known import variant_named

__all__ = ["SaeTraining", "train_sae"]

Progress = Callable[[int, int, str], None]

N_REPORTS = 100


def train_sae(
    trajectories: Sequence[Trajectory], settings: SaeTraining, *, seed: int, progress: Progress | None = None
) -> SparseCoder:
    """Train a sparse coder on the frames of many trajectories.

    Parameters
    ----------
    trajectories
        Dense trajectories of one layer; memory-mapped ones are read in buffers.
    settings
        The recipe.
    seed
        Decides the first decoder and the order of the frames; same seed, same bytes.
    progress
        Called about a hundred times as ``progress(done, total, note)``.

    Returns
    -------
    SparseCoder
        Calibrated: on the training frames its mean number of active features is ``k``.
    """
    frames = tuple(trajectories)
    corpus = survey(frames)
    variant = variant_named(settings.variant)
    run = _Run(settings, variant, settings.steps(corpus.n_frames), settings.width(corpus.d_in))
    with _quiet_threads(settings.n_threads):
        parameters = variant.parameters(_initial(corpus, run.d_sae, generator(seed, "sae", "init")))
        batches = minibatches(frames, n_batch=settings.n_batch, rng=generator(seed, "sae", "order"))
        _learn(parameters, _scaled(batches, corpus), run, progress)
    coder = _coder(parameters, corpus, settings, {**_origin(frames), "n_frames": corpus.n_frames, "seed": seed})
    return variant.finish(coder, frames)


@dataclass
class _Run:
    """What stays the same over a run, and when each feature last fired (in steps)."""

    settings: SaeTraining
    variant: Variant
    n_steps: int
    d_sae: int
    last_fired: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.last_fired = np.zeros(self.d_sae, dtype=np.int64)

    def dead(self, step: int) -> np.ndarray:
        """Return the numbers of the features that have not fired for too long."""
        if self.settings.revive_after is None:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(step - self.last_fired > self.settings.revive_after * self.n_steps)


@contextmanager
def _quiet_threads(n: int) -> Iterator[None]:
    """Run on n threads and put the caller's number back; PyTorch calls CSR "beta" once per process."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support", category=UserWarning)
            yield
    finally:
        torch.set_num_threads(before)


def _initial(corpus: Corpus, d_sae: int, rng: np.random.Generator) -> Parameters:
    directions = rng.standard_normal((d_sae, corpus.d_in))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    decoder = torch.from_numpy(directions.astype(np.float32))
    return {
        "encoder": decoder.clone(),
        "b_enc": torch.zeros(d_sae),
        "decoder": decoder,
        "b_dec": torch.from_numpy((corpus.mean * corpus.scale).astype(np.float32)),
    }


def _scaled(batches: Iterator[np.ndarray], corpus: Corpus) -> Iterator[torch.Tensor]:
    factor = np.float32(corpus.scale)
    for batch in batches:
        yield torch.from_numpy(batch * factor)


def _learn(parameters: Parameters, batches: Iterator[torch.Tensor], run: _Run, progress: Progress | None) -> None:
    """Update the parameters in place, ``run.n_steps`` times."""
    optimiser = torch.optim.Adam(list(parameters.values()), lr=0.0, betas=(0.9, 0.999), fused=True)
    every = max(1, run.n_steps // N_REPORTS)
    for number, x in enumerate(islice(batches, run.n_steps)):
        k = run.settings.k_at(number, n_steps=run.n_steps, d_sae=run.d_sae)
        step = run.variant.step(parameters, x, k=k)
        _set_gradients(parameters, x, step, run, number)
        optimiser.param_groups[0]["lr"] = run.settings.rate_at(number, n_steps=run.n_steps, d_sae=run.d_sae)
        optimiser.step()
        parameters["decoder"] /= parameters["decoder"].norm(dim=1, keepdim=True)
        _require_convergence(step.loss, number)
        if progress and ((number + 1) % every == 0 or number + 1 == run.n_steps):
            progress(number + 1, run.n_steps, f"loss {step.loss:.4f}")


def _set_gradients(parameters: Parameters, x: torch.Tensor, step: LossStep, run: _Run, number: int) -> None:
    """Hand the optimiser this step's gradients: revival added, decoder kept on its sphere, norm clipped."""
    run.last_fired[step.pattern.columns.numpy()] = number
    extra = revival_gradients(parameters, x, step, dead=run.dead(number), weight=run.settings.revive_weight)
    gradients = {name: g + extra[name] if extra and name in extra else g for name, g in step.gradients.items()}
    decoder = parameters["decoder"]
    along = (gradients["decoder"] * decoder).sum(1, keepdim=True)
    gradients["decoder"] = gradients["decoder"] - along * decoder
    norm = float(torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt())
    factor = min(1.0, run.settings.clip / max(norm, 1e-12))
    for name, tensor in parameters.items():
        tensor.grad = gradients[name] * factor


def _require_convergence(loss: float, number: int) -> None:
    if not np.isfinite(loss):
        raise ValueProblem(
            "training diverged", got=f"loss {loss} at step {number}", fix="lower learning_rate or lengthen warm_up"
        )


def _coder(parameters: Parameters, corpus: Corpus, settings: SaeTraining, notes: dict[str, Any]) -> SparseCoder:
    arrays = {name: tensor.detach().numpy() for name, tensor in parameters.items()}
    metadata = {"architecture": settings.variant, "training": plain(settings), **notes}
    return SparseCoder(
        W_enc=arrays["encoder"].T,
        b_enc=arrays["b_enc"],
        W_dec=arrays["decoder"],
        b_dec=arrays["b_dec"],
        threshold=np.full_like(arrays["b_enc"], np.nan),
        scale=corpus.scale,
        k=settings.k,
        metadata=metadata,
    )


def _origin(frames: Sequence[Trajectory]) -> dict[str, Any]:
    """Return what all trajectories agree on: the clock, and the step that made them (encoder, layer)."""
    notes: dict[str, Any] = {"n_trajectories": len(frames)}
    clocks = {(str(item.axis.rate), str(item.axis.t0)) for item in frames}
    if len(clocks) == 1:
        notes |= dict(zip(("rate", "first_centre"), clocks.pop(), strict=True))
    makers = [item.provenance.steps[-1] for item in frames if item.provenance.steps]
    if len(makers) == len(frames) and all(maker == makers[0] for maker in makers):
        notes["source"] = {"name": makers[0].name, **makers[0].parameters}
    return notes
