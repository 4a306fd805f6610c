"""How would the statistic look were the stimulus moved against the response within each trial? A shift on the ring.

It keeps both signals' spectra and sparsity and needs few trials. It fails where signals drift:
two slow signals go together for the length of a trial by chance, and a shift parts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy import fft

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.seeds import generator
from brainalign.stats.nulls.family import Draw, Family, Support, shortest_of, to_trials
from brainalign.stats.spectra import measure_drift

MIN_POSITIONS = 100
# Of all frames, so many must have left their place.
MOVED_SHARE = 0.5


def circular_shifts(
    n_frames: Sequence[int], *, n_permutations: int, min_shift: int, rng: np.random.Generator, closest: int = 0
) -> np.ndarray:
    """Draw rotations, each trial on its own; row 0 is the data (no shift).

    A trial goes anywhere on its ring but for the lag window, and a rotation that leaves half of the frames near their
    place is drawn again. Keeping every trial farther away would be too much: surrogates would then lie closer
    to each other than to the data, and the test would find too often what is not there.

    Parameters
    ----------
    n_frames
        Frames per trial.
    n_permutations
        Number of rotations besides the identity.
    min_shift
        Distance from the true alignment that counts as moved, in frames, either way round the ring.
    rng
        Source of randomness.
    closest
        Distance that every trial keeps from its place: the lag window, so that no trial shows the answer.

    Returns
    -------
    numpy.ndarray
        Shape ``(1 + n_permutations, n_trials)``, int64.
    """
    free = np.array([n - 2 * min_shift + 1 for n in n_frames])
    if free.min() < MIN_POSITIONS:
        shortest = int(np.argmin(free))
        raise ValueProblem(
            "a trial is too short for a circular-shift null",
            got=f"trial {shortest}: {n_frames[shortest]} frames, {max(0, int(free.min()))} shifts beyond {min_shift}",
            fix=f"use trials of at least {2 * min_shift + MIN_POSITIONS} frames, or a shorter lag window",
        )
    if float(np.log2(free).sum()) < np.log2(10 * n_permutations):
        raise ValueProblem(
            "there are too few distinguishable shifts for that many permutations",
            got=f"{n_permutations} permutations of {len(free)} trials",
            fix=f"ask for at most {int(np.prod(free.astype(float)) // 10)}",
        )
    sizes = np.array(n_frames)
    rows = [np.zeros((1, len(sizes)), dtype=np.int64)]
    while (left := n_permutations + 1 - sum(map(len, rows))) > 0:
        drawn = rng.integers(closest, sizes - closest + (closest > 0), size=(left, len(sizes)))
        moved = np.minimum(drawn, sizes - drawn) >= min_shift
        rows.append(drawn[moved @ sizes >= MOVED_SHARE * sizes.sum()])
    return np.concatenate(rows)


def decorrelation_frames(trials: Sequence[np.ndarray], *, level: float = 0.05, longest: int = 500) -> int:
    """Return after how many frames the autocorrelation of signals stays below a level.

    Parameters
    ----------
    trials
        Of one kind, shape ``(n_frames, n_columns)`` each: their autocovariances are summed, as that of
        one short trial is mostly noise.
    level
        Absolute autocorrelation regarded as none.
    longest
        Lags looked at.

    Returns
    -------
    int
        The largest over columns of the first lag from which the median absolute
        autocorrelation over the next tenth of a window is below the level.
    """
    longest = min(longest, min(map(len, trials)) // 3)
    auto = np.abs(sum(_autocovariance(np.asarray(trial, dtype=float), longest) for trial in trials))
    auto /= np.where(auto[:1] > 0, auto[:1], np.inf)
    span = max(1, ceil(longest / 10))
    windows = np.lib.stride_tricks.sliding_window_view(auto, span, axis=0)[: longest - span]
    envelope = np.median(windows, axis=-1).max(axis=-1)
    below = np.flatnonzero(envelope < level)
    return int(below[0]) if len(below) else longest


def _autocovariance(signal: np.ndarray, longest: int) -> np.ndarray:
    centred = signal - signal.mean(axis=0)
    n_fft = fft.next_fast_len(len(signal) + longest, real=True)
    return fft.irfft(np.abs(fft.rfft(centred, n=n_fft, axis=0)) ** 2, n=n_fft, axis=0)[:longest]


def min_shift(n_lags: int, decorrelation: int) -> int:
    """Return the smallest shift that breaks the alignment: the lag window plus the signals' memory, in frames."""
    return n_lags + decorrelation


def memory_of(design: Design) -> int:
    """Return the response's decorrelation time in frames.

    Parameters
    ----------
    design
        One listener's.
    """
    return decorrelation_frames([trial.y for trial in design.trials])


def draw(design: Design, *, n_permutations: int, seed: int, n_listeners: int = 1) -> Draw:
    """Draw rotations that part stimuli and responses by more than the lags and the response's memory.

    Parameters
    ----------
    design
        One listener's.
    n_permutations, seed, n_listeners
        As every family's; shifts are never enumerated.

    Returns
    -------
    Draw
        Values ``(1 + B, n_trials)``: frames by which each trial's stimulus is moved later, the same for all
        trials of a story.
    """
    distance = min_shift(design.lags.n, memory_of(design))
    values = circular_shifts(
        shortest_of(design),
        n_permutations=n_permutations,
        min_shift=distance,
        rng=generator(seed, "shifts", design.subject),
        closest=design.lags.n,
    )
    told = f"each trial shifted round its ring, by at least {design.lags.n} frames, and half of all by {distance}"
    return Draw(to_trials(design, values), False, told)


def stationarity(design: Design) -> tuple[list[str], list[str]]:
    """Return what speaks against stationary trials: sentences that cast doubt, and sentences that refuse.

    Parameters
    ----------
    design
        One listener's.
    """
    drift = measure_drift(design)
    told = f"{drift.common:.0%} of what features and response share takes a trial or longer"
    if drift.level == "refused":
        return [], [f"{told}: such drifts meet by chance more often than surrogates made within trials do."]
    if drift.level == "doubtful":
        return [f"{told}: high-pass both sides, at 0.5 Hz or above."], []
    return [], []


def support(design: Design) -> Support:
    """Look at drifts on both sides, and at how many shifts there are.

    Parameters
    ----------
    design
        One listener's.
    """
    doubtful, refused = stationarity(design)
    distance = min_shift(design.lags.n, memory_of(design))
    shortest = min(trial.axis.n for trial in design.trials)
    positions = shortest - 2 * distance + 1
    if positions < MIN_POSITIONS:
        refused.append(
            f"The shortest trial has {shortest} frames, and {max(0, positions)} shifts beyond lags and memory "
            f"({distance} frames); at least {MIN_POSITIONS} are needed."
        )
    return Support.from_findings(refused=refused, doubtful=doubtful, better="pairing")


CIRCULAR = Family(
    key="circular-shift",
    name="circular shift within trials",
    assumption="Were there no effect, moving a stimulus against the response within a trial would not change the "
    "statistic's distribution; this holds when both are stationary within a trial, so both are high-passed first.",
    kind="rotations",
    draw=draw,
    support=support,
)
