"""What does a model do when a coder's reconstruction takes the place of its activations? A hook on a module.

Any `torch.nn.Module` whose output is frames by inputs (or a tuple that begins with it) can be
spliced: a transformer block, a norm, a projection. The package's encoders are such modules, but
nothing here knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.edit import Change, edit, unchanged
from brainalign.sae.stream import survey

Replace = Callable[[np.ndarray], np.ndarray]
"""Frames ``(n, d_in)`` in, what stands in their place out."""


@contextmanager
def spliced(
    module: torch.nn.Module,
    coder: SparseCoder,
    *,
    change: Change = unchanged,
    keep_error: bool = False,
) -> Iterator[None]:
    """Put a coder's reconstruction, perhaps of edited features, in the place of a module's output.

    As long as the context lasts, and without gradients. The rest of the model runs on what it is given.

    Parameters
    ----------
    module
        Its output is ``(..., d_in)``, or a tuple that begins with that.
    coder
        Trained on that output.
    change
        An edit of the features (`brainalign.sae.edit`).
    keep_error
        Leave in the output what the coder does not explain: then only the edit changes anything.
    """
    with replaced(module, lambda x: edit(coder, x, change, keep_error=keep_error), width=coder.d_in):
        yield


@contextmanager
def replaced(module: torch.nn.Module, replace: Replace, *, width: int | None = None) -> Iterator[None]:
    """Put anything computed from a module's output in its place, as long as the context lasts.

    Parameters
    ----------
    module
        As for `spliced`.
    replace
        Given float32 frames, shape ``(n, d_in)``, those of a batch one after another.
    width
        What d_in must be; not checked if None.
    """

    def _hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        if not isinstance(first, torch.Tensor):
            raise ValueProblem(
                "only a module that returns a tensor first can be spliced",
                got=type(first).__name__,
                fix="hook the part of it that computes the frames",
            )
        if width is not None and first.shape[-1] != width:
            raise ShapeMismatch(
                "the module's output does not fit the coder",
                got=f"{first.shape[-1]} features, the coder reads {width}",
                fix="splice the module of the layer that the coder was trained on",
            )
        frames = first.detach().to("cpu", torch.float32).reshape(-1, first.shape[-1]).numpy()
        new = torch.from_numpy(np.ascontiguousarray(replace(frames))).reshape(first.shape).to(first)
        return (new, *output[1:]) if isinstance(output, tuple) else new

    handle = module.register_forward_hook(_hook)
    try:
        with torch.no_grad():
            yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Downstream:
    """A score of what comes after, on the frames, on their reconstruction and without them.

    Parameters
    ----------
    original, reconstructed
        The score of frames as they are, and as the coder gives them back.
    baseline
        The score where every frame is the mean frame (of those given).
    """

    original: float
    reconstructed: float
    baseline: float

    @property
    def lost(self) -> float:
        """What the reconstruction costs, ``original - reconstructed``, in the score's units."""
        return self.original - self.reconstructed

    @property
    def recovered(self) -> float:
        """Return ``(reconstructed - baseline) / (original - baseline)``, for losses and accuracies alike.

        1 for a reconstruction as good as the original, 0 for one as good as the mean frame; NaN where the mean frame
        scores as the original does, so that there is nothing to recover.
        """
        room = self.original - self.baseline
        return (self.reconstructed - self.baseline) / room if room else float("nan")


def recovered(
    coder: SparseCoder,
    trajectories: Sequence[Trajectory],
    downstream: Callable[[Sequence[np.ndarray]], float],
) -> Downstream:
    """Return how much of a loss or accuracy survives the coder.

    Parameters
    ----------
    coder
        The coder.
    trajectories
        Held-out frames of its layer.
    downstream
        Given one array per trajectory, float32, ``(n_frames, d_in)``: a loss (the rest of a model run on them) or an
        accuracy (a probe fitted elsewhere). It is called three times.
    """
    mean = survey(trajectories).mean.astype(np.float32)
    frames = [np.asarray(item.values, dtype=np.float32) for item in trajectories]
    return Downstream(
        original=float(downstream(frames)),
        reconstructed=float(downstream([coder.reconstruct(x) for x in frames])),
        baseline=float(downstream([np.broadcast_to(mean, x.shape) for x in frames])),
    )


def recovered_in_model(
    module: torch.nn.Module,
    coder: SparseCoder,
    score: Callable[[], float],
    *,
    mean: np.ndarray,
) -> Downstream:
    """Return how much of a model's score survives the coder at one of its modules.

    Parameters
    ----------
    module
        Whose output the coder was trained on.
    coder
        The coder.
    score
        Runs the model and returns a loss or an accuracy; it is called three times, the module as it is, then with the
        reconstruction in its place, then with the mean frame.
    mean
        The module's mean output, shape ``(d_in,)``.
    """
    middle = np.asarray(mean, dtype=np.float32)
    with torch.no_grad():
        original = float(score())
    with spliced(module, coder):
        reconstructed = float(score())
    with replaced(module, lambda x: np.broadcast_to(middle, x.shape), width=coder.d_in):
        return Downstream(original, reconstructed, float(score()))
