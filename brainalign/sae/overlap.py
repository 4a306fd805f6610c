"""How often are two features active together? Intersection over union of their active frames, in sparse blocks.

AudioSAE's measure of stability: feature j of one coder is *covered* by another coder if one of
its features is active in nearly the same frames. Nothing here is ever frames by features:
the co-occurrences of a block of features are one product of sparse matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from brainalign.core.arrays import read_only
from brainalign.core.errors import GridMismatch, ShapeMismatch, ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory

THETA = 0.5
BLOCK = 256
# Shifts of less would leave a feature where its own neighbours in time are.
LEAST_SHIFT = 500


@dataclass(frozen=True, eq=False)
class Best:
    """Each feature's nearest feature in another coder.

    Parameters
    ----------
    iou
        The largest intersection over union, 0 for features that are never active, shape ``(n_features,)``.
    partner
        Number of that feature in the other coder, -1 where no feature is active with it.
    n_active
        Frames in which each feature is active.
    """

    iou: np.ndarray
    partner: np.ndarray
    n_active: np.ndarray


@dataclass(frozen=True, eq=False)
class Coverage:
    """How many features of one coder another one has, with what chance would give.

    Parameters
    ----------
    best
        Each feature's nearest one.
    alive
        Features active in at least ``min_frames`` frames: only they count.
    chance
        Share of covered features when the other coder's frames are shifted in time, one value per shift.
    theta
        What an intersection over union must exceed.
    offset
        Frames by which the two clocks were found apart (whole frames were paired; the rest is below half a frame).
    """

    best: Best
    alive: np.ndarray
    chance: np.ndarray
    theta: float
    offset: int = 0

    @property
    def covered(self) -> np.ndarray:
        """Which features are alive and covered."""
        return self.alive & (self.best.iou > self.theta)

    @property
    def count(self) -> int:
        """Number of covered features (AudioSAE's tables give this count, of all features)."""
        return int(self.covered.sum())

    @property
    def share(self) -> float:
        """Share of covered features among those alive; NaN if none is."""
        return self.count / n if (n := int(self.alive.sum())) else float("nan")


Codes = Trajectory | Sequence[Trajectory]


def coverage(
    codes: Codes,
    others: Codes,
    *,
    theta: float = THETA,
    min_frames: int = 1,
    n_shifts: int = 5,
    seed: int = 0,
) -> Coverage:
    """Return which features of one coder are active in nearly the frames of some feature of another.

    Asymmetric, and not one-to-one: many features may be covered by one. For the chance level the
    other coder's frames are shifted circularly over the whole corpus, which keeps how often and in what
    runs each of its features is active.

    Parameters
    ----------
    codes, others
        Sparse features of the same sounds in the same order: of two seeds, checkpoints, layers or
        models. Rates must be equal; first frames may differ, and nearest ones are then paired.
    theta
        What the intersection over union must exceed.
    min_frames
        Frames in which a feature must be active to count as alive.
    n_shifts
        Shifts for the chance level; 0 leaves it out.
    seed
        Of the shifts.
    """
    _check(theta=theta, min_frames=min_frames, n_shifts=n_shifts)
    first, second, offset = _paired(codes, others)
    best = best_overlaps(first, second)
    alive = best.n_active >= min_frames
    rng = generator(seed, "coverage")
    chance = [_share(best_overlaps(first, _shifted(second, rng)), alive, theta) for _ in range(n_shifts)]
    return Coverage(best, read_only(alive), read_only(np.array(chance)), theta, offset)


def duplicates(
    codes: Codes, *, theta: float = THETA, min_frames: int = 1, n_shifts: int = 5, seed: int = 0
) -> Coverage:
    """Return which features of a coder are active in nearly the frames of another of its own features.

    Parameters
    ----------
    codes
        The coder's features.
    theta, min_frames, n_shifts, seed
        As for `coverage`; the chance level is that of the coder against itself shifted.
    """
    _check(theta=theta, min_frames=min_frames, n_shifts=n_shifts)
    own = _joined(_sequence(codes))
    best = best_overlaps(own, own, but_itself=True)
    alive = best.n_active >= min_frames
    rng = generator(seed, "duplicates")
    chance = [_share(best_overlaps(own, _shifted(own, rng), but_itself=True), alive, theta) for _ in range(n_shifts)]
    return Coverage(best, read_only(alive), read_only(np.array(chance)), theta)


def alive_features(codes: Codes, *, min_frames: int = 1) -> np.ndarray:
    """Return which features are active in at least so many frames, a mask of shape ``(n_features,)``."""
    return np.asarray(_binary(_joined(_sequence(codes))).sum(axis=0) >= min_frames)


def best_overlaps(first: sparse.csr_array, second: sparse.csr_array, *, but_itself: bool = False) -> Best:
    """Return for each column of one matrix the column of another with which it shares most.

    Parameters
    ----------
    first, second
        CSR with the same rows (frames); a value counts as active if it is not 0.
    but_itself
        Leave out the column of the same number.
    """
    if first.shape[0] != second.shape[0]:
        raise ShapeMismatch(
            "both must have the same frames", got=f"{first.shape[0]} and {second.shape[0]}", fix="use the same sounds"
        )
    left, right = _binary(first), _binary(second)
    n_left, n_right = (np.asarray(matrix.sum(axis=0), dtype=np.int64) for matrix in (left, right))
    iou, partner = np.zeros(left.shape[1]), np.full(left.shape[1], -1, dtype=np.int64)
    for start, shared in _co_occurrences(left, right):
        rows = np.arange(len(shared))
        if but_itself:
            shared[rows, start + rows] = 0
        union = n_left[start : start + len(shared), None] + n_right[None, :] - shared
        ratio = shared / np.maximum(union, 1)
        chosen = ratio.argmax(axis=1)
        iou[start + rows] = ratio[rows, chosen]
        partner[start + rows] = np.where(ratio[rows, chosen] > 0, chosen, -1)
    return Best(read_only(iou), read_only(partner), read_only(n_left))


def _co_occurrences(left: sparse.csr_array, right: sparse.csr_array) -> Iterator[tuple[int, np.ndarray]]:
    """Yield, for blocks of the left's columns, the frames that each shares with each of the right's."""
    by_feature = sparse.csr_array(left.T)
    for start in range(0, left.shape[1], BLOCK):
        product = by_feature[start : start + BLOCK] @ right
        yield start, product.toarray()


def _binary(matrix: sparse.csr_array) -> sparse.csr_array:
    """Return ones where a matrix is not 0 (counts fit 32 bits: that many frames are years of sound)."""
    result = sparse.csr_array(
        ((matrix.data != 0).astype(np.int32), matrix.indices.astype(np.int32), matrix.indptr.copy()), shape=matrix.shape
    )
    result.eliminate_zeros()
    return result


def _share(best: Best, alive: np.ndarray, theta: float) -> float:
    return float(np.mean(best.iou[alive] > theta)) if alive.any() else float("nan")


def _shifted(matrix: sparse.csr_array, rng: np.random.Generator) -> sparse.csr_array:
    n = matrix.shape[0]
    least = min(LEAST_SHIFT, n // 4)
    by = int(rng.integers(least, n - least + 1))
    return sparse.csr_array(sparse.vstack([matrix[by:], matrix[:by]], format="csr"))


def _sequence(codes: Codes) -> tuple[Trajectory, ...]:
    items = (codes,) if isinstance(codes, Trajectory) else tuple(codes)
    if not items or not all(item.is_sparse for item in items):
        raise ValueProblem(
            "stability is measured on sparse features",
            got="no trajectories" if not items else "a dense trajectory",
            fix="apply the coder first (coder.apply)",
        )
    return items


def _joined(items: Sequence[Trajectory]) -> sparse.csr_array:
    return sparse.csr_array(sparse.vstack([item.values for item in items], format="csr"))


def _paired(codes: Codes, others: Codes) -> tuple[sparse.csr_array, sparse.csr_array, int]:
    """Return the frames of both that lie nearest to one another, of all sounds together, and the whole frames apart."""
    first, second = _sequence(codes), _sequence(others)
    if len(first) != len(second):
        raise ShapeMismatch(
            "both coders must have coded the same sounds", got=f"{len(first)} and {len(second)}", fix="pair them"
        )
    offsets = {_offset(a, b) for a, b in zip(first, second, strict=True)}
    if len(offsets) > 1:
        raise GridMismatch(
            "the sounds' clocks differ by different amounts",
            got=f"{sorted(offsets)} frames",
            fix="pair the same sounds",
        )
    offset = offsets.pop()
    pairs = [_overlapping(a, b, offset) for a, b in zip(first, second, strict=True)]
    return _joined([a for a, _ in pairs]), _joined([b for _, b in pairs]), offset


def _offset(a: Trajectory, b: Trajectory) -> int:
    if a.axis.rate != b.axis.rate:
        raise GridMismatch(
            "frames can be paired at equal rates only",
            got=f"{a.axis.rate} and {b.axis.rate} Hz",
            fix="bring one onto the other's clock first",
        )
    return round((b.axis.t0 - a.axis.t0) * a.axis.rate)


def _overlapping(a: Trajectory, b: Trajectory, offset: int) -> tuple[Trajectory, Trajectory]:
    skip_a, skip_b = max(0, offset), max(0, -offset)
    n = min(a.axis.n - skip_a, b.axis.n - skip_b)
    # A frame more or less at the end is what models of one rate differ by; more means another sound.
    if n < 1 or abs((a.axis.n - skip_a) - (b.axis.n - skip_b)) > 2:
        raise GridMismatch(
            "two trajectories of one sound must be equally long",
            got=f"{a.axis.n} and {b.axis.n} frames, {offset} apart",
            fix="give the same sounds in the same order",
        )
    return a.frames(skip_a, skip_a + n), b.frames(skip_b, skip_b + n)


def _check(*, theta: float, min_frames: int, n_shifts: int) -> None:
    if not 0 <= theta < 1:
        raise ValueProblem("theta is a share that must be exceeded", got=theta, fix="give 0 <= theta < 1, such as 0.5")
    if min_frames < 1 or n_shifts < 0:
        raise ValueProblem(
            "min_frames must be 1 or more and n_shifts 0 or more", got=f"{min_frames=}, {n_shifts=}", fix="raise them"
        )
