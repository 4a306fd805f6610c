"""What is learnt from and what is it judged by? Designs cut and parted, and the same sound never on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import ceil
from typing import Literal

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.core.hashing import array_digest, digest
from brainalign.core.time import Number, exact
from brainalign.core.trajectory import Trajectory

SameSound = Literal["refuse", "allow"]


def content_of(features: Trajectory) -> str:
    """Return the SHA-256 of a trajectory's numbers: one sound through one model has one, whatever it is called.

    Parameters
    ----------
    features
        Dense or sparse. Neither names nor clock count; a sound that was cut elsewhere has another.
    """
    values = features.values
    if isinstance(values, np.ndarray):
        return digest([array_digest(values)])
    return digest([array_digest(part) for part in (values.data, values.indices, values.indptr)])


def require_one_name_per_sound(named: Iterable[tuple[str, Trajectory]], *, same_sound: SameSound) -> None:
    """Refuse a sound under two names: folds are dealt by name, so it would be learnt from and judged by.

    Parameters
    ----------
    named
        Stimulus names and features.
    same_sound
        ``"allow"`` to look away.
    """
    if same_sound == "allow":
        return
    first: dict[str, str] = {}
    for name, features in named:
        known = first.setdefault(content_of(features), name)
        if known != name:
            raise ValueProblem(
                "one sound has two names, and would stand in training and test at once",
                got=f"{known!r} and {name!r} have the same features",
                fix="give both hearings one name, or say same_sound='allow'",
            )


def split(design: Design, *, test: Sequence[str], same_sound: SameSound = "refuse") -> tuple[Design, Design]:
    """Part a design into trials to learn from and trials to judge by, whole stimuli at a time.

    Parameters
    ----------
    design
        One listener's.
    test
        Names of the stimuli (stories, runs) held out; all hearings of a name go together.
    same_sound
        What to do if a sound stands on both sides under two names: refuse, or allow.

    Returns
    -------
    tuple of Design
        Training and test.
    """
    names = {trial.name for trial in design.trials}
    if unknown := sorted(set(test) - names):
        raise UnknownName(
            "there are no such stimuli to hold out", got=", ".join(unknown), fix=f"use {', '.join(sorted(names)[:8])}"
        )
    held, kept = [t for t in design.trials if t.name in test], [t for t in design.trials if t.name not in test]
    if not held or not kept:
        raise ValueProblem(
            "both sides of a split need trials",
            got=f"{len(kept)} to learn from, {len(held)} to judge by",
            fix="hold out some stimuli, and not all of them",
        )
    require_one_name_per_sound(((t.name, t.x) for t in design.trials), same_sound=same_sound)
    return _with(design, kept, "train"), _with(design, held, "test")


def cut(design: Design, *, seconds: Number, gap: Number | None = None) -> Design:
    """Cut long trials into blocks that count as stimuli of their own, with a gap between them.

    For recordings of one or a few long stories. Neighbouring blocks are of one voice and topic, and slow drifts cross
    the gap: scores over blocks say less about other stories than scores over stories do.

    Parameters
    ----------
    design
        One listener's.
    seconds
        Length of a block; what is left over at a trial's end is dropped if it is shorter than half of that.
    gap
        Seconds left out between blocks; the lag window's length by default, so that no lag reaches from one block's
        response into another's sound.

    Returns
    -------
    Design
        Blocks are called ``"name [0]"``, ``"name [1]"``; the same block of a story heard twice has one name.
    """
    window = (design.lags.n - 1) / design.lags.rate
    space = window if gap is None else exact(gap)
    length, left_out = ceil(exact(seconds) * design.lags.rate), ceil(space * design.lags.rate)
    if length < 2 * design.lags.n:
        raise ValueProblem(
            "a block must be longer than two lag windows",
            got=f"{float(exact(seconds)):g} s, lags over {float(window):g} s",
            fix="cut longer blocks",
        )
    blocks = [block for trial in design.trials for block in _blocks(trial, length=length, gap=left_out)]
    if not blocks:
        raise ValueProblem("no trial holds a block", got=f"blocks of {length} frames", fix="cut shorter blocks")
    return _with(design, blocks, "cut", seconds=exact(seconds), gap=space)


def _blocks(trial: Trial, *, length: int, gap: int) -> Iterator[Trial]:
    for number, start in enumerate(range(0, trial.axis.n, length + gap)):
        stop = min(start + length, trial.axis.n)
        if 2 * (stop - start) < length:
            return
        part = slice(start, stop)
        yield Trial(f"{trial.name} [{number}]", trial.x.frames(start, stop), trial.y[part], trial.mask[part])


def _with(design: Design, trials: Sequence[Trial], what: str, **parameters: object) -> Design:
    told = {"trials": [trial.name for trial in trials], **parameters}
    return replace(design, trials=tuple(trials), provenance=design.provenance.then(what, **told))
