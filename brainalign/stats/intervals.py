"""Within which bounds do a held-out r and its share of the ceiling lie?

Prediction and response are cut into blocks of time alike, and blocks are drawn with replacement
(`brainalign.stats.bootstrap`): r follows from a resample's sums of x, y, x^2, y^2 and x y.

How often 95 % intervals held the true r (1,200 channels each; 80 s of signals at 50 Hz, from 1 to 8 Hz or with a
memory of 0.2 s): student 93 to 94 %, percentile and bca 93 to 94 %; with 20 s, or folds of 20 s, 93 and 90 to
93 %. Of shares of the ceiling 93 to 94 %. Somewhat too narrow, then, most where time is short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.stats.blocks import Cuts, atom_sums, block_length, cut_blocks, grids
from brainalign.stats.bootstrap import FEWEST_BLOCKS, LEVEL, Interval, Measure, Resampling, Scale, bootstrap

_ON_FISHERS_SCALE, _SKEWED = Resampling(method="student"), Resampling(method="bca")
_MANY_TRIALS = 30
# Prediction, response and usable frames of one trial.
Pair: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


def r_interval(
    predictions: Sequence[np.ndarray],
    responses: Sequence[np.ndarray],
    *,
    masks: Sequence[np.ndarray] | None = None,
    folds: np.ndarray | None = None,
    resampling: Resampling = _ON_FISHERS_SCALE,
) -> Interval:
    """Return the interval of held-out r, per channel.

    Parameters
    ----------
    predictions, responses
        Per trial, ``(n_frames, n_channels)``; each trial predicted by a model that has not seen it.
    masks
        Usable frames per trial; all of them if not given.
    folds
        Fold of each trial: r is computed within folds and averaged over them, as everywhere in this package, and
        blocks are drawn within folds. Without it, r is that of all trials together.
    resampling
        Method, blocks, number and seed.

    Notes
    -----
    Prediction and response are drawn together, so that what a block holds of both stays together.
    """
    pairs = _checked_pairs(predictions, responses, masks)
    part_of = np.zeros(len(pairs), dtype=int) if folds is None else np.unique(folds, return_inverse=True)[1]
    if len(part_of) != len(pairs):
        raise ShapeMismatch("every trial needs a fold", got=f"{len(part_of)} of {len(pairs)}", fix="one per trial")
    order = np.argsort(part_of, kind="stable")
    parts = [_r_terms([pairs[k] for k in np.flatnonzero(part_of == part)]) for part in np.unique(part_of)]
    tables, waves = zip(*(term for part in parts for term in part), strict=True)
    cuts = suitable_cuts([len(item) for item in tables], waves, part_of[order], resampling)
    return _from_tables(tables, cuts, part_of[order], _r_of_sums, resampling, scale="fisher")


def share_interval(
    predictions: Sequence[np.ndarray], responses: Sequence[np.ndarray], *, resampling: Resampling = _SKEWED
) -> Interval:
    """Return r as a share of the noise ceiling, per channel, with score and ceiling drawn together.

    With R repeats y_i of each sound, their mean Y and the prediction x, all centred within sounds:

        share = cov(x, Y) / sqrt( var(x) SP ),     SP = (R var(Y) - mean var(y_i)) / (R - 1)

    (Schoppe et al. 2016): the total power of a repeat cancels, so it is the share both for single
    repeats and for their mean. It may lie above 1 by chance. A resample without signal power counts as
    an infinite share; where 2.5 % of resamples are so, the ceiling cannot be told from 0 and all is NaN.

    Parameters
    ----------
    predictions
        Per sound, ``(n_frames, n_channels)``.
    responses
        Per sound, ``(n_repeats, n_frames, n_channels)``, equally many repeats of each.
    resampling
        Method, blocks, number and seed. ``"student"`` is refused: a ratio has no spread to speak of.
    """
    if resampling.method == "student":
        raise ValueProblem("a share's draws may be infinite", got="method='student'", fix="'bca' or 'percentile'")
    n_repeats = _require_repeats(predictions, responses)
    tables, waves = zip(*map(_share_table, predictions, responses), strict=True)
    whole: np.ndarray = np.zeros(len(tables), dtype=int)
    cuts = suitable_cuts([len(item) for item in tables], waves, whole, resampling)
    found = _from_tables(tables, cuts, whole, lambda sums: _share_of_sums(sums, n_repeats), resampling, scale="plain")
    silent = np.isinf(found.draws).mean(axis=0) >= (1 - LEVEL) / 2
    estimate, low, high = (np.where(silent, np.nan, item) for item in (found.estimate, found.low, found.high))
    return Interval(estimate, low, high, found.draws, found.method, found.n_blocks, found.block_frames)


def suitable_cuts(
    lengths: Sequence[int], waves: Sequence[np.ndarray], part_of: np.ndarray, resampling: Resampling
) -> Cuts:
    """Cut trials as asked for; on one's own, twice as long as suits three channels of four.

    The rule minimises the error of a variance, most of which is that blocks cut memory off: twice the length
    halves that, and measured coverage rises. Where that would leave a part too few blocks, they are shorter,
    down to half the rule's.

    Parameters
    ----------
    lengths
        Frames of each trial.
    waves
        Per trial, series whose means the statistic follows, ``(n_frames, n_columns)``; read for ``"auto"`` only.
    part_of
        Part of each trial, from 0.
    resampling
        Says how to cut.
    """
    few, part_frames = FEWEST_BLOCKS, np.bincount(part_of, weights=lengths).min()
    if resampling.block == "trials" or (resampling.block == "auto" and np.bincount(part_of).min() >= _MANY_TRIALS):
        return cut_blocks(lengths, None)
    if resampling.block != "auto":
        return cut_blocks(lengths, resampling.block)
    suitable = float(np.quantile(block_length(waves), 0.75))
    return cut_blocks(lengths, int(np.ceil(max(suitable / 2, min(2 * suitable, part_frames / (few + 1))))))


def _from_tables(
    tables: Sequence[np.ndarray],
    cuts: Cuts,
    part_of: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    resampling: Resampling,
    *,
    scale: Scale,
) -> Interval:
    """Average a statistic of sums over parts: per-frame terms ``(n_frames, n_sums, n_channels)`` in, intervals out."""
    strata = part_of[cuts.trial_of]
    parts = [np.flatnonzero(strata == part) for part in np.unique(strata)]

    def _measure_of(sums: np.ndarray) -> Measure:
        flat = sums.reshape(len(sums), -1)

        def measure(counts: np.ndarray) -> np.ndarray:
            totals = ((counts[:, own] @ flat[own]).reshape(-1, *sums.shape[1:]) for own in parts)
            return np.mean([statistic(total) for total in totals], axis=0)

        return measure

    measures = [_measure_of(sums) for sums in grids(atom_sums(tables, cuts))]
    frames = sum(map(len, tables)) / len(strata)
    return bootstrap(measures, strata, resampling=resampling, block_frames=frames, scale=scale)


def _r_terms(pairs: Sequence[Pair]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, trial by trial, per-frame terms of r ``(n_frames, 6, n_channels)`` and the series whose mean r follows.

    In standard units, which change no r and keep sums of squares precise.
    """
    scaled = []
    for number in (0, 1):
        usable = np.concatenate([pair[number][pair[2]] for pair in pairs])
        mean, sd = usable.mean(axis=0), usable.std(axis=0)
        safe = np.where(sd > 1e-12 * np.abs(usable).max(axis=0), sd, np.inf)
        scaled.append([np.where(pair[2][:, None], (pair[number] - mean) / safe, 0) for pair in pairs])
    tables = [
        np.stack([np.broadcast_to(pair[2][:, None], x.shape), x, y, x * x, y * y, x * y], axis=1)
        for pair, x, y in zip(pairs, *scaled, strict=True)
    ]
    r = _r_of_sums(np.sum([table.sum(axis=0) for table in tables], axis=0)[None])[0]
    return [(table, table[:, 5] - r * (table[:, 3] + table[:, 4]) / 2) for table in tables]


