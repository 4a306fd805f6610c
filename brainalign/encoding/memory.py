"""How much may stand in memory at once? Blocks sized from a budget, the same whatever the number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from threading import current_thread, main_thread
from typing import TypeVar

from brainalign.core.amounts import parse_bytes
from brainalign.core.errors import ValueProblem
from brainalign.core.workers import never_retire

_MOST_FEATURES = 64
Result = TypeVar("Result")


@dataclass(frozen=True)
class Compute:
    """Where and within what limits to compute. None of it changes a result beyond rounding; n_jobs changes no byte.

    Parameters
    ----------
    memory
        Budget for working arrays besides the data and the result, e.g. ``"2GB"``.
    n_jobs
        Features are worked on by so many workers at once (joblib; processes unless a
        `joblib.parallel_config` says otherwise, threads with a device). -1 means one per processor.
    device
        A torch device such as ``"cuda"``; None means NumPy.
    """

    memory: str | int = "2GB"
    n_jobs: int = 1
    device: str | None = None

    def __post_init__(self) -> None:
        parse_bytes(self.memory)
        if self.n_jobs == 0:
            raise ValueProblem("n_jobs must not be 0", got=0, fix="use 1, or -1 for one worker per processor")

    @property
    def n_bytes(self) -> int:
        """The budget in bytes."""
        return parse_bytes(self.memory)

    def block_size(self, bytes_per_feature: int, *, fixed: int = 0, most: int = _MOST_FEATURES) -> int:
        """Return how many features to hold at once.

        The number does not depend on `n_jobs`, so that no byte does: where several blocks
        do not fit beside each other, fewer workers run (`workers`).
        """
        free = self.n_bytes - fixed
        if free < bytes_per_feature:
            raise ValueProblem(
                "the memory budget is too small for one feature",
                got=f"{self.n_bytes / 1e6:.0f} MB, {(fixed + bytes_per_feature) / 1e6:.0f} MB needed",
                fix="allow more memory, or cut the recording into shorter trials",
            )
        return max(1, min(most, free // bytes_per_feature))

    def workers(self, bytes_per_block: int, *, fixed: int = 0) -> int:
        """Return how many blocks to work on at once: at most `n_jobs`, and no more than fit."""
        fitting = max(1, (self.n_bytes - fixed) // max(1, bytes_per_block))
        return int(min(_count(self.n_jobs), fitting))

    @property
    def prefer(self) -> str:
        """What workers are: processes, unless they must share a device.

        Threads hinder each other in small products: two of them are 1.2 times as fast as one, two processes 1.8 times.
        """
        return "processes" if self.device is None else "threads"


def _count(n_jobs: int) -> int:
    if n_jobs > 0:
        return n_jobs
    from joblib import cpu_count

    return max(1, cpu_count() + 1 + n_jobs)


def blocks(n: int, size: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into blocks.

    >>> blocks(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def in_order(
    work: Callable[[tuple[int, int]], Result],
    spans: Sequence[tuple[int, int]],
    *,
    n_workers: int,
    prefer: str = "processes",
) -> Iterator[Result]:
    """Yield ``work(span)`` for every span in order, several at once if there are workers."""
    with one_thread():
        if n_workers == 1 or len(spans) == 1:
            yield from map(work, spans)
            return
        from joblib import Parallel, delayed

        run = Parallel(n_jobs=n_workers, prefer=prefer, return_as="generator", pre_dispatch=n_workers, batch_size=1)
        yield from run(delayed(_apart)(work, span) for span in spans)


def each(
    work: Callable[[tuple[int, int]], Iterable[Result]],
    spans: Sequence[tuple[int, int]],
    *,
    n_workers: int,
    prefer: str = "processes",
) -> Iterator[Result]:
    """Yield the items of ``work(span)`` for every span in order; without workers, one item at a time as it is made."""
    if n_workers == 1 or len(spans) == 1:
        for items in in_order(work, spans, n_workers=1):
            yield from items
        return
    for items in in_order(partial(_all_of, work), spans, n_workers=n_workers, prefer=prefer):
        yield from items


def _all_of(work: Callable[[tuple[int, int]], Iterable[Result]], span: tuple[int, int]) -> list[Result]:
    return list(work(span))


def _apart(work: Callable[[tuple[int, int]], Result], span: tuple[int, int]) -> Result:
    """Do a worker's share. In a process of its own the caller's limit on threads does not hold."""
    if current_thread() is not main_thread():
        return work(span)
    never_retire()
    with one_thread():
        return work(span)


def one_thread() -> AbstractContextManager[object]:
    """Keep BLAS to one thread: small products are slower on several, and not the same to the last bit."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")
