"""How does a coder learn what the rest of the model needs? From a downstream loss on whole utterances.

    loss = reconstruction * |x - x_hat|^2 + weight * mean over utterances of downstream(x_hat)

A reconstruction may be good and still miss the little that the model acts on. The downstream loss is given as a
function (what the model's later blocks make of the reconstruction, compared with what they make of the frames);
autograd runs through that function only, and the coder's own gradients are the sparse ones of training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory
from brainalign.sae.calibrate import calibrate
from brainalign.sae.coder import SparseCoder
from brainalign.sae.learner import Learner
from brainalign.sae.loss import LossStep, Parameters, combine, pattern_gradients
from brainalign.sae.origin import as_coder, common_rate, origin_of
from brainalign.sae.settings import SaeTraining
from brainalign.sae.stream import survey
from brainalign.sae.threads import quiet_threads
from brainalign.sae.variants.folding import unit_norm
from brainalign.sae.variants.selection import LargestOfBatch

Downstream = Callable[[torch.Tensor, int], torch.Tensor]
"""Takes one utterance's frames ``(n_frames, d_in)`` in the encoder's units and its number; gives a scalar loss."""

Progress = Callable[[int, int, str], None]


def train_end_to_end(
    coder: SparseCoder,
    trajectories: Sequence[Trajectory],
    downstream: Downstream,
    *,
    settings: SaeTraining,
    seed: int,
    weight: float = 1.0,
    reconstruction: float = 1.0,
    progress: Progress | None = None,
) -> SparseCoder:
    """Go on training a coder on reconstruction and a downstream loss, whole utterances at a time.

    Active features are chosen as in BatchTopK, over all frames of a step, and the threshold is calibrated at the end.

    Parameters
    ----------
    coder
        Where to start: a coder trained on reconstruction alone, which costs no run of the model.
    trajectories
        Dense utterances of its layer, each whole: the downstream function sees all of its frames, in order.
    downstream
        A differentiable loss of one utterance's reconstruction, given with the utterance's number in
        ``trajectories``.
    settings
        The recipe. A step takes as many utterances as make ``n_batch`` frames, at least one. Its ``k`` counts;
        ``expansion`` does not (the coder's width stays), nor does ``variant``.
    seed
        Decides the order of the utterances; same seed, same bytes (if the downstream function gives the same).
    weight
        Of the downstream loss.
    reconstruction
        Of the squared error of frames with a mean squared norm of 1; 0 learns from the downstream loss alone.
    progress
        Called after every step as ``progress(done, total, note)``.
    """
    frames = tuple(trajectories)
    if coder.unit_frames or settings.normalise != "corpus":
        got = f"unit_frames={coder.unit_frames}, normalise={settings.normalise!r}"
        raise ValueProblem("end-to-end training reads frames at one scale", got=got, fix="train without frame norms")
    corpus = replace(survey(frames), mean_square_norm=coder.scale**-2)
    if corpus.d_in != coder.d_in:
        got = f"{corpus.d_in} features, the coder reads {coder.d_in}"
        raise ShapeMismatch("the trajectories do not fit the coder", got=got, fix="give frames of its layer")
    if not (weight >= 0 and reconstruction >= 0 and weight + reconstruction > 0):
        got = f"weight={weight}, reconstruction={reconstruction}"
        raise ValueProblem("losses need weights of at least 0, not both 0", got=got, fix="change one of them")
    variant = EndToEnd(downstream, scale=coder.scale, weight=weight, reconstruction=reconstruction)
    n_steps = settings.steps(corpus.n_frames)
    with quiet_threads(settings.n_threads):
        parameters = variant.parameters(_parameters(coder))
        rate = common_rate(frames)
        learner = Learner(settings, variant, parameters=parameters, n_steps=n_steps, rate=rate, seed=seed)
        order = _utterances(frames, n_batch=settings.n_batch, rng=generator(seed, "sae", "end-to-end"))
        while learner.step < n_steps:
            chosen = next(order)
            variant.next_batch(chosen, [frames[i].axis.n for i in chosen])
            x = np.concatenate([frames[i].values for i in chosen]) * np.float32(coder.scale)
            step = learner.update(torch.from_numpy(x))
            if progress:
                progress(learner.step, n_steps, f"loss {step.loss:.4f}")
    notes = {**origin_of(frames), "n_frames": corpus.n_frames, "seed": seed, "n_steps": n_steps}
    told = {"weight": weight, "reconstruction": reconstruction, "start": coder.content}
    trained = as_coder(parameters, corpus, settings, notes={**notes, "architecture": "batchtopk", "end_to_end": told})
    return calibrate(trained, frames)


@dataclass(eq=False)
class EndToEnd:
    """The variant behind `train_end_to_end`: BatchTopK whose reconstruction is judged by a downstream loss too.

    Parameters
    ----------
    downstream
        The loss of one utterance.
    scale
        What frames in the encoder's units are multiplied by before they come here.
    weight, reconstruction
        Weights of the downstream loss and of the squared error.
    """

    downstream: Downstream
    scale: float
    weight: float
    reconstruction: float

    def __post_init__(self) -> None:
        self._choice = LargestOfBatch()
        self._numbers: tuple[int, ...] = ()
        self._lengths: tuple[int, ...] = ()

    def next_batch(self, numbers: Sequence[int], lengths: Sequence[int]) -> None:
        """Say which utterances, of how many frames, the next step's rows are."""
        self._numbers, self._lengths = tuple(numbers), tuple(lengths)

    def parameters(self, initial: Parameters) -> Parameters:
        """Return the common parameters: there are no others."""
        return initial

    def step(self, parameters: Parameters, x: torch.Tensor, *, k: float) -> LossStep:
        """Return both losses of the utterances, and their gradients."""
        pattern, values = self._choice.active(parameters, x, k=k)
        x_hat = combine(pattern, values, parameters["decoder"]) + parameters["b_dec"]
        residual = x_hat - x
        loss, slope = self._judged(x_hat)
        loss += self.reconstruction * float(residual.square().sum()) / len(x)
        slope += residual * (2 * self.reconstruction / len(x))
        gradients = pattern_gradients(parameters, x, slope, (pattern, values))
        gradients["b_dec"] = gradients["b_dec"] + slope.sum(0)
        return LossStep(loss, gradients, pattern, residual)

    def finish(self, coder: SparseCoder, trajectories: Sequence[Trajectory]) -> SparseCoder:
        """Set the threshold where mean L0 becomes k."""
        return calibrate(coder, trajectories)

    def _judged(self, x_hat: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Return the weighted downstream loss and its derivative, utterance by utterance."""
        total, slopes = 0.0, []
        for number, part in zip(self._numbers, x_hat.split(list(self._lengths)), strict=True):
            with torch.enable_grad():
                frames = (part / self.scale).requires_grad_()
                loss = self.downstream(frames, number)
                _require_scalar(loss, number)
                (slope,) = torch.autograd.grad(loss, [frames])
            total += float(loss.detach())
            slopes.append(slope / self.scale)
        share = self.weight / len(self._numbers)
        return share * total, share * torch.cat(slopes)


def _require_scalar(loss: torch.Tensor, number: int) -> None:
    if not isinstance(loss, torch.Tensor) or loss.ndim or not loss.requires_grad:
        kind = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        fix = "return a scalar tensor computed from the frames, with torch operations all the way"
        got = f"{kind} for utterance {number}"
        raise ValueProblem("a downstream loss must be a differentiable scalar", got=got, fix=fix)


def _parameters(coder: SparseCoder) -> Parameters:
    """Return a coder's arrays as parameters to train, at unit decoder norm."""
    unit = unit_norm(coder)
    arrays = {"encoder": unit.W_enc.T, "b_enc": unit.b_enc, "decoder": unit.W_dec, "b_dec": unit.b_dec}
    return {name: torch.tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _utterances(frames: Sequence[Trajectory], *, n_batch: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield the numbers of whole utterances without end, each epoch in a new order, ``n_batch`` frames at a time."""
    chosen: list[int] = []
    while True:
        for number in rng.permutation(len(frames)):
            chosen.append(int(number))
            if sum(frames[i].axis.n for i in chosen) >= n_batch:
                yield chosen
                chosen = []