def _r_of_sums(sums: np.ndarray) -> np.ndarray:
    """Return r from sums ``(..., 6, n_channels)``; 0 where either is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -2, 0)
    n = np.maximum(n, 1)
    spread = np.sqrt(np.clip(xx - x * x / n, 0, None) * np.clip(yy - y * y / n, 0, None))
    return np.clip(np.divide(xy - x * y / n, spread, out=np.zeros_like(spread), where=spread > 0), -1, 1)


def _share_table(prediction: np.ndarray, repeats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(item, dtype=float) for item in (prediction, repeats))
    x, y = x - x.mean(axis=0), y - y.mean(axis=1, keepdims=True)
    mean = y.mean(axis=0)
    table = np.stack([x * x, x * mean, mean * mean, np.square(y).mean(axis=0)], axis=1)
    return table, table[:, 1]


def _share_of_sums(sums: np.ndarray, n_repeats: int) -> np.ndarray:
    xx, xy, mean, single = np.moveaxis(sums, -2, 0)
    signal = (n_repeats * mean - single) / (n_repeats - 1)
    root = np.sqrt(np.clip(xx, 0, None) * np.clip(signal, 0, None))
    endless = np.where(signal > 0, 0.0, np.inf)
    return np.divide(xy, root, out=endless, where=root > 0)


def _checked_pairs(
    predictions: Sequence[np.ndarray], responses: Sequence[np.ndarray], masks: Sequence[np.ndarray] | None
) -> list[Pair]:
    shapes = [[np.shape(item) for item in side] for side in (predictions, responses)]
    used = [np.ones(len(item), dtype=bool) for item in responses] if masks is None else list(masks)
    fits = shapes[0] == shapes[1] and bool(shapes[0]) and all(len(shape) == 2 for shape in shapes[0])
    if not fits or [shape[:1] for shape in shapes[0]] != [np.shape(mask) for mask in used]:
        raise ShapeMismatch(
            "every trial needs a prediction, a response and a mask of the same frames",
            got=f"predictions {shapes[0][:3]}, responses {shapes[1][:3]}, masks {[len(mask) for mask in used[:3]]}",
            fix="give (n_frames, n_channels) per trial, trials in the same order",
        )
    pairs = [
        (np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(mask, dtype=bool))
        for x, y, mask in zip(predictions, responses, used, strict=True)
    ]
    for number, name in enumerate(("the predictions", "the responses")):
        for pair in pairs:
            require_finite(pair[number][pair[2]], name=name, fix="mask the damaged frames, or repair them")
        _require_moving(np.concatenate([pair[number][pair[2]] for pair in pairs]), name=name)
    return [(np.where(m[:, None], x, 0), np.where(m[:, None], y, 0), m) for x, y, m in pairs]


def _require_moving(values: np.ndarray, *, name: str) -> None:
    if not len(values):
        raise ValueProblem("no frame is usable", got="masks without a True", fix="check the masks")
    still = np.flatnonzero(np.ptp(values, axis=0) == 0)
    if len(still):
        raise ValueProblem(
            f"{name} of a channel are constant, so there is no correlation",
            got=f"channel number {still[0]}",
            fix="leave the channel out; a constant prediction means that the model found nothing",
        )


def _require_repeats(predictions: Sequence[np.ndarray], responses: Sequence[np.ndarray]) -> int:
    shapes = [np.shape(item) for item in responses]
    repeats = {shape[0] for shape in shapes if len(shape) == 3}
    if (
        [shape[1:] for shape in shapes] != [np.shape(item) for item in predictions]
        or len(repeats) != 1
        or min(repeats) < 2
    ):
        raise ShapeMismatch(
            "a share needs a prediction and at least two repeats of every sound, equally many",
            got=f"predictions {[np.shape(item) for item in predictions[:3]]}, responses {shapes[:3]}",
            fix="give (n_frames, n_channels) and (n_repeats, n_frames, n_channels) per sound",
        )
    for one, many in zip(predictions, responses, strict=True):
        require_finite(np.asarray(one), name="the predictions", fix="repair them")
        require_finite(np.asarray(many), name="the responses", fix="repair or leave out the damaged repeat")
    _require_moving(np.concatenate(list(predictions)), name="the predictions")
    return int(repeats.pop())
