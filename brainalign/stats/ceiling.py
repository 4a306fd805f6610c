"""How well could any model do? Noise ceilings from responses to the same sound.

A response is what the sound determines plus the rest. Heard again, the sound gives the first
part once more, so what repeats agree on tells how large it is (Sahani & Linden 2003):

    TP = mean variance of a repeat
    SP = (R var(mean of R repeats) - TP) / (R - 1)            what the sound determines, unbiased
    ceiling of r against one repeat        = sqrt(SP / TP)
    ceiling of r against the mean of R     = sqrt(SP / (SP + (TP - SP) / R))

(Hsu, Borst & Theunissen 2004; Schoppe et al. 2016.) ``SP / TP`` is the mean correlation between
repeats, and Spearman and Brown's formula for R repeats is the second square. In place of one
listener's repeats there may be many listeners' responses to one sound: then the ceiling is of what they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.seeds import generator

LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Ceiling:
    """Noise ceilings per channel, with intervals from resampled stretches of time.

    Attributes
    ----------
    reliability
        Mean correlation between single repeats, ``SP / TP``; may fall below 0 by chance, ``(n_channels,)``.
    low, high
        Its interval.
    n_repeats
        R.
    draws
        The resampled reliabilities, ``(n_draws, n_channels)``.
    """

    reliability: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_repeats: int
    draws: np.ndarray

    @property
    def single(self) -> np.ndarray:
        """Largest r to be expected of a model against one repeat, ``(n_channels,)``; NaN where there is none."""
        return _root(self.reliability)

    @property
    def average(self) -> np.ndarray:
        """The same against the mean of all repeats."""
        return _root(spearman_brown(self.reliability, n=self.n_repeats))

    @property
    def exists(self) -> np.ndarray:
        """Where repeats agree beyond doubt: the interval lies above 0, bool, ``(n_channels,)``."""
        return self.low > 0


@dataclass(frozen=True, eq=False)
class Share:
    """A score beside its ceiling.

    Attributes
    ----------
    raw
        The score, r.
    share
        ``raw / ceiling``; NaN where the ceiling cannot be told from 0.
    low, high
        Its interval, from the ceiling's uncertainty alone.
    """

    raw: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def noise_ceiling(responses: Sequence[np.ndarray], *, block_frames: int, n_draws: int = 1000, seed: int = 0) -> Ceiling:
    """Estimate noise ceilings from repeated responses.

    Parameters
    ----------
    responses
        Per sound, ``(n_repeats, n_frames, n_channels)``, with equally many repeats of each.
    block_frames
        Length of the stretches that are drawn with replacement for the intervals; several times the response's
        memory, e.g. 10 seconds.
    n_draws
        Resamplings.
    seed
        Of the resampling.

    Notes
    -----
    Variances are within sounds, so that a sound's mean level counts as nothing. A model's ceiling holds for scores
    that are pooled over the same sounds.
    """
    sums = _block_sums(responses, block_frames=block_frames)
    if len(sums) < 5:
        raise ValueProblem(
            "too little time to resample",
            got=f"{len(sums)} stretches of {block_frames} frames",
            fix="shorter stretches",
        )
    n_repeats = responses[0].shape[0]
    estimate = _reliability(sums.sum(axis=0)[None], n_repeats)[0]
    drawn = generator(seed, "noise-ceiling").multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n_draws)
    draws = _reliability(np.tensordot(drawn.astype(float), sums, axes=1), n_repeats)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Ceiling(estimate, low, high, n_repeats, draws)


def spearman_brown(reliability: np.ndarray, *, n: float) -> np.ndarray:
    """Return the reliability of the mean of n repeats, from that of one.

    Parameters
    ----------
    reliability
        Correlation between single repeats.
    n
        How many are averaged; 0.5 halves a test.

    Examples
    --------
    >>> spearman_brown(np.array([0.5]), n=2)
    array([0.66666667])
    """
    return n * reliability / (1 + (n - 1) * reliability)


def split_half(responses: Sequence[np.ndarray], *, n_splits: int = 100, seed: int = 0) -> np.ndarray:
    """Return the reliability of the mean of all repeats, from means of random halves, ``(n_channels,)``.

    The correlation between two halves' means, averaged over splits, is brought to all
    repeats with Spearman and Brown's formula (for halves of equal size exactly; an odd
    repeat is left out of each split).

    Parameters
    ----------
    responses
        As for `noise_ceiling`.
    n_splits
        Random splits.
    seed
        Of the splits.
    """
    centred = [_centred(item) for item in _checked(responses)]
    n_repeats = centred[0].shape[0]
    half, rng = n_repeats // 2, generator(seed, "split-half")
    r = []
    for _ in range(n_splits):
        order = rng.permutation(n_repeats)
        pair = [[item[order[part]].mean(axis=0) for item in centred] for part in (slice(half), slice(half, 2 * half))]
        r.append(_pooled_r(*pair))
    return spearman_brown(np.mean(r, axis=0), n=n_repeats / half)


def leave_one_out_bounds(responses: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds of the ceiling against one repeat (Nili et al. 2014), ``(n_channels,)`` each.

    Lower: each repeat's correlation with the mean of the *others*. Upper: with the mean of
    all, itself included. Both averaged over repeats.

    Parameters
    ----------
    responses
        As for `noise_ceiling`; with listeners in place of repeats these are the bounds of inter-subject correlation.
    """
    centred = [_centred(item) for item in _checked(responses)]
    n_repeats = centred[0].shape[0]
    lower, upper = [], []
    for one in range(n_repeats):
        own = [item[one] for item in centred]
        everyone = [item.mean(axis=0) for item in centred]
        others = [(n_repeats * mean - mine) / (n_repeats - 1) for mean, mine in zip(everyone, own, strict=True)]
        lower.append(_pooled_r(own, others))
        upper.append(_pooled_r(own, everyone))
    return np.mean(lower, axis=0), np.mean(upper, axis=0)


