"""In which order does training see the frames, and how does it go on where it stopped?

Short runs of frames are drawn over all trajectories into a bounded buffer, which is served
in random order: reads stay nearly sequential on a memory-mapped corpus, and a corpus that
fits the buffer is permuted perfectly. A stream's position is a few integers per buffered
frame and the generator's state, never the frames themselves: restored, it serves the same
batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.state import State

RUN_FRAMES = 64
BUFFER_FRAMES = 65_536


class Runs:
    """A corpus as short runs of frames, each frame with a number of its own.

    Parameters
    ----------
    trajectories
        Dense trajectories of one width; they are only read where runs are asked for.
    neighbours
        Whether a frame stands for itself and the next one. The last frame of a trajectory
        has no next one and is then never drawn.
    """

    def __init__(self, trajectories: Sequence[Trajectory], *, neighbours: bool = False) -> None:
        self._items = tuple(trajectories)
        self._first = np.cumsum([0, *(item.axis.n for item in self._items)])
        self.neighbours = neighbours
        bounds = [_runs_of(i, item.axis.n - neighbours) for i, item in enumerate(self._items)]
        self._bounds = np.concatenate(bounds) if bounds else np.zeros((0, 3), dtype=np.int64)
        if not len(self):
            what = "no two frames are neighbours" if neighbours else "there are no frames to draw"
            raise ValueProblem(what, got=f"{self._first[-1]} frames", fix="give longer trajectories")

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self._bounds)

    @property
    def owners(self) -> np.ndarray:
        """Which trajectory each run belongs to, int64, shape ``(n_runs,)``."""
        return self._bounds[:, 0]

    def numbers(self, chosen: np.ndarray) -> np.ndarray:
        """Return the numbers of the frames of these runs, one run after another."""
        return np.concatenate([self._first[i] + np.arange(a, b) for i, a, b in self._bounds[chosen]])

    def rows(self, chosen: np.ndarray) -> np.ndarray:
        """Read these runs' frames, float32, ``(n, d_in)``; with neighbours ``(n, 2, d_in)``."""
        return self._joined([self._read(i, slice(a, b)) for i, a, b in self._bounds[chosen]])

    def rows_at(self, numbers: np.ndarray) -> np.ndarray:
        """Read the frames of these numbers, in their order."""
        order = np.argsort(numbers, kind="stable")
        owners = np.searchsorted(self._first, numbers[order], side="right") - 1
        parts = [self._read(i, numbers[order][owners == i] - self._first[i]) for i in np.unique(owners)]
        found = self._joined(parts)
        rows = np.empty_like(found)
        rows[order] = found
        return rows

    def _read(self, i: int, where: slice | np.ndarray) -> np.ndarray:
        values = self._items[i].values
        if not self.neighbours:
            return np.asarray(values[where])
        after = slice(where.start + 1, where.stop + 1) if isinstance(where, slice) else where + 1
        return np.stack([values[where], values[after]], axis=1)

    @staticmethod
    def _joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts).astype(np.float32, copy=False)


def _runs_of(i: int, n: int) -> np.ndarray:
    """Return ``(i, first, stop)`` of each run of the ``n`` frames of trajectory i."""
    first = np.arange(0, max(n, 0), RUN_FRAMES)
    return np.column_stack([np.full(len(first), i), first, np.minimum(first + RUN_FRAMES, n)])


class Order(Protocol):
    """Which runs fill the next buffer."""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return run numbers."""
        ...

    def state(self) -> State:
        """Return the position."""
        ...

    def restore(self, state: State) -> None:
        """Go to a position."""
        ...


class Epochs:
    """Every run once, in random order, then every run once more in another order."""

    def __init__(self, n_runs: int, *, per_buffer: int) -> None:
        self._n_runs, self._per_buffer = n_runs, per_buffer
        self._order, self._next = np.zeros(0, dtype=np.int64), 0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return the next runs; a buffer never spans two epochs."""
        if self._next >= len(self._order):
            self._order, self._next = rng.permutation(self._n_runs), 0
        chosen = self._order[self._next : self._next + self._per_buffer]
        self._next += len(chosen)
        return chosen

    def state(self) -> State:
        """Return this epoch's order and the place in it."""
        return State({"next": self._next}, {"order": self._order})

    def restore(self, state: State) -> None:
        """Go on in that order from that place."""
        self._order, self._next = state.arrays["order"], state.numbers["next"]


