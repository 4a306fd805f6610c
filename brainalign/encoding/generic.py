"""Would a model of other listeners' brains predict this one's? Leave one listener out.

A listener's model is trained on the sum of all others' moments (summed anew for each, nothing is
subtracted) and tried on the listener's own. With `new_story`, stories are held out for everybody at
once, so that both listener and story are new; without, the others may have heard the very story that
is predicted, and what is asked is whether listeners agree on it.

Penalties are chosen among the other listeners' training trials alone. A listener's noise is new to the
model, so without a shared response the expectation of r is 0. But the scores of a group depend on each
other, since everybody is in the others' models: `flipped_listeners` is what a group test needs
(`brainalign.generalise`), a t-test over these scores rejects twice too often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.blocks import BlockMoments, fold_moments
from brainalign.encoding.crossval import MomentProblem, Path, path_scores
from brainalign.encoding.direction import require_listeners, shared_folds
from brainalign.encoding.multivariate import NUMERICS, Numerics, ridge_path
from brainalign.encoding.penalty import PENALTIES, Regulariser, as_regulariser, check_penalties
from brainalign.encoding.solve import correlation, fit_of

_BLOCK_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class Generic:
    """How models of the other listeners do on each listener.

    Attributes
    ----------
    scores
        r of each left-out listener in each fold, ``(n_listeners, n_folds, n_channels)``, or
        ``(n_listeners, n_folds, n_features, n_channels)`` where features were alone.
    alpha
        Penalty chosen among the others, same shape.
    subjects, features, channels
        Names.
    new_story
        Whether the stories were new, too.
    """

    scores: np.ndarray
    alpha: np.ndarray
    subjects: tuple[str, ...]
    features: tuple[str, ...]
    channels: tuple[str, ...]
    new_story: bool

    @property
    def score(self) -> np.ndarray:
        """R averaged over folds, ``(n_listeners, ..., n_channels)``."""
        return self.scores.mean(axis=1)


def leave_one_listener_out(
    designs: Sequence[Design],
    *,
    new_story: bool = True,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    per_channel: bool = True,
    regulariser: str | Regulariser = "ridge",
    numerics: Numerics = NUMERICS,
) -> Generic:
    """Predict each listener by the joint model of all others.

    Parameters
    ----------
    designs
        One per listener, at least two, with the same features, channels and lags.
    new_story
        Whether the others' responses to the stories of a fold are left out of its training, too.
    penalties, per_channel, regulariser, numerics
        As in `fit_encoding`.
    n_folds
        Folds over stimuli, the same for all listeners. Without `new_story` they part the scores only, and the
        trials by which the penalty is chosen.
    """
    grid, moments = check_penalties(penalties), _moments(designs, n_folds, numerics)
    path = _path(designs[0], grid, regulariser, numerics)
    scores, alpha = _tried(moments, path, grid, new_story=new_story, together=1 if per_channel else None)
    first = designs[0]
    return Generic(scores, alpha, tuple(d.subject for d in designs), first.features, first.channels, new_story)


def flipped_listeners(
    designs: Sequence[Design],
    signs: np.ndarray,
    *,
    new_story: bool = True,
    penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    per_channel: bool = True,
    regulariser: str | Regulariser = "ridge",
    numerics: Numerics = NUMERICS,
) -> Iterator[np.ndarray]:
    """Yield the scores with listeners' responses flipped, ``(n, n_listeners, n_channels)``, in portions of patterns.

    A flipped listener is a further channel: Gram matrices and their solutions serve all patterns of a portion.

    Parameters
    ----------
    designs, new_story, penalties, n_folds, per_channel, regulariser, numerics
        As in `leave_one_listener_out`; penalties are chosen anew under every pattern.
    signs
        ``(n_patterns, n_listeners)``, 1 or -1; a row of ones is the data.
    """
    require_signs(signs, designs)
    grid, moments = check_penalties(penalties), _moments(designs, n_folds, numerics)
    path = _path(designs[0], grid, regulariser, numerics)
    n_channels, step = len(designs[0].channels), max(1, _BLOCK_BYTES // (8 * sum(m.sxy.size for m in moments)))
    for part in (signs[start : start + step] for start in range(0, len(signs), step)):
        flipped = [_flipped(m, own) for m, own in zip(moments, part.T, strict=True)]
        together = 1 if per_channel else n_channels
        scores, _ = _tried(flipped, path, grid, new_story=new_story, together=together)
        yield np.swapaxes(scores.mean(axis=1).reshape(len(designs), len(part), n_channels), 0, 1)


def require_signs(signs: np.ndarray, designs: Sequence[Design]) -> None:
    """Refuse patterns that are not one sign per listener."""
    if np.ndim(signs) != 2 or np.shape(signs)[1] != len(designs) or not np.isin(signs, (-1, 1)).all():
        raise ShapeMismatch(
            "patterns are one sign per listener, 1 or -1", got=np.shape(signs), fix=f"(n_patterns, {len(designs)})"
        )


def _flipped(moments: BlockMoments, signs: np.ndarray) -> BlockMoments:
    """Return moments with a copy of all channels for every sign."""
    n, each = len(signs), np.repeat(signs.astype(float), len(moments.scale))
    return replace(
        moments,
        sy=np.tile(moments.sy, n) * each,
        sxy=np.tile(moments.sxy, n) * each,
        syy=np.tile(moments.syy, n),
        mean=np.tile(moments.mean, n),
        scale=np.tile(moments.scale, n),
    )


def _path(design: Design, grid: np.ndarray, regulariser: str | Regulariser, numerics: Numerics) -> Path:
    rule = as_regulariser(regulariser)
    if rule.convention == "mne":
        raise ValueProblem("group models are not fitted in MNE's convention", got=rule, fix="use 'relative'")
    return ridge_path(design, grid, regulariser=rule, solver=numerics.solver)


def _moments(designs: Sequence[Design], n_folds: int, numerics: Numerics) -> list[BlockMoments]:
    pairs = listeners_folds(designs, n_folds)
    return [fold_moments(design, folds, edges=numerics.edges, dtype=numerics.dtype) for design, folds in pairs]


def _tried(
    moments: Sequence[BlockMoments], path: Path, grid: np.ndarray, *, new_story: bool, together: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and penalties, ``(n_listeners, n_folds, n_channels)``; ``together`` channels share a penalty."""
    found = []
    for number, own in enumerate(moments):
        others = reduce(add, [other for i, other in enumerate(moments) if i != number])
        problem = MomentProblem(others, path, held=own)
        if new_story:
            tried = path_scores(problem)
            choice = _choose(tried.inner, together)
            found.append((tried.at(choice), grid[choice]))
        else:
            found.append(_old_stories(problem, own, grid, together=together))
    scores, alpha = (np.array(part) for part in zip(*found, strict=True))
    return scores, alpha