def share_of_ceiling(r: np.ndarray, ceiling: Ceiling, *, against: str = "single") -> Share:
    """Return a score as a share of what could be reached; nothing is divided by a ceiling that may be 0.

    Parameters
    ----------
    r
        Scores, ``(..., n_channels)``.
    ceiling
        Of the same channels.
    against
        ``"single"`` if r was computed against single repeats, ``"average"`` against the mean of all.
    """
    if against not in ("single", "average"):
        raise ValueProblem(
            "a score is against single repeats or their average", got=against, fix="'single' or 'average'"
        )
    draws = ceiling.draws if against == "single" else spearman_brown(ceiling.draws, n=ceiling.n_repeats)
    top = np.where(ceiling.exists, getattr(ceiling, against), np.nan)
    quantiles = np.quantile(np.sqrt(np.clip(draws, 0, None)), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    lowest, highest = (np.where(ceiling.exists, item, np.nan) for item in quantiles)
    r = np.asarray(r, dtype=float)
    one, other = r / highest, r / lowest
    return Share(r, r / top, np.minimum(one, other), np.maximum(one, other))


def _root(squares: np.ndarray) -> np.ndarray:
    return np.sqrt(np.where(squares > 0, squares, np.nan))


def _reliability(sums: np.ndarray, n_repeats: int) -> np.ndarray:
    """Return ``SP / TP`` from sums over time of 1, repeats' squares and their mean's, ``(n, 3, n_channels)``."""
    total, mean = sums[:, 1] / sums[:, 0] / n_repeats, sums[:, 2] / sums[:, 0]
    signal = (n_repeats * mean - total) / (n_repeats - 1)
    return np.divide(signal, total, out=np.zeros_like(total), where=total > 0)


def _block_sums(responses: Sequence[np.ndarray], *, block_frames: int) -> np.ndarray:
    blocks = []
    for item in map(_centred, _checked(responses)):
        for start in range(0, item.shape[1], block_frames):
            part = item[:, start : start + block_frames]
            squares, of_mean = np.square(part).sum(axis=(0, 1)), np.square(part.mean(axis=0)).sum(axis=0)
            blocks.append(np.stack([np.full(part.shape[2], float(part.shape[1])), squares, of_mean]))
    return np.array(blocks)


def _centred(item: np.ndarray) -> np.ndarray:
    item = np.asarray(item, dtype=float)
    return item - item.mean(axis=1, keepdims=True)


def _pooled_r(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> np.ndarray:
    product = sum((a * b).sum(axis=0) for a, b in zip(one, other, strict=True))
    squares = sum(np.square(a).sum(axis=0) for a in one) * sum(np.square(b).sum(axis=0) for b in other)
    root = np.sqrt(np.asarray(squares, dtype=float))
    return np.divide(product, root, out=np.zeros_like(root), where=root > 0)


def _checked(responses: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    shapes = {np.shape(item)[::2] for item in responses if np.ndim(item) == 3}
    if len(shapes) != 1 or any(np.ndim(item) != 3 for item in responses) or min(shapes)[0] < 2:
        raise ShapeMismatch(
            "ceilings need at least two repeats of every sound, equally many",
            got=[np.shape(item) for item in responses][:4],
            fix="give (n_repeats, n_frames, n_channels) per sound",
        )
    for item in responses:
        require_finite(item, name="the responses", fix="repair or leave out the damaged repeat")
    return responses
