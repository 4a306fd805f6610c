"""What is one step of training, and what does a run have to remember between two of them?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.sae.loss import LossStep, Parameters
from brainalign.sae.resample import resample
from brainalign.sae.revive import revival_gradients
from brainalign.sae.settings import DEAD_WINDOW, SaeTraining
from brainalign.sae.state import State
from brainalign.sae.variants.base import Variant, keeps_unit_norm

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Learner:
    """A run at some step: the parameters, Adam's moments, and when each feature last fired.

    Parameters
    ----------
    settings
        The recipe.
    variant
        Its way of choosing active features.
    parameters
        The first parameters; they are changed in place.
    n_steps
        Steps of the whole run.
    rate
        Frames per second of audio, None where there is no one rate.
    seed
        Decides which frames dead features start again from.
    """

    def __init__(
        self,
        settings: SaeTraining,
        variant: Variant,
        *,
        parameters: Parameters,
        n_steps: int,
        rate: float | None,
        seed: int,
    ) -> None:
        self.settings, self.variant, self.parameters = settings, variant, parameters
        self.n_steps, self.step, self._seed = n_steps, 0, seed
        self.d_sae = len(parameters["decoder"])
        self.last_fired = np.zeros(self.d_sae, dtype=np.int64)
        self._revive = settings.window("revive_after", n_steps=n_steps, rate=rate)
        self._resample = settings.window("resample_after", n_steps=n_steps, rate=rate)
        self.optimiser = torch.optim.Adam(list(parameters.values()), lr=0.0, betas=(0.9, 0.999), fused=True)

    @property
    def k(self) -> float:
        """The sparsity of the step to come."""
        return self.settings.k_at(self.step, n_steps=self.n_steps, d_sae=self.d_sae)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the step to come."""
        return self.settings.rate_at(self.step, n_steps=self.n_steps, d_sae=self.d_sae)

    @property
    def dead_share(self) -> float:
        """Share of features silent for the dead window (5 % of the run where none is set)."""
        windows = [window for window in (self._revive, self._resample) if window is not None]
        return self._dead(min(windows, default=DEAD_WINDOW * self.n_steps)).size / self.d_sae

    def update(self, x: torch.Tensor) -> LossStep:
        """Take one step on scaled frames ``(n, d_in)``, in place."""
        step = self.variant.step(self.parameters, x, k=self.k)
        if not np.isfinite(step.loss):
            fix = "lower learning_rate or lengthen warm_up"
            raise ValueProblem("training diverged", got=f"loss {step.loss} at step {self.step}", fix=fix)
        self.last_fired[step.pattern.columns.numpy()] = self.step
        self._set_gradients(x, step)
        self.optimiser.param_groups[0]["lr"] = self.learning_rate
        self.optimiser.step()
        if self._tied:
            decoder = self.parameters["decoder"]
            decoder /= decoder.norm(dim=1, keepdim=True)
        self._start_dead_again(step)
        self.step += 1
        return step

    @property
    def _tied(self) -> bool:
        return keeps_unit_norm(self.variant)

    def _dead(self, window: float | None) -> np.ndarray:
        """Return the numbers of the features that have not fired for longer than a window of steps."""
        if window is None:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self.step - self.last_fired > window)

    def _set_gradients(self, x: torch.Tensor, step: LossStep) -> None:
        """Hand Adam this step's gradients: revival added, decoder kept on its sphere, norm clipped.

        Without arrays in between: at 768 inputs and 6,144 features 8 ms, which were 18 to 45.
        """
        dead = self._dead(self._revive)
        extra = revival_gradients(self.parameters, x, step, dead=dead, weight=self.settings.revive_weight)
        gradients = {name: g + extra[name] if extra and name in extra else g for name, g in step.gradients.items()}
        if self._tied:
            decoder = self.parameters["decoder"]
            along = torch.linalg.vecdot(gradients["decoder"], decoder)[:, None]
            gradients["decoder"] = torch.addcmul(gradients["decoder"], along, decoder, value=-1)
        norm = float(torch.stack([torch.linalg.vector_norm(g) for g in gradients.values()]).norm())
        factor = min(1.0, self.settings.clip / max(norm, 1e-12))
        for name, tensor in self.parameters.items():
            tensor.grad = gradients[name] if factor == 1 else gradients[name] * factor

    def _start_dead_again(self, step: LossStep) -> None:
        """Resample once per window, but not in the decay, which leaves too little time to learn."""
        if self._resample is None or self.step >= (1 - self.settings.decay) * self.n_steps:
            return
        every = max(1, round(self._resample))
        if (self.step + 1) % every:
            return
        dead = self._dead(self._resample)
        rng = generator(self._seed, "sae", "resample", self.step)
        self.last_fired[resample(self.parameters, self.optimiser, step, dead=dead, rng=rng)] = self.step

    def state(self) -> State:
        """Return parameters, moments, the step and when each feature last fired."""
        arrays = {"last_fired": self.last_fired.copy()}
        for name, tensor in self.parameters.items():
            arrays[f"parameter.{name}"] = tensor.numpy().copy()
            held = self.optimiser.state[tensor]
            arrays |= {f"{moment}.{name}": held[moment].numpy().copy() for moment in MOMENTS if moment in held}
        return State({"step": self.step}, arrays)

    def restore(self, state: State) -> None:
        """Go to that step; tensors keep their place in memory."""
        self.step, self.last_fired = state.numbers["step"], np.array(state.arrays["last_fired"])
        for name, tensor in self.parameters.items():
            tensor.copy_(torch.from_numpy(np.array(state.arrays[f"parameter.{name}"])))
            self.optimiser.state[tensor] = {
                moment: torch.from_numpy(np.array(state.arrays[f"{moment}.{name}"])).clone()
                for moment in MOMENTS
                if f"{moment}.{name}" in state.arrays
            }


class VariantMemory:
    """What a variant keeps between steps, in the form of a `State`.

    Parameters
    ----------
    variant
        One with ``state()`` and ``restore(state)`` (floats and arrays by name), or one that keeps nothing.
    """

    def __init__(self, variant: Variant) -> None:
        self._variant = variant

    def state(self) -> State:
        """Return the variant's floats and arrays."""
        held: dict[str, Any] = dict(getattr(self._variant, "state", dict)())
        arrays = {
            name: np.array(value) for name, value in held.items() if isinstance(value, (np.ndarray, torch.Tensor))
        }
        return State({name: value for name, value in held.items() if name not in arrays}, arrays)

    def restore(self, state: State) -> None:
        """Give them back."""
        if state.numbers or state.arrays:
            self._variant.restore({**state.numbers, **state.arrays})  # type: ignore[attr-defined]


def wants_neighbours(variant: Variant) -> bool:
    """Whether a variant's batches are pairs of frames that follow each other."""
    return bool(getattr(variant, "wants_neighbours", False))