def _choose(merit: np.ndarray, together: int | None) -> np.ndarray:
    """Return the number of the best candidate of each run of channels, by their mean (None: of all)."""
    width = merit.shape[-1] if together is None else together
    best = merit.reshape(*merit.shape[:-1], -1, width).mean(axis=-1).argmax(axis=-2)
    return np.repeat(best, width, axis=-1)


def _old_stories(
    problem: MomentProblem, own: BlockMoments, grid: np.ndarray, *, together: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Train on all of the others' trials, with the penalty that predicts the others' held-out stories best."""
    among = path_scores(replace(problem, held=None), nested=False)
    choice = _choose(among.outer["r"].mean(axis=0), together)
    train = problem.train(())
    weights = problem.chosen(train, choice)
    scores = [correlation(fit_of(weights, train, own.total([fold]))) for fold in range(own.n_folds)]
    return np.array(scores), np.repeat(grid[choice][None], own.n_folds, axis=0)


def listeners_folds(designs: Sequence[Design], n_folds: int) -> list[tuple[Design, np.ndarray]]:
    """Return each listener with the folds that all share; refuse a listener on their own."""
    require_listeners(designs)
    if len(designs) < 2:
        raise ValueProblem("a generic model needs other listeners", got="one listener", fix="give more designs")
    return shared_folds(designs, n_folds)
