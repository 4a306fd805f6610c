"""Which penalty would the training trials have chosen? Nested cross-validation over moments.

For K folds there are K training sets without one fold and K(K-1)/2 without two. Training
without folds i and j, and trying j, is part of choosing the penalty for held-out fold i, and
the other way round: so each of the smaller sets serves two outer folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from brainalign.encoding.blocks import BlockMoments, Centred
from brainalign.encoding.solve import MERITS, fit_of

Path = Callable[[Centred], Iterator[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Views:
    """Where the moments of training and held-out trials come from.

    Attributes
    ----------
    n_folds
        Number of folds.
    train
        Gives the moments of all folds but these.
    inner, outer
        Give the moments of a fold that is held out to choose the penalty, or to report a score.
    """

    n_folds: int
    train: Callable[[Sequence[int]], Centred]
    inner: Callable[[int], Centred]
    outer: Callable[[int], Centred]


def views_of(moments: BlockMoments, *, held: BlockMoments | None = None) -> Views:
    """Train and choose on one set of folds; report scores on the same folds of ``held`` (or of the same data)."""
    outer = moments if held is None else held

    def train(out: Sequence[int]) -> Centred:
        return moments.total([fold for fold in range(moments.n_folds) if fold not in out])

    return Views(moments.n_folds, train, lambda fold: moments.total([fold]), lambda fold: outer.total([fold]))


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


def path_scores(views: Views, path: Path, *, merit: str = "r", nested: bool = True) -> PathScores:
    """Score every candidate in every inner and outer fold.

    Parameters
    ----------
    views
        The moments.
    path
        Gives a training set's weights, candidate by candidate.
    merit
        By which candidates are judged: ``"r"`` or ``"r2"``.
    nested
        Whether inner folds are wanted; without them candidates are judged by the outer scores.
    """
    scores = [_tried(views, path, (fold,), views.outer, tuple(MERITS)) for fold in range(views.n_folds)]
    outer = {name: np.array([found[0][name] for found in scores]) for name in MERITS}
    if not nested:
        inner = np.broadcast_to(outer[merit].mean(axis=0), outer[merit].shape)
        return PathScores(inner, outer)
    inner = np.zeros_like(outer[merit])
    for pair in combinations(range(views.n_folds), 2):
        found = _tried(views, path, pair, views.inner, (merit,))
        for fold, scored in zip(pair[::-1], found, strict=True):
            inner[fold] += scored[merit] / (views.n_folds - 1)
    return PathScores(inner, outer)


def _tried(
    views: Views, path: Path, out: tuple[int, ...], held_out: Callable[[int], Centred], names: tuple[str, ...]
) -> list[dict[str, np.ndarray]]:
    """Train without some folds and score every candidate on each of them, ``(n_candidates, n_channels)``."""
    train, held = views.train(out), [held_out(fold) for fold in out]
    found: list[dict[str, list[np.ndarray]]] = [{name: [] for name in names} for _ in out]
    for weights in path(train):
        for rows, moments in zip(found, held, strict=True):
            fit = fit_of(weights, train, moments)
            for name in names:
                rows[name].append(MERITS[name](fit, moments))
    return [{name: np.array(values) for name, values in rows.items()} for rows in found]


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
