"""How long must a stretch of time be to count as one independent observation, and how is time cut into such stretches?

Frames of EEG resemble their neighbours, so frames are not what a bootstrap may draw. Blocks are, if
they are longer than what resembles; if they are longer than needed, too few are left. Politis & White
(2004; corrected by Patton, Politis & White 2009) balance the two: with autocovariances R(k) of the
series whose mean is estimated, n frames and a flat-top window w,

    b = ( 2 G^2 / D )^(1/3) n^(1/3),      G = sum_k w(k / M) |k| R(k),      D = 4/3 ( sum_k w(k / M) R(k) )^2

for circular blocks of one length. M is twice the lag after which R stays within sampling error of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from brainalign.core.errors import ShapeMismatch, ValueProblem

_ATOMS = 8


@dataclass(frozen=True, eq=False)
class Cuts:
    """Trials cut into blocks of nearly one length, each of a few atoms.

    Attributes
    ----------
    edges
        Per trial, where its atoms begin, and its end, ``(n_blocks * n_atoms + 1,)``.
    n_atoms
        Per trial, atoms in each of its blocks.
    """

    edges: tuple[np.ndarray, ...]
    n_atoms: tuple[int, ...]

    @property
    def n_blocks(self) -> np.ndarray:
        """Blocks of each trial, ``(n_trials,)``."""
        return np.array([(len(edges) - 1) // n for edges, n in zip(self.edges, self.n_atoms, strict=True)])

    @property
    def trial_of(self) -> np.ndarray:
        """Trial of each block, ``(n_blocks,)``."""
        return np.repeat(np.arange(len(self.edges)), self.n_blocks)

    @property
    def spans(self) -> list[tuple[int, int, int]]:
        """Trial, first frame and the frame after the last of every block."""
        return [
            (number, int(edges[start]), int(edges[start + n]))
            for number, (edges, n) in enumerate(zip(self.edges, self.n_atoms, strict=True))
            for start in range(0, len(edges) - 1, n)
        ]


def cut_blocks(lengths: Sequence[int], block_frames: int | None) -> Cuts:
    """Cut every trial into blocks; no block reaches across a trial's edge.

    Parameters
    ----------
    lengths
        Frames of each trial.
    block_frames
        About how long a block is; a shorter trial is one block. None: trials are blocks.

    Examples
    --------
    >>> cut_blocks([10, 4], 5).spans
    [(0, 0, 5), (0, 5, 10), (1, 0, 4)]
    """
    if block_frames is not None and block_frames < 1:
        raise ValueProblem("a block needs at least one frame", got=block_frames, fix="give frames, e.g. 5 s of them")
    if not len(lengths) or min(lengths) < 1:
        raise ShapeMismatch("there is no time to cut", got=list(lengths)[:4], fix="give trials with frames")
    counts = [1 if block_frames is None else max(1, round(n / block_frames)) for n in lengths]
    atoms = [1 if block_frames is None else min(_ATOMS, n // count) for n, count in zip(lengths, counts, strict=True)]
    edges = tuple(
        np.round(np.linspace(0, n, count * parts + 1)).astype(int)
        for n, count, parts in zip(lengths, counts, atoms, strict=True)
    )
    return Cuts(edges, tuple(atoms))


def atom_sums(values: Sequence[np.ndarray], cuts: Cuts) -> list[np.ndarray]:
    """Sum frames within atoms, per trial ``(n_blocks, n_atoms, ...)``.

    Parameters
    ----------
    values
        Per trial, ``(n_frames, ...)``.
    cuts
        Of the same trials.
    """
    return [
        np.add.reduceat(item, edges[:-1], axis=0).reshape(-1, n, *item.shape[1:])
        for item, edges, n in zip(values, cuts.edges, cuts.n_atoms, strict=True)
    ]


def grids(atoms: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the blocks' sums with every origin, ``(n_blocks, ...)`` each, the plain cut first.

    Trials are closed to rings and the cut is moved on by an atom at a time. Drawing from all these
    grids in turn is the circular block bootstrap with origins one atom apart: its spread is the mean
    over grids, which is less noisy than one grid's, at the cost of one grid's.

    Parameters
    ----------
    atoms
        From `atom_sums`.
    """
    n_origins = max(item.shape[1] for item in atoms)
    return [np.concatenate([_moved(item, origin) for item in atoms]) for origin in range(n_origins)]


def _moved(atoms: np.ndarray, origin: int) -> np.ndarray:
    n_blocks, n_atoms = atoms.shape[:2]
    flat = atoms.reshape(n_blocks * n_atoms, *atoms.shape[2:])
    moved = np.roll(flat, -(origin % n_atoms), axis=0) if n_blocks > 1 else flat
    return moved.reshape(atoms.shape).sum(axis=1)


def block_length(series: Sequence[np.ndarray]) -> np.ndarray:
    """Return the block length that suits the mean of each column, in frames, ``(n_columns,)``.

    Parameters
    ----------
    series
        Per trial, ``(n_frames, n_columns)``; autocovariances are pooled over trials. For the correlation of x and
        y in standard units the mean is that of ``x y - r (x^2 + y^2) / 2``.

    Notes
    -----
    The rule balances bias and spread of the estimated variance, asymptotically. A series whose autocovariances
    cancel (a band-passed one) may get blocks as short as one frame: they do suit its mean.
    """
    n = sum(len(item) for item in series)
    if n < 20:
        raise ValueProblem("too little time for an autocorrelation", got=f"{n} frames", fix="give longer trials")
    reach = max(5, int(np.ceil(np.sqrt(np.log10(n)))))
    most = int(np.ceil(np.sqrt(n))) + reach
    covariance = _autocovariance(series, most + 1)
    longest = np.ceil(min(3 * np.sqrt(n), n / 3))
    return np.array([min(_rule(column, n, reach), longest) for column in covariance.T])


def _autocovariance(series: Sequence[np.ndarray], n_lags: int) -> np.ndarray:
    """Return ``sum x(t) x(t + k) / n`` around the mean of all trials, lags never reaching across trials."""
    n = sum(len(item) for item in series)
    mean = sum(item.sum(axis=0) for item in series) / n
    total = np.zeros((n_lags, series[0].shape[1]))
    for item in series:
        size = fft.next_fast_len(len(item) + n_lags, real=True)
        power = np.square(np.abs(fft.rfft(item - mean, n=size, axis=0)))
        total += fft.irfft(power, n=size, axis=0)[:n_lags]
    return total / n


def _rule(covariance: np.ndarray, n: int, reach: int) -> float:
    if covariance[0] <= 0:
        return 1.0
    most = len(covariance) - 1
    large = np.abs(covariance[1:] / covariance[0]) >= 2 * np.sqrt(np.log10(n) / n)
    # The lag after which `reach` autocorrelations in a row are small; where there is none, the last large one.
    quiet = [k for k in range(most - reach + 1) if not large[k : k + reach].any()]
    memory = quiet[0] if quiet else int(np.flatnonzero(large)[-1]) + 1
    lags = np.arange(min(2 * max(memory, 1), most) + 1)
    window = np.clip(2 - 2 * lags / lags[-1], 0, 1) * np.where(lags, 2, 1) * covariance[lags]
    level, slope = window.sum(), (lags * window).sum()
    if level <= 0:
        return float(lags[-1])
    return float(max(1.0, (1.5 * (slope / level) ** 2 * n) ** (1 / 3)))
