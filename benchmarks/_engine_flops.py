"""How many operations does a task take? Counted by formula, stage by stage.

A real transform of n frames counts 2.5 n log2(n), a symmetric eigendecomposition of h rows 9 h^3, a Cholesky
factorisation h^3 / 3, a complex multiplication with its addition 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from scipy import fft

from benchmarks._engine_data import Size
from brainalign.encoding.nest import Halves
from brainalign.encoding.scoring import columns_at_once

_FLOAT = 4


@dataclass(frozen=True)
class Counts:
    """Floating-point operations and bytes.

    Attributes
    ----------
    stages
        Operations, by stage.
    moved
        Bytes read and written by stages that memory holds back.
    """

    stages: dict[str, float]
    moved: dict[str, float] = field(default_factory=dict)


def training_sets(n_folds: int) -> tuple[int, int]:
    """Return how many training sets nested cross-validation has, and how often one is scored on a fold.

    >>> training_sets(5)
    (15, 25)
    """
    pairs = n_folds * (n_folds - 1) // 2
    return n_folds + pairs, n_folds + 2 * pairs


def scored_together(size: Size) -> int:
    """Return how many columns (channels under rotations) are scored at once."""
    return columns_at_once(Halves(size.n_lags, 2), size.n_channels)


def scoring_flops(size: Size, *, parts: int) -> float:
    """Return operations to score one column (one channel under one rotation) with all penalties, nested.

    Parameters
    ----------
    size
        Of the problem.
    parts
        2 where an even and an odd half of the lags part (on the ring), else 1.
    """
    h, a = math.ceil(size.n_lags / parts), size.n_penalties
    trainings, scorings = training_sets(size.n_trials)
    project = 2 * parts * h * (h + 1) + 2 * parts * (h + 1)
    held = 2 * parts * h * (h + 1) + parts * h
    bend = 2 * parts * 2 * h * h + 2 * parts * h
    gains = 2 * a * parts * h + 2 * a * parts * 2 * h
    return trainings * project + scorings * (held + bend + gains + 6 * a)


def _decompositions(size: Size, *, parts: int) -> float:
    h = math.ceil(size.n_lags / parts)
    trainings, scorings = training_sets(size.n_trials)
    return parts * h**3 * (9 * (trainings + 1) + 4 * scorings)


def rotation_counts(size: Size) -> Counts:
    """Count one feature under all rotations."""
    n, k, channels, lags = size.frames, size.n_trials, size.n_channels, size.n_lags
    columns = (size.n_rotations + 1) * channels
    return Counts(
        stages={
            "eigendecompositions": _decompositions(size, parts=2),
            "transforms": k * (2.5 * n * math.log2(n) * (1 + channels) + 3 * n * channels),
            "windows gathered": columns * lags * 2 * k,
            "scores": columns * scoring_flops(size, parts=2),
            "penalties picked": columns * k * size.n_penalties * 4,
        },
        moved={
            # Products of spectra written and read, transforms written, read and written once more.
            "transforms": k * n * channels * _FLOAT * 6,
            # Every window is read from the correlation, written, and split into sums and differences.
            "windows gathered": columns * lags * k * _FLOAT * 4,
            "penalties picked": columns * k * size.n_penalties * _FLOAT * 6,
        },
    )


def _segments(size: Size) -> tuple[float, int, float]:
    """Return how many segments cover the data, their transforms' length, and operations per transform."""
    n_fft = fft.next_fast_len(max(6 * size.n_lags, 64), real=True)
    count = size.n_trials * math.ceil(size.frames / (n_fft - size.n_lags + 1))
    return count, n_fft, 2.5 * n_fft * math.log2(n_fft)


def map_counts(size: Size) -> Counts:
    """Count one dense feature of a block, observed only."""
    count, n_fft, transform = _segments(size)
    channels, frames = size.n_channels, size.frames * size.n_trials
    products = count * (transform + 8 * (n_fft // 2 + 1) * channels) + size.n_trials * channels * transform
    return Counts(
        stages={
            "moments": products + 4 * size.n_lags * frames,
            "eigendecompositions": _decompositions(size, parts=1),
            "scores": channels * scoring_flops(size, parts=1),
        }
    )


def joint_counts(size: Size) -> Counts:
    """Count one joint model, nested, penalties by Cholesky factorisations."""
    count, n_fft, transform = _segments(size)
    d, channels, columns = size.n_joint, size.n_channels + 1, size.n_joint * size.n_lags
    trainings, scorings = training_sets(size.n_trials)
    solution = columns**3 / 3 + 2 * columns**2 * size.n_channels
    product = 8 * (n_fft // 2 + 1) * d * (d + channels)
    return Counts(
        stages={
            "moments": count * (product + (2 * d + channels) * transform),
            "solutions": (trainings + 1) * size.n_penalties * solution,
            "held-out scores": scorings * size.n_penalties * 2 * columns**2 * size.n_channels,
        }
    )
