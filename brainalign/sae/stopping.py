"""When is training long enough? When frames that it never saw are explained no better for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from brainalign.core.trajectory import Trajectory
from brainalign.sae.batches import Runs
from brainalign.sae.learner import Learner, VariantMemory, wants_neighbours
from brainalign.sae.state import State
from brainalign.sae.stream import survey
from brainalign.sae.units import unit_rows

MAX_FRAMES = 16_384


class HeldOut:
    """The explained variance of held-out frames over a run, and the best parameters so far.

    Parameters
    ----------
    trajectories
        Frames that are not trained on; at most `MAX_FRAMES`, spread evenly, are looked at.
    learner
        The run.
    scale
        The factor on the frames.
    """

    def __init__(self, trajectories: Sequence[Trajectory], learner: Learner, *, scale: float) -> None:
        settings = learner.settings
        self._unit = settings.normalise == "frame"
        corpus = survey(trajectories, unit_frames=self._unit)
        self._learner, self._scale = learner, np.float32(scale)
        self._variance = corpus.variance * scale**2
        self._runs = Runs(trajectories, neighbours=wants_neighbours(learner.variant))
        numbers = self._runs.numbers(np.arange(len(self._runs)))
        self._numbers = numbers[:: -(-len(numbers) // MAX_FRAMES)]
        self._every = max(1, round(settings.evaluate_every * learner.n_steps))
        self.best: float | None = None
        self.n_worse = 0
        self._parameters: dict[str, np.ndarray] = {}

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        patience = self._learner.settings.patience
        return patience is not None and self.n_worse >= patience

    def look_if_due(self) -> float | None:
        """Return the explained variance of the held-out frames, None between evaluations."""
        learner = self._learner
        if learner.step % self._every and learner.step != learner.n_steps:
            return None
        found = self.explained_variance()
        if self.best is None or found > self.best:
            self.best, self.n_worse = found, 0
            if learner.settings.patience is not None:
                self._parameters = {name: tensor.numpy().copy() for name, tensor in learner.parameters.items()}
        else:
            self.n_worse += 1
        return found

    def explained_variance(self) -> float:
        """Return ``1 - sum |x - x_hat|^2 / sum |x - mean|^2`` with the variant's training-time selection."""
        learner, error, n_rows = self._learner, 0.0, 0
        memory = VariantMemory(learner.variant)
        before = memory.state()
        for x in self._batches():
            step = learner.variant.step(learner.parameters, x, k=learner.k)
            error += float(step.residual.square().sum())
            n_rows += len(x)
        memory.restore(before)
        return 1 - error / (n_rows * self._variance)

    def _batches(self) -> Iterator[torch.Tensor]:
        n = self._learner.settings.n_batch // (2 if self._runs.neighbours else 1)
        for start in range(0, len(self._numbers), n):
            rows = self._runs.rows_at(self._numbers[start : start + n])
            x = np.concatenate([rows[:, 0], rows[:, 1]]) if self._runs.neighbours else rows
            yield torch.from_numpy(unit_rows(x) if self._unit else x) * float(self._scale)

    def restore_best(self) -> None:
        """Put the best parameters in place, where patience asked to keep them."""
        for name, array in self._parameters.items():
            self._learner.parameters[name].copy_(torch.from_numpy(array))

    def state(self) -> State:
        """Return the best value and its parameters."""
        return State({"best": self.best, "n_worse": self.n_worse}, dict(self._parameters))

    def restore(self, state: State) -> None:
        """Go on from there."""
        self.best, self.n_worse = state.numbers["best"], state.numbers["n_worse"]
        self._parameters = {name: np.array(array) for name, array in state.arrays.items()}
