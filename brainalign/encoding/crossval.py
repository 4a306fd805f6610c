"""Which penalty would the training trials have chosen? Nested cross-validation, never touching the data.

For K folds there are K training sets without one fold and K(K-1)/2 without two. Training
without folds i and j, and trying j, is part of choosing the penalty for held-out fold i, and
the other way round: so each of the smaller sets serves two outer folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np

from brainalign.encoding.blocks import BlockMoments, Centred
from brainalign.encoding.solve import MERITS, Fit, fit_of


class Path(Protocol):
    """Turns a training set into weights, candidate by candidate."""

    def __call__(self, train: Centred, numbers: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        """Yield the weights of these candidates, or of all."""
        ...


class Problem(Protocol):
    """Anything that can be trained without some folds and tried on them."""

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        ...

    def tries(self, out: tuple[int, ...]) -> Iterator[tuple[Fit, ...]]:
        """Train without these folds; yield, candidate by candidate, the fit on each of them."""
        ...

    def final(self, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Train on all folds with each channel's candidate; return weights and intercept (standardised)."""
        ...


@dataclass(frozen=True, eq=False)
class MomentProblem:
    """Models trained and tried on moments.

    Parameters
    ----------
    moments
        To train on, and to choose by.
    path
        Gives a training set's weights, candidate by candidate.
    held
        To report scores on, if other than ``moments`` (another listener's, with the same folds).
    """

    moments: BlockMoments
    path: Path
    held: BlockMoments | None = None

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return self.moments.n_folds

    def train(self, out: Sequence[int]) -> Centred:
        """Return the moments of all folds but these."""
        return self.moments.total([fold for fold in range(self.n_folds) if fold not in out])

    def tried(self, out: Sequence[int]) -> list[Centred]:
        """Return the moments of each held-out fold; a single one is reported, one of two chooses."""
        source = self.held if self.held is not None and len(out) == 1 else self.moments
        return [source.total([fold]) for fold in out]

    def tries(self, out: tuple[int, ...]) -> Iterator[tuple[Fit, ...]]:
        """Train without these folds; yield, candidate by candidate, the fit on each of them."""
        train, held = self.train(out), self.tried(out)
        for weights in self.path(train):
            yield tuple(fit_of(weights, train, moments) for moments in held)

    def final(self, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Train on all folds with each channel's candidate; return weights and intercept (standardised)."""
        train = self.train(())
        weights = self.chosen(train, choice)
        return weights, train.y_mean - train.x_mean @ weights

    def chosen(self, train: Centred, choice: np.ndarray) -> np.ndarray:
        """Return a training set's weights, each channel's from its own candidate."""
        weights = np.zeros_like(train.sxy)
        used = np.unique(choice).tolist()
        for number, candidate in zip(used, self.path(train, used), strict=True):
            weights[:, choice == number] = candidate[:, choice == number]
        return weights


@dataclass(frozen=True, eq=False)
class PathScores:
    """Scores of every candidate, shapes ``(n_folds, n_candidates, n_channels)``.

    Attributes
    ----------
    inner
        Merit inside each outer fold's training trials, averaged over inner folds.
    outer
        Held-out score of each outer fold, by name of the score.
    """

    inner: np.ndarray
    outer: dict[str, np.ndarray]

    def at(self, choice: np.ndarray, *, score: str = "r") -> np.ndarray:
        """Return the outer scores of the chosen candidates, ``(n_folds, n_channels)``."""
        return np.take_along_axis(self.outer[score], choice[:, None, :], axis=1)[:, 0]


def path_scores(problem: Problem, *, merit: str = "r", nested: bool = True) -> PathScores:
    """Score every candidate in every inner and outer fold.

    Parameters
    ----------
    problem
        What is trained and tried.
    merit
        By which candidates are judged: ``"r"`` or ``"r2"``.
    nested
        Whether inner folds choose; without them candidates are judged by the outer scores, which flatters them.
    """
    tried = [_scores(problem, (fold,), tuple(MERITS))[0] for fold in range(problem.n_folds)]
    outer = {name: np.array([scores[name] for scores in tried]) for name in MERITS}
    if not nested:
        return PathScores(np.broadcast_to(outer[merit].mean(axis=0), outer[merit].shape), outer)
    inner = np.zeros_like(outer[merit])
    for pair in combinations(range(problem.n_folds), 2):
        for fold, scores in zip(pair[::-1], _scores(problem, pair, (merit,)), strict=True):
            inner[fold] += scores[merit] / (problem.n_folds - 1)
    return PathScores(inner, outer)


def _scores(problem: Problem, out: tuple[int, ...], names: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Train without some folds and score every candidate on each of them, ``(n_candidates, n_channels)``."""
    fits = list(zip(*problem.tries(out), strict=True))
    return [{name: np.array([MERITS[name](fit) for fit in fold]) for name in names} for fold in fits]


def choose(merit: np.ndarray, *, per_channel: bool) -> np.ndarray:
    """Return the number of the best candidate, ``(..., n_channels)``, each channel's own or one for all.

    Parameters
    ----------
    merit
        Shape ``(..., n_candidates, n_channels)``.
    per_channel
        Whether channels choose for themselves; else by their mean.
    """
    if per_channel:
        return merit.argmax(axis=-2)
    best = merit.mean(axis=-1).argmax(axis=-1)
    return np.broadcast_to(best[..., None], (*best.shape, merit.shape[-1]))
