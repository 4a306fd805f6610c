"""Where models meet statistics: features mapped to channels, and tested against rotations of the stimulus.

Encoding knows nothing of nulls and statistics know nothing of models; what both need to
know of each other stands here, for the public functions and for the pipeline alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.result import EncodingResult, NullTest
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import LagModel, rotated_listeners
from brainalign.encoding.memory import Compute
from brainalign.encoding.unique import unique_rotated
from brainalign.stats.group import fisher_mean
from brainalign.stats.maxstat import CORRECTION, corrected_p
from brainalign.stats.nulls import circular
from brainalign.stats.nulls.registry import NULLS as SCHEMES
from brainalign.stats.permutation import NullSummary, join, summarise
from brainalign.stats.tail import pooled_p

Report = Callable[[int, int, str], Any]


def group_score(listeners: Sequence[EncodingResult]) -> np.ndarray:
    """Average listeners' held-out r on Fisher's scale, shape ``(n_features, n_channels)``."""
    return fisher_mean([listener.score for listener in listeners])


def draw_shifts(design: Design, *, n_permutations: int, seed: int) -> tuple[np.ndarray, int]:
    """Draw one listener's rotations, none nearer to the truth than the lags and the response's memory.

    Listeners of different ``subject`` get different rotations from one seed. Trials of one
    story are turned alike: what they have in common would else be counted as if it were independent.

    Returns
    -------
    shifts : numpy.ndarray
        Frames, shape ``(1 + n_permutations, n_trials)``; row 0 is the data.
    distance : int
        The smallest shift allowed, in frames.
    """
    draw = circular.draw(design, n_permutations=n_permutations, seed=seed)
    return draw.values, circular.min_shift(design.lags.n, circular.memory_of(design))


def null_summary(
    designs: Sequence[Design],
    shifts: Sequence[np.ndarray],
    *,
    penalties: Sequence[float],
    n_folds: int,
    report: Report | None = None,
    model: LagModel | None = None,
    compute: Compute | None = None,
) -> NullSummary:
    """Score all features under every rotation for every listener, and summarise the group's null.

    Listeners who heard the same trials in the same order share what depends on the stimulus alone.

    Parameters
    ----------
    designs
        One per listener, with the same features and channels.
    shifts
        One array of rotations per listener, from `draw_shifts`.
    penalties, n_folds, model, compute
        As in `feature_maps`.
    report
        Called with features done, features in all and their name.
    """
    require_alike(designs)
    listeners = rotated_listeners(designs, shifts, penalties=penalties, n_folds=n_folds, model=model, compute=compute)
    return summarise(_counted(map(fisher_mean, listeners), designs[0].n_features, report))


def unique_summary(
    designs: Sequence[Design],
    baselines: Sequence[Sequence[Trajectory]],
    shifts: Sequence[np.ndarray],
    *,
    penalties: Sequence[float],
    n_folds: int,
    report: Report | None = None,
    compute: Compute | None = None,
) -> NullSummary:
    """Summarise the group's Freedman-Lane null of what every feature adds to a baseline.

    The statistic is the gain in held-out r, averaged over listeners.

    Parameters
    ----------
    designs
        One per listener, with the same features and channels.
    baselines
        Per listener, one trajectory per trial, on the trial's clock.
    shifts
        One array of rotations per listener, from `draw_shifts`.
    penalties
        Candidates for every feature, and for the baseline.
    n_folds, compute
        As in `feature_maps`.
    report
        Called with features done, features in all and their name.
    """
    require_alike(designs)
    listeners = [
        unique_rotated(
            design, baseline, turns, penalties=penalties, baseline_penalties=penalties, n_folds=n_folds, compute=compute
        )
        for design, baseline, turns in zip(designs, baselines, shifts, strict=True)
    ]
    gains = (np.mean(parts, axis=0) for parts in zip(*listeners, strict=True))
    return summarise(_counted(gains, designs[0].n_features, report))


def require_alike(designs: Sequence[Design]) -> None:
    """Refuse listeners who could not be averaged: none at all, or with other features or channels.

    Parameters
    ----------
    designs
        One per listener.
    """
    if not designs:
        raise ValueProblem("there must be at least one listener", got="none", fix="give one design per listener")
    first = designs[0]
    for design in designs[1:]:
        if (design.features, design.channels) != (first.features, first.channels):
            raise ShapeMismatch(
                "all listeners must have the same features and channels",
                got=f"{design.subject or 'a listener'} differs from {first.subject or 'the first'}",
                fix="interpolate bad channels, do not drop them; give every listener the same features",
            )


def _counted(groups: Iterable[np.ndarray], n: int, report: Report | None) -> Iterator[np.ndarray]:
    for done, group in enumerate(groups, start=1):
        yield group
        if report:
            report(done, n, "features")


def null_test(design: Design, summaries: Iterable[NullSummary], *, n_permutations: int, seed: int) -> NullTest:
    """Correct a null, given in blocks of features, for all features and channels.

    Parameters
    ----------
    design
        Any listener's: it names the features and channels.
    summaries
        From `null_summary`, block after block.
    n_permutations, seed
        What the shifts were drawn with; kept with the result.
    """
    summary = join(summaries)
    maxima = summary.maxima.max(axis=1)
    z = (summary.observed - summary.mean) / np.where(summary.sd > 0, summary.sd, np.inf)
    tail = pooled_p(z, summary.p, summary.tails)
    scheme = SCHEMES["circular-shift"]
    return NullTest(
        observed=summary.observed,
        null_mean=summary.mean,
        null_sd=summary.sd,
        p=summary.p,
        p_corrected=corrected_p(z, maxima),
        maxima=maxima,
        features=design.features,
        channels=design.channels,
        statistic="held-out r, Fisher mean over listeners",
        scheme=scheme.name,
        assumption=scheme.assumption,
        correction=CORRECTION,
        n_permutations=n_permutations,
        seed=seed,
        provenance=design.provenance.then("null_test", n_permutations=n_permutations, seed=seed),
        p_tail=tail.p,
        q=tail.q,
        tail_note=tail.note,
    )
