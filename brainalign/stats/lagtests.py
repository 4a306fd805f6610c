"""Is a response function consistent across listeners at lags chosen elsewhere? Two one-sided t-tests per feature.

The test of AudioSAE (section 4.8): on development data, the lags of a response function's
trough and peak; on test data, whether the listeners' weights there are below and above
zero; Holm's correction over all features and both directions.

What it asks is whether listeners agree. It takes their weights for independent draws from a
normal law around the feature's true response, and knows nothing of the stimulus: with one
stimulus for all, a feature that resembles another one, to which the brain does respond, passes
as well, and so does a slow feature by a chance likeness to slow responses that listeners share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.stats.multiple import holm

LagsFrom = Literal["group", "subject"]
Family = Literal["all tests", "each direction"]
Side = Literal["below", "above"]
DIRECTIONS: tuple[Side, Side] = ("below", "above")
LAGS_FROM = ("group", "subject")
FAMILIES = ("all tests", "each direction")


@dataclass(frozen=True, eq=False)
class LagTests:
    """Two tests per feature: below zero at the trough's lag, above zero at the peak's.

    Attributes
    ----------
    lags
        Numbers of the lags tested, shape ``(n_features, 2, n_subjects)``: trough, peak. Alike for all
        subjects where they were chosen on the group.
    mean
        Mean weight there on the test data, shape ``(n_features, 2)``.
    t, p, p_adjusted
        Statistic, one-sided p-value and p-value adjusted by Holm's procedure, same shape.
    dof
        Degrees of freedom of each test.
    """

    lags: np.ndarray
    mean: np.ndarray
    t: np.ndarray
    p: np.ndarray
    p_adjusted: np.ndarray
    dof: int


def lag_tests(
    development: np.ndarray, test: np.ndarray, *, lags_from: LagsFrom = "group", family: Family = "all tests"
) -> LagTests:
    """Choose lags on development data and test the weights there on test data.

    Parameters
    ----------
    development
        Response functions on development data, shape ``(n_features, n_lags, n_subjects)``.
    test
        The same on test data, ``(n_features, n_lags, n_subjects, n_parts)``: every subject and
        part is an observation.
    lags_from
        Whose development data choose a feature's lags: the mean over subjects (``"group"``), or
        each subject's own.
    family
        What Holm's procedure corrects for: ``"all tests"`` (two per feature), or each direction by itself.

    Returns
    -------
    LagTests
        A feature whose weights do not vary (silent in the test data) has t = 0 and p = 1.
    """
    _check(development, test, lags_from=lags_from, family=family)
    lags = extreme_lags(development, lags_from=lags_from)
    # (n_features, 2, n_subjects) picks of (n_features, n_lags, n_subjects, n_parts)
    values = np.take_along_axis(test, lags[..., None], axis=1)
    values = values.reshape(*values.shape[:2], -1)
    tests = [one_sided(values[:, i], side=side) for i, side in enumerate(DIRECTIONS)]
    t, p = (np.stack([pair[i] for pair in tests], axis=1) for i in (0, 1))
    columns = [holm(p[:, i]) for i in (0, 1)]
    adjusted = holm(p) if family == "all tests" else np.stack(columns, axis=1)
    return LagTests(lags, values.mean(axis=2), t, p, adjusted, values.shape[2] - 1)


def extreme_lags(trf: np.ndarray, *, lags_from: LagsFrom = "group") -> np.ndarray:
    """Return the lag numbers of response functions' troughs and peaks, shape ``(n_features, 2, n_subjects)``.

    Parameters
    ----------
    trf
        Shape ``(n_features, n_lags, n_subjects)``.
    lags_from
        As in `lag_tests`.

    Examples
    --------
    >>> extreme_lags(np.array([[[0.0], [-1.0], [2.0]]])).tolist()
    [[[1], [2]]]
    """
    seen = np.broadcast_to(trf.mean(axis=2, keepdims=True), trf.shape) if lags_from == "group" else trf
    return np.stack([seen.argmin(axis=1), seen.argmax(axis=1)], axis=1)


def one_sided(values: np.ndarray, *, side: Side) -> tuple[np.ndarray, np.ndarray]:
    """Return Student's t and its one-sided p-value against a mean of zero.

    ``t = mean / (sd / sqrt(n))`` with n - 1 degrees of freedom. Where values do not vary: t = 0, p = 1.

    Parameters
    ----------
    values
        Observations along the last axis, at least two.
    side
        The alternative: a mean ``"below"`` or ``"above"`` zero.
    """
    n = values.shape[-1]
    if n < 2:
        raise ValueProblem("a t-test needs at least two observations", got=n, fix="give more listeners")
    spread = values.std(axis=-1, ddof=1)
    t = np.divide(values.mean(axis=-1) * np.sqrt(n), spread, out=np.zeros(values.shape[:-1]), where=spread > 0)
    signed = t if side == "above" else -t
    return t, np.where(spread > 0, stats.t.sf(signed, n - 1), 1.0)


def _check(development: np.ndarray, test: np.ndarray, *, lags_from: str, family: str) -> None:
    if lags_from not in LAGS_FROM:
        raise unknown_name(lags_from, among=LAGS_FROM, kind="source of lags")
    if family not in FAMILIES:
        raise unknown_name(family, among=FAMILIES, kind="family of tests")
    if development.ndim != 3 or test.ndim != 4 or test.shape[:3] != development.shape:
        raise ShapeMismatch(
            "development and test must be features, lags, subjects (and parts of the test data)",
            got=f"{development.shape} and {test.shape}",
            fix="fit both with one lag window, for the same features and subjects",
        )
