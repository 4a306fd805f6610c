"""Which trials are held out together? Whole stimuli, never samples.

A stimulus heard twice stays in one fold, so that no model is tested on a sound it was
trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainalign.core.errors import ValueProblem


def assign_folds(names: Sequence[str], n_folds: int) -> np.ndarray:
    """Deal stimuli to folds in turn, by their first appearance.

    Parameters
    ----------
    names
        The stimulus of each trial.
    n_folds
        Number of folds; at least 3, so that a penalty can be chosen inside the training trials.

    Returns
    -------
    numpy.ndarray
        Fold of each trial, shape ``(n_trials,)``.

    Examples
    --------
    >>> assign_folds(["a", "b", "c", "a"], 3)
    array([0, 1, 2, 0])
    """
    stimuli = list(dict.fromkeys(names))
    if not 3 <= n_folds <= len(stimuli):
        raise ValueProblem(
            "the number of folds must lie between 3 and the number of stimuli",
            got=f"{n_folds} folds for {len(stimuli)} stimuli",
            fix="choose another n_folds; a single long recording must be cut into trials first",
        )
    fold_of = {name: i % n_folds for i, name in enumerate(stimuli)}
    return np.array([fold_of[name] for name in names])


def by_fold(values: Sequence[np.ndarray] | np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Add a per-trial quantity up within folds.

    >>> by_fold(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 0]))
    array([5., 2.])
    """
    stacked = np.asarray(values)
    return np.array([stacked[folds == k].sum(axis=0) for k in range(int(folds.max()) + 1)])
