"""How are several datasets mixed? Each run of frames comes from one, drawn by weight times size.

``P(dataset) = weight * n_frames / sum(weight * n_frames)``, as AudioSAE has it: a weight of 1
for all is the concatenated corpus, a weight of 5 makes a small set's frames count five
times. Within a dataset every run is used once before any is used again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.seeds import generator
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory
from brainalign.sae.batches import BUFFER_FRAMES, FrameStream, Runs, per_buffer
from brainalign.sae.state import State


@dataclass(frozen=True, eq=False)
class Mixture:
    """Datasets of frames of one layer, and how often each is drawn.

    Parameters
    ----------
    datasets
        Trajectories by the dataset's name.
    weights
        How often a frame counts, by the dataset's name; 1 for those left out.
    """

    datasets: Mapping[str, Sequence[Trajectory]]
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "datasets", {name: tuple(items) for name, items in self.datasets.items()})
        for name in self.weights:
            if name not in self.datasets:
                raise unknown_name(name, among=self.datasets, kind="dataset in the mixture")
        object.__setattr__(self, "weights", {name: float(self.weights.get(name, 1.0)) for name in self.datasets})
        if not all(0 < weight < np.inf for weight in self.weights.values()):
            raise ValueProblem(
                "a dataset's weight must be positive", got=dict(self.weights), fix="leave it out instead"
            )
        if not self.datasets or not all(self.n_frames(name) for name in self.datasets):
            empty = [name for name in self.datasets if not self.n_frames(name)]
            raise ValueProblem("a mixture needs datasets with frames", got=f"empty: {empty}", fix="give trajectories")

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """All trajectories, dataset after dataset."""
        return tuple(item for items in self.datasets.values() for item in items)

    @property
    def frame_weights(self) -> np.ndarray:
        """How often a frame of each of `trajectories` counts, shape ``(n_trajectories,)``."""
        return np.repeat(list(self.weights.values()), [len(items) for items in self.datasets.values()])

    @property
    def shares(self) -> dict[str, float]:
        """The share of training frames that each dataset gives."""
        mass = {name: self.weights[name] * self.n_frames(name) for name in self.datasets}
        return {name: value / sum(mass.values()) for name, value in mass.items()}

    def n_frames(self, name: str) -> int:
        """Return the number of frames of one dataset."""
        return sum(item.axis.n for item in self.datasets[name])

    def stream(
        self, *, n_batch: int, rng: np.random.Generator, n_buffer: int = BUFFER_FRAMES, neighbours: bool = False
    ) -> FrameStream:
        """Return shuffled batches of the mixture without end; see `brainalign.sae.batches.epochs`."""
        runs = Runs(self.trajectories, neighbours=neighbours)
        owners = np.repeat(np.arange(len(self.datasets)), [len(items) for items in self.datasets.values()])
        groups = [np.flatnonzero(owners[runs.owners] == i) for i in range(len(self.datasets))]
        # Runs are of one length but for a trajectory's last: a run's chance by number of runs
        # gives every frame the chance that its dataset's weight calls for.
        mass = np.array([weight * len(group) for weight, group in zip(self.weights.values(), groups, strict=True)])
        order = Weighted(groups, chances=mass / mass.sum(), per_buffer=min(len(runs), per_buffer(n_buffer, runs)))
        return FrameStream(runs, order, n_batch=n_batch, rng=rng)

    def drawn(self, n_frames: int, *, seed: int) -> tuple[Trajectory]:
        """Draw frames as training does, as one trajectory in no order of time."""
        rng = generator(seed, "sae", "mixture")
        first = self.trajectories[0]
        rows = next(self.stream(n_batch=n_frames, rng=rng))
        return (Trajectory(rows, TimeAxis(first.axis.rate, n_frames), first.features),)

    def to_json(self) -> dict[str, Any]:
        """Return the weights and the shares of training frames that follow from them."""
        return {"mixture": {"weights": dict(self.weights), "shares": self.shares}}


class Weighted:
    """Runs from groups drawn with given chances; within a group, each once before any again.

    Parameters
    ----------
    groups
        Run numbers of each group.
    chances
        Probability of each group, summing to 1.
    per_buffer
        Runs per buffer.
    """

    def __init__(self, groups: Sequence[np.ndarray], *, chances: np.ndarray, per_buffer: int) -> None:
        self._groups, self._chances, self._per_buffer = tuple(groups), chances, per_buffer
        self._orders = [np.zeros(0, dtype=np.int64) for _ in self._groups]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return the next buffer's runs, sorted by group."""
        counts = rng.multinomial(self._per_buffer, self._chances)
        return np.concatenate([self._take(i, int(n), rng) for i, n in enumerate(counts)])

    def _take(self, i: int, n: int, rng: np.random.Generator) -> np.ndarray:
        waiting = self._orders[i]
        while len(waiting) < n:
            waiting = np.concatenate([waiting, rng.permutation(self._groups[i])])
        self._orders[i] = waiting[n:]
        return waiting[:n]

    def state(self) -> State:
        """Return what is still to come of each group's order."""
        return State({}, {str(i): order for i, order in enumerate(self._orders)})

    def restore(self, state: State) -> None:
        """Go on with these orders."""
        self._orders = [state.arrays[str(i)] for i in range(len(self._groups))]