class FrameStream(Iterator[np.ndarray]):
    """Shuffled batches without end, whose position can be kept and restored.

    Parameters
    ----------
    runs
        The corpus.
    order
        Which runs come when.
    n_batch
        Rows per batch. With neighbours these are half as many pairs: rows ``i`` and
        ``n_batch / 2 + i`` follow each other in time.
    rng
        Where the order comes from.
    """

    def __init__(self, runs: Runs, order: Order, *, n_batch: int, rng: np.random.Generator) -> None:
        if runs.neighbours and n_batch % 2:
            raise ValueProblem("batches of neighbours need an even size", got=n_batch, fix="give an even n_batch")
        self._runs, self._order, self._rng = runs, order, rng
        self._n_drawn = n_batch // 2 if runs.neighbours else n_batch
        self._numbers, self._rows = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        self._places = np.zeros(0, dtype=np.int64)

    def __next__(self) -> np.ndarray:
        """Return the next batch: float32, shape ``(n_batch, d_in)``, a new array each time."""
        while len(self._places) < self._n_drawn:
            self._refill()
        batch = self._rows[self._places[: self._n_drawn]]
        self._places, self._numbers = self._places[self._n_drawn :], self._numbers[self._n_drawn :]
        return np.concatenate([batch[:, 0], batch[:, 1]]) if self._runs.neighbours else batch

    def _refill(self) -> None:
        left = self._rows[self._places]
        chosen = self._order.draw(self._rng)
        fresh, numbers = self._runs.rows(chosen), self._runs.numbers(chosen)
        mixed = self._rng.permutation(len(fresh))
        self._rows = np.concatenate([left, fresh]) if len(left) else fresh
        self._places = np.concatenate([np.arange(len(left)), len(left) + mixed])
        self._numbers = np.concatenate([self._numbers, numbers[mixed]])

    def state(self) -> State:
        """Return the position: the order's, the frames still to be served, the generator's."""
        order = self._order.state()
        numbers: dict[str, Any] = {"order": order.numbers, "rng": self._rng.bit_generator.state}
        return State(numbers, {"waiting": self._numbers, **{f"order.{k}": v for k, v in order.arrays.items()}})

    def restore(self, state: State) -> None:
        """Go to a position; the frames still to be served are read again."""
        arrays = {name.removeprefix("order."): a for name, a in state.arrays.items() if name.startswith("order.")}
        self._order.restore(State(state.numbers["order"], arrays))
        self._rng.bit_generator.state = state.numbers["rng"]
        self._numbers = np.array(state.arrays["waiting"])
        self._places = np.arange(len(self._numbers))
        if len(self._numbers):
            self._rows = self._runs.rows_at(self._numbers)


def epochs(
    trajectories: Sequence[Trajectory],
    *,
    n_batch: int,
    rng: np.random.Generator,
    n_buffer: int = BUFFER_FRAMES,
    neighbours: bool = False,
) -> FrameStream:
    """Return the stream that serves every frame once per epoch, each epoch in a new order.

    Parameters
    ----------
    trajectories
        Dense trajectories of one width.
    n_batch
        Frames per batch.
    rng
        Where the order comes from.
    n_buffer
        Frames held in memory at once.
    neighbours
        Whether batches hold pairs of frames that follow each other.
    """
    runs = Runs(trajectories, neighbours=neighbours)
    return FrameStream(runs, Epochs(len(runs), per_buffer=per_buffer(n_buffer, runs)), n_batch=n_batch, rng=rng)


def per_buffer(n_buffer: int, runs: Runs) -> int:
    """Return how many runs fit a buffer of this many frames (a pair takes the room of two)."""
    return max(1, n_buffer // RUN_FRAMES // (2 if runs.neighbours else 1))
