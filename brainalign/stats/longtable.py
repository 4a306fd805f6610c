"""What does a mixed-model program want? One row per score.

In R, with lme4: ``lmer(fisher_z ~ condition + (1 | subject) + (1 | feature), data)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from brainalign.core.arrays import require_shape
from brainalign.core.errors import ShapeMismatch


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
