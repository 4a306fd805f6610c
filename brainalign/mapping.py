"""Where models meet statistics: features mapped to channels, and tested against a null that the data can bear.

Encoding knows nothing of nulls and statistics know nothing of models; what both need to
know of each other stands here, for the public functions and for the pipeline alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.result import EncodingResult, NullTest
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.massunivariate import LagModel, rotated_listeners
from brainalign.encoding.memory import Compute
from brainalign.encoding.pairs import paired_listeners
from brainalign.encoding.surrogates import surrogate_listeners
from brainalign.encoding.unique import unique_rotated
from brainalign.stats.group import fisher_mean
from brainalign.stats.maxstat import CORRECTION, corrected_p
from brainalign.stats.nulls.registry import get_family
from brainalign.stats.permutation import NullSummary, join, summarise
from brainalign.stats.support import default_family, support
from brainalign.stats.tail import pooled_p

Report = Callable[[int, int, str], Any]
AUTO = "auto"


def group_score(listeners: Sequence[EncodingResult]) -> np.ndarray:
    """Average listeners' held-out r on Fisher's scale, shape ``(n_features, n_channels)``."""
    return fisher_mean([listener.score for listener in listeners])


@dataclass(frozen=True, eq=False)
class Surrogates:
    """One listener's surrogates, and what is known about how far to trust them.

    Attributes
    ----------
    scheme
        The family, by its key.
    values
        As the family draws them, ``(1 + n_permutations, ...)``; row 0 is the data.
    note
        How they were drawn.
    doubts
        Sentences; empty where the data bear the null well.
    subject
        Whose they are.
    """

    scheme: str
    values: np.ndarray
    note: str
    doubts: tuple[str, ...] = ()
    subject: str = ""


def choose_null(designs: Sequence[Design], *, scheme: str = AUTO) -> tuple[str, str]:
    """Return which null to test a group against, and a sentence that says why.

    Parameters
    ----------
    designs
        One per listener.
    scheme
        ``"auto"``: re-pairing of whole stories where there are at least eight, circular shifts within
        trials otherwise. Or a family's key (`brainalign.stats.nulls.registry`).
    """
    if scheme == AUTO:
        return default_family(designs)
    return get_family(scheme).key, f"{get_family(scheme).name.capitalize()}, as asked for."


def draw_surrogates(design: Design, *, scheme: str, n_permutations: int, seed: int, n_listeners: int = 1) -> Surrogates:
    """Draw one listener's surrogates, if the data bear the null.

    Listeners of different ``subject`` get different ones from one seed. Trials of one story are treated
    alike: what they have in common would else be counted as if it were independent.

    Parameters
    ----------
    design
        One listener's.
    scheme
        A family's key.
    n_permutations, seed
        Surrogates besides the data, and the parent of the listener's generator.
    n_listeners
        How many are tested together; one alone may have all there are, each once.
    """
    family, found = get_family(scheme), support(design, scheme)
    who = f"listener {design.subject}" if design.subject else "this listener"
    if not found.ok:
        instead = (
            f"use the scheme {found.better!r}" if found.better else "record more or longer trials, or high-pass more"
        )
        raise ValueProblem(f"the data of {who} cannot bear {family.name}", got=" ".join(found.reasons), fix=instead)
    draw = family.draw(design, n_permutations=n_permutations, seed=seed, n_listeners=n_listeners)
    return Surrogates(scheme, draw.values, draw.note, found.reasons, design.subject)


def draw_group(designs: Sequence[Design], *, scheme: str, n_permutations: int, seed: int) -> tuple[Surrogates, ...]:
    """Draw every listener's surrogates (see `draw_surrogates`)."""
    return tuple(
        draw_surrogates(item, scheme=scheme, n_permutations=n_permutations, seed=seed, n_listeners=len(designs))
        for item in designs
    )


def null_summary(
    designs: Sequence[Design],
    surrogates: Sequence[Surrogates],
    *,
    penalties: Sequence[float],
    n_folds: int,
    report: Report | None = None,
    model: LagModel | None = None,
    compute: Compute | None = None,
) -> NullSummary:
    """Score all features under every surrogate for every listener, and summarise the group's null.

    Listeners who heard the same trials in the same order share what depends on the stimulus alone.

    Parameters
    ----------
    designs
        One per listener, with the same features and channels.
    surrogates
        One per listener, of the same null, from `draw_surrogates`.
    penalties, n_folds, model, compute
        As in `feature_maps`.
    report
        Called with features done, features in all and their name.
    """
    require_alike(designs)
    family, values = get_family(_one_null(surrogates)), [item.values for item in surrogates]
    if family.responses is not None:
        made = [family.responses(design, item) for design, item in zip(designs, values, strict=True)]
        listeners = surrogate_listeners(
            designs, made, n=len(values[0]), penalties=penalties, n_folds=n_folds, model=model, compute=compute
        )
    else:
        score = paired_listeners if family.kind == "pairings" else rotated_listeners
        listeners = score(designs, values, penalties=penalties, n_folds=n_folds, model=model, compute=compute)
    return summarise(_counted(map(fisher_mean, listeners), designs[0].n_features, report))


def _one_null(surrogates: Sequence[Surrogates]) -> str:
    kinds = {(item.scheme, len(item.values)) for item in surrogates}
    if len(kinds) != 1:
        raise ShapeMismatch(
            "all listeners must have equally many surrogates of one null", got=sorted(kinds), fix="draw them together"
        )
    return kinds.pop()[0]


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
        One array of rotations per listener, from the null ``"freedman-lane"``.
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


def null_test(
    design: Design,
    summaries: Iterable[NullSummary],
    *,
    surrogates: Sequence[Surrogates],
    seed: int,
    reason: str = "",
) -> NullTest:
    """Correct a null, given in blocks of features, for all features and channels.

    Parameters
    ----------
    design
        Any listener's: it names the features and channels.
    summaries
        From `null_summary`, block after block.
    surrogates
        One per listener: what the null was made with.
    seed
        What they were drawn with; kept with the result.
    reason
        Why this null, from `choose_null`.
    """
    summary, family = join(summaries), get_family(_one_null(surrogates))
    n_permutations = len(surrogates[0].values) - 1
    maxima = summary.maxima.max(axis=1)
    z = (summary.observed - summary.mean) / np.where(summary.sd > 0, summary.sd, np.inf)
    tail = pooled_p(z, summary.p, summary.tails)
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
        scheme=family.name,
        assumption=family.assumption,
        correction=CORRECTION,
        n_permutations=n_permutations,
        seed=seed,
        provenance=design.provenance.then("null_test", scheme=family.key, n_permutations=n_permutations, seed=seed),
        p_tail=tail.p,
        q=tail.q,
        tail_note=tail.note,
        notes=tuple(_told(surrogates, reason)),
    )


def _told(surrogates: Sequence[Surrogates], reason: str) -> Iterator[str]:
    """Yield what a reader should know of the null: why this one, how it was drawn, and for whom it is doubtful."""
    if reason:
        yield reason
    note, alike = surrogates[0].note, len({item.note for item in surrogates}) == 1
    yield f"{note[:1].upper()}{note[1:]}{'' if alike else ' (first listener; the others likewise)'}."
    doubted = [item for item in surrogates if item.doubts]
    if doubted:
        who = ", ".join(item.subject or "the listener" for item in doubted)
        yield f"Doubtful for {len(doubted)} of {len(surrogates)} listeners ({who}): {' '.join(doubted[0].doubts)}"
