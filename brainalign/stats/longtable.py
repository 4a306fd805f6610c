"""What does a mixed-model program want? One row per score; and the smallest such model, solved here.

In R, with lme4: ``lmer(fisher_z ~ condition + (1 | subject) + (1 | feature), data)``. The model
with an intercept alone, ``lmer(r ~ 1 + (1 | subject), data)``, needs no program where every
listener has equally many scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from brainalign.core.arrays import require_finite, require_shape
from brainalign.core.errors import ShapeMismatch

LEVEL = 0.95


def long_table(
    scores: np.ndarray,
    *,
    subjects: Sequence[str],
    features: Sequence[str],
    channels: Sequence[str],
    covariates: Mapping[str, Sequence[object]] | None = None,
) -> dict[str, np.ndarray]:
    """Return scores as columns of equal length, for ``pandas.DataFrame`` or a CSV file.

    Parameters
    ----------
    scores
        Held-out r, ``(n_subjects, n_features, n_channels)``.
    subjects, features, channels
        Names along its axes.
    covariates
        More columns: a value per subject, or per feature (whichever length fits; where both
        do, give ``(n_subjects, n_features)``).

    Returns
    -------
    dict
        Columns ``subject``, ``feature``, ``channel``, ``r``, ``fisher_z`` and the covariates.
    """
    scores = np.asarray(scores, dtype=float)
    shape = (len(subjects), len(features), len(channels))
    require_shape(scores.shape, shape, name="scores", axes="subjects, features, channels")
    columns: dict[str, np.ndarray] = {
        "subject": _spread(np.array(list(subjects))[:, None, None], shape),
        "feature": _spread(np.array(list(features))[None, :, None], shape),
        "channel": _spread(np.array(list(channels))[None, None, :], shape),
        "r": scores.ravel(),
        "fisher_z": np.arctanh(np.clip(scores, -0.999999, 0.999999)).ravel(),
    }
    for name, values in (covariates or {}).items():
        columns[name] = _spread(_placed(name, np.asarray(values), shape), shape)
    return columns


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """How scores vary between listeners and within them, per test.

    Attributes
    ----------
    mean
        Fixed effect: the population's mean, in the shape of one fold of one listener.
    se
        Its standard error.
    low, high
        Its 95 % interval, Student's with ``n_subjects - 1`` degrees of freedom.
    between
        Variance of listeners' true means.
    within
        Variance of a listener's folds around them.
    icc
        ``between / (between + within)``: how alike the folds of one listener are; 0 where nothing varies.
    n_subjects, n_folds
        Sizes.
    """

    mean: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    between: np.ndarray
    within: np.ndarray
    icc: np.ndarray
    n_subjects: int
    n_folds: int


def random_effects_summary(scores: np.ndarray) -> RandomEffects:
    """Split the variance of scores by restricted maximum likelihood, ``score_ij = mean + u_i + e_ij``.

    With S listeners of K folds each and mean squares between listeners MSB and within MSW,
    the restricted likelihood is largest at

        between = (MSB - MSW) / K,   within = MSW,   se^2 = MSB / (S K)          where MSB >= MSW
        between = 0,   within = all squares / (S K - 1),   se^2 = within / (S K)   elsewhere

    Folds share training data and so are not quite independent: ``within`` is too small by
    what they share, and ``between`` too large by the same. The mean and, where MSB >= MSW, its
    error and interval do not depend on it.

    Parameters
    ----------
    scores
        Held-out r or its Fisher z, ``(n_subjects, n_folds, ...)``.

    Examples
    --------
    >>> found = random_effects_summary(np.array([[0.1, 0.2], [0.3, 0.4], [0.2, 0.3]]))
    >>> float(found.mean.round(3)), float(found.between.round(4)), float(found.within.round(4))
    (0.25, 0.0075, 0.005)
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim < 2 or min(scores.shape[:2]) < 2:
        raise ShapeMismatch(
            "variances between and within listeners need two listeners and two folds",
            got=scores.shape,
            fix="give (n_subjects, n_folds, ...)",
        )
    require_finite(
        scores, name="the scores", fix="give every listener equally many folds; a mixed-model program does not need it"
    )
    n, k = scores.shape[:2]
    each = scores.mean(axis=1)
    mean = each.mean(axis=0)
    inside = np.square(scores - each[:, None]).sum(axis=(0, 1))
    outside = k * np.square(each - mean).sum(axis=0)
    msb, msw = outside / (n - 1), inside / (n * (k - 1))
    apart = msb >= msw
    within = np.where(apart, msw, (inside + outside) / (n * k - 1))
    between = np.where(apart, (msb - msw) / k, 0.0)
    se = np.sqrt(np.where(apart, msb, within) / (n * k))
    total = between + within
    icc = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    reach = stats.t.ppf((1 + LEVEL) / 2, n - 1) * se
    return RandomEffects(mean, se, mean - reach, mean + reach, between, within, icc, n_subjects=n, n_folds=k)


def _placed(name: str, values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    n_subjects, n_features, _ = shape
    if values.shape == (n_subjects, n_features):
        return values[:, :, None]
    if values.ndim == 1 and n_subjects != n_features and len(values) in (n_subjects, n_features):
        return values[:, None, None] if len(values) == n_subjects else values[None, :, None]
    raise ShapeMismatch(
        f"the covariate {name!r} fits neither subjects nor features",
        got=values.shape,
        fix=f"give {n_subjects} values, {n_features} values, or an array of {(n_subjects, n_features)}",
    )


def _spread(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(values, shape).ravel()
