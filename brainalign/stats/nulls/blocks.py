"""How would the statistic look were the response cut into long pieces, and the pieces shuffled? Blocks within trials.

Blocks are long against the lag window and the response's memory, so that nearly all pairs of
frames that could matter stay together. At the seams between blocks they do not: the
response jumps there, and surrogates have a little less memory than the data. What is left
over at a trial's end, less than a frame per block, stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma, log

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.stats.nulls.circular import stationarity
from brainalign.stats.nulls.family import (
    Draw,
    Family,
    Responses,
    Support,
    responses_at_rest,
    shortest_of,
    stories,
    to_trials,
)
from brainalign.stats.spectra import pooled_memory

_TIMES = 3
_FEWEST_BLOCKS = 4


def block_frames(design: Design) -> int:
    """Return the length of a block: three times the lag window and the response's memory together.

    Simulated (8 trials of 1,500 frames, power 1/f to 1/f^2 high-passed at 1/100 or 1/50 of the rate; lags and
    memory together 35 to 56 frames; nominal 0.05): blocks of 120 to 350 frames realise 0.048 to 0.054, blocks
    of 60 frames 0.056 to 0.063, of 30 frames 0.074 to 0.088.

    Parameters
    ----------
    design
        One listener's.
    """
    return _TIMES * (design.lags.n + pooled_memory(design))


def count_blocks(n_frames: Sequence[int], length: int) -> np.ndarray:
    """Return how many blocks of at least this length each trial is cut into.

    >>> count_blocks([1000, 1190], 200)
    array([5, 5])
    """
    return np.array([n // length for n in n_frames])


def draw(design: Design, *, n_permutations: int, seed: int, n_listeners: int = 1) -> Draw:
    """Draw orders of blocks, uniform within each trial.

    Parameters
    ----------
    design
        One listener's.
    n_permutations, seed, n_listeners
        As every family's; orders are never enumerated.

    Returns
    -------
    Draw
        Values ``(1 + B, n_blocks)``: story after story, the block that stands at each place, counted within the story.
    """
    length = block_frames(design)
    lengths = shortest_of(design)
    counts = count_blocks(lengths, length)
    if counts.min() < _FEWEST_BLOCKS:
        short = int(np.argmin(counts))
        raise ValueProblem(
            "a trial is too short to be cut into blocks",
            got=f"trial {list(stories(design))[short]!r}: {lengths[short]} frames for blocks of {length}",
            fix=f"use trials of at least {_FEWEST_BLOCKS * length} frames, a shorter lag window, or 'pairing'",
        )
    orders = sum(lgamma(count + 1) for count in counts)
    if orders < log(10 * max(1, n_permutations)):
        raise ValueProblem(
            "there are too few orders of blocks for that many permutations",
            got=f"{n_permutations} permutations of {counts.tolist()} blocks",
            fix="ask for fewer, or use longer or more trials",
        )
    rng = generator(seed, "blocks", design.subject)
    drawn = [np.concatenate([rng.permutation(count) for count in counts]) for _ in range(n_permutations)]
    values = np.array([np.concatenate([np.arange(count) for count in counts]), *drawn])
    seams = int((counts - 1).sum())
    return Draw(values, False, f"blocks of at least {length} frames; at most {seams} seams in {len(counts)} stories")


def shuffle_blocks(signal: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Put a signal's blocks in another order; a remainder stays at the end.

    Parameters
    ----------
    signal
        Shape ``(n_frames, n_channels)``.
    order
        The block that comes at each place.

    Examples
    --------
    >>> shuffle_blocks(np.arange(7)[:, None], np.array([2, 0, 1]))[:, 0]
    array([4, 5, 0, 1, 2, 3, 6])
    """
    length = len(signal) // len(order)
    at = (order[:, None] * length + np.arange(length)).ravel()
    return np.concatenate([signal[at], signal[len(at) :]])


@dataclass(frozen=True, eq=False)
class _Shuffled:
    signals: list[np.ndarray]
    orders: list[np.ndarray]
    story: np.ndarray

    def __call__(self, number: int) -> list[np.ndarray]:
        pairs = zip(self.signals, self.story, strict=True)
        return [shuffle_blocks(signal, self.orders[i][number]) for signal, i in pairs]


def responses(design: Design, values: np.ndarray) -> Responses:
    """Return the function that makes surrogate responses; unusable frames travel with their blocks, at rest.

    Parameters
    ----------
    design
        The one that was drawn for.
    values
        Of the draw.
    """
    starts = np.flatnonzero(values[0] == 0)
    story = to_trials(design, np.arange(len(starts)))
    return _Shuffled(responses_at_rest(design), np.split(values, starts[1:], axis=1), story)


def support(design: Design) -> Support:
    """Look at drifts, as for circular shifts, and at how many blocks there are.

    Parameters
    ----------
    design
        One listener's.
    """
    doubtful, refused = stationarity(design)
    length = block_frames(design)
    fewest = int(count_blocks(shortest_of(design), length).min())
    if fewest < _FEWEST_BLOCKS:
        refused.append(f"A trial holds {fewest} blocks of {length} frames; at least {_FEWEST_BLOCKS} are needed.")
    return Support.from_findings(refused=refused, doubtful=doubtful, better="pairing")


BLOCKS = Family(
    key="blocks",
    name="permutation of blocks within trials",
    assumption="Were there no effect, long blocks of the response could stand in any order within their trial: what "
    "lies further apart than a block is unrelated, and the seams between blocks do not matter.",
    kind="responses",
    draw=draw,
    support=support,
    responses=responses,
)
