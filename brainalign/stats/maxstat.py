"""Which features and channels survive when everything was looked at? The max-statistic.

Because every surrogate applies one rotation to all features and channels alike, the
largest statistic of each surrogate is a sample of what the largest would be were there
no effect anywhere, whatever the dependence between tests.
"""

from __future__ import annotations

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch

CORRECTION = "max-statistic over features and channels (family-wise error)"


def corrected_p(statistic: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    """Return p-values corrected for the whole family.

    Parameters
    ----------
    statistic
        Studentised statistics of the data, any shape.
    maxima
        Largest studentised statistic of each member of the group, the data's own first,
        shape ``(1 + n_permutations,)``.

    Returns
    -------
    numpy.ndarray
        ``#{members >= statistic} / (1 + n_permutations)``, the data's own maximum counted
        always, in the shape of ``statistic``.

    Examples
    --------
    >>> corrected_p(np.array([5.0, 1.5]), np.array([5.0, 1.0, 2.0, 1.2]))
    array([0.25, 0.5 ])
    """
    surrogates = np.sort(maxima[1:])
    above = len(surrogates) - np.searchsorted(surrogates, statistic, side="left")
    return (1 + above) / (1 + len(surrogates))


def step_down_p(group: np.ndarray) -> np.ndarray:
    """Return step-down p-values (Westfall & Young 1993), never larger than `corrected_p`'s and as safe.

    With tests in order of their statistic, z_(1) >= z_(2) >= ...,

        p_(i) = (1 + #{surrogates b: max_{j >= i} z_b(j) >= z_(i)}) / (1 + B),   then made monotone,

    so that a test competes only with those that are not more extreme: what is already
    believed no longer sets the bar. Controls the chance of any false discovery if the
    surrogates of the tests without effect are distributed as without any effect anywhere
    (subset pivotality), as they are when all share each surrogate.

    Parameters
    ----------
    group
        Studentised statistics, the data in row 0, ``(1 + n_permutations, n_tests)``. Given a
        `brainalign.stats.permutation.NullSummary`'s ``maxima``, the tests are features, and "an effect on some
        channel" is what is found. That says nothing of single channels: a feature that is believed leaves
        the race with its empty channels, so pairs need `corrected_p`, or a group with all of them.

    Notes
    -----
    One pass from the smallest statistic upward keeps the largest of each surrogate so far: 1,000
    permutations of 6,144 features take 0.1 s and, beside the group, memory for one column.

    Examples
    --------
    >>> step_down_p(np.array([[5.0, 1.5], [1.0, 0.5], [4.0, 1.0], [1.2, 0.1]]))
    array([0.25, 0.25])
    """
    group = np.asarray(group)
    if group.ndim != 2 or len(group) < 2:
        raise ShapeMismatch(
            "a group is the data and its surrogates, by tests",
            got=group.shape,
            fix="give (1 + n_permutations, n_tests)",
        )
    require_finite(group, name="the group", fix="leave out tests without a score; max-statistics need every surrogate")
    order = np.argsort(-group[0], kind="stable")
    reached = np.zeros(len(order), dtype=np.int64)
    rivals = np.full(len(group) - 1, -np.inf)
    for place in range(len(order) - 1, -1, -1):
        test = order[place]
        np.maximum(rivals, group[1:, test], out=rivals)
        reached[place] = np.count_nonzero(rivals >= group[0, test])
    p = np.empty(len(order))
    p[order] = np.maximum.accumulate((1 + reached) / len(group))
    return p
