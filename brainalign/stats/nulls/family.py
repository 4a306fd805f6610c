"""What is a null? A way to make surrogates, the sentence that it rests on, and whether the data bear it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from brainalign.core.design import Design

Kind = Literal["rotations", "pairings", "responses", "signs"]
Level = Literal["good", "doubtful", "refused"]
Responses = Callable[[int], list[np.ndarray]]


@dataclass(frozen=True)
class Scheme:
    """A null by its name and by what it takes for granted.

    Attributes
    ----------
    key
        How a configuration asks for it.
    name
        How a report calls it.
    assumption
        What must hold, in one sentence that reports repeat.
    kind
        What a surrogate is: shifts of stimuli, pairings of stories, new responses, or signs of listeners' scores.
    """

    key: str
    name: str
    assumption: str
    kind: Kind


@dataclass(frozen=True, eq=False)
class Draw:
    """Surrogates that were drawn.

    Attributes
    ----------
    values
        One row per member of the group, ``(1 + n_surrogates, ...)``; row 0 is the data. Rotations:
        frames per trial. Pairings: the trial whose response stands beside each stimulus. Responses:
        what `Family.responses` makes them from (seeds, or orders of blocks).
    exact
        Whether these are all surrogates there are, each as often as every other: p-values are
        then exact, and more permutations would change nothing.
    note
        What a reader should know of this draw: distances, losses, seams.
    """

    values: np.ndarray
    exact: bool
    note: str

    @property
    def n_permutations(self) -> int:
        """Number of surrogates besides the data."""
        return len(self.values) - 1


@dataclass(frozen=True)
class Support:
    """Whether data bear a null, before it is believed.

    Attributes
    ----------
    ok
        Whether it may be used at all.
    level
        ``"good"``: false positives at about the nominal rate. ``"doubtful"``: more of them, or
        hardly any power. ``"refused"``: no honest test.
    reasons
        Sentences; empty for good support.
    better
        The key of a null that would do, or "".
    """

    ok: bool
    level: Level
    reasons: tuple[str, ...] = ()
    better: str = ""

    @classmethod
    def from_findings(cls, *, refused: list[str], doubtful: list[str], better: str = "") -> Support:
        """Judge by the worst that was found."""
        level: Level = "refused" if refused else "doubtful" if doubtful else "good"
        return cls(not refused, level, (*refused, *doubtful), "" if level == "good" else better)


class Drawing(Protocol):
    """Draws one listener's surrogates; listeners of different ``subject`` get different ones from one seed."""

    def __call__(self, design: Design, *, n_permutations: int, seed: int, n_listeners: int = 1) -> Draw:
        """Draw.

        Parameters
        ----------
        design
            One listener's.
        n_permutations
            Surrogates besides the data.
        seed
            Parent of the listener's own generator.
        n_listeners
            How many are tested together. Only one alone can be enumerated exactly.
        """


@dataclass(frozen=True)
class Family(Scheme):
    """A null whose surrogates are made of one listener's design.

    Attributes
    ----------
    draw
        Draws surrogates.
    support
        Looks at a design before the null is believed.
    responses
        For families that make new responses: from a design and a draw's values, a function of the
        surrogate's number that returns its responses, ``(n_frames, n_channels)`` per trial. None for others.
    """

    draw: Drawing
    support: Callable[[Design], Support]
    responses: Callable[[Design, np.ndarray], Responses] | None = None


def stories(design: Design) -> dict[str, list[int]]:
    """Return the trials of each stimulus, in the order of first appearance.

    A story heard twice evokes the same twice. Surrogates that parted the two would vary less
    than the data, and find effects too often; so every family treats a story's trials alike.

    Parameters
    ----------
    design
        One listener's.
    """
    members: dict[str, list[int]] = {}
    for k, trial in enumerate(design.trials):
        members.setdefault(trial.name, []).append(k)
    return members


def shortest_of(design: Design) -> list[int]:
    """Return the frames of each story's shortest trial.

    Parameters
    ----------
    design
        One listener's.
    """
    return [min(design.trials[k].axis.n for k in members) for members in stories(design).values()]


def to_trials(design: Design, per_story: np.ndarray) -> np.ndarray:
    """Repeat a number per story, in the last axis, for each of the story's trials.

    Parameters
    ----------
    design
        One listener's.
    per_story
        Shape ``(..., n_stories)``.
    """
    number = {name: i for i, name in enumerate(stories(design))}
    return per_story[..., [number[trial.name] for trial in design.trials]]


def responses_at_rest(design: Design) -> list[np.ndarray]:
    """Return each trial's response less its channel's mean over usable frames, 0 at unusable frames.

    Parameters
    ----------
    design
        Of one listener.

    Returns
    -------
    list of numpy.ndarray
        ``(n_frames, n_channels)`` per trial, in the response's unit and precision (at least single).
    """
    usable = sum(int(np.count_nonzero(trial.mask)) for trial in design.trials)
    mean = sum(np.asarray(t.y, dtype=np.float64)[t.mask].sum(axis=0) for t in design.trials) / usable
    return [
        np.where(t.mask[:, None], t.y - mean, 0.0).astype(np.result_type(t.y.dtype, np.float32)) for t in design.trials
    ]
