"""How many of so many small p-values can be believed? Adjusted p-values for a whole family of tests.

Reject where the adjusted p-value is at or below the level. What is controlled, and what that
takes for granted, stands with each method in `CORRECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brainalign.core.errors import ValueProblem, unknown_name


@dataclass(frozen=True)
class Correction:
    """A way to adjust p-values.

    Attributes
    ----------
    adjust
        From p-values to adjusted ones, in the same shape.
    controls
        What stays at or below the level, and when; one sentence for reports.
    """

    adjust: Callable[[np.ndarray], np.ndarray]
    controls: str


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's step-down adjusted p-values (Holm 1979).

    ``adjusted_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))`` for sorted p-values.

    Parameters
    ----------
    p
        Any shape; all of it is one family.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order, ordered = _sorted(p)
    steps = np.arange(len(ordered), 0, -1) * ordered
    return _back(np.minimum(np.maximum.accumulate(steps), 1), order, p)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Return Benjamini and Hochberg's adjusted p-values, also known as q (Benjamini & Hochberg 1995).

    ``adjusted_(i) = min_{j >= i} min(1, m p_(j) / j)`` for sorted p-values.

    Parameters
    ----------
    p
        Any shape; all of it is one family.

    Examples
    --------
    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.04, 0.04])
    """
    return _step_up(p, factor=1.0)


def benjamini_yekutieli(p: np.ndarray) -> np.ndarray:
    """Return Benjamini and Yekutieli's adjusted p-values (2001): those of `benjamini_hochberg` times ``sum 1 / i``.

    Parameters
    ----------
    p
        Any shape; all of it is one family.

    Examples
    --------
    >>> benjamini_yekutieli(np.array([0.01, 0.04, 0.03])).round(4)
    array([0.055 , 0.0733, 0.0733])
    """
    return _step_up(p, factor=float(np.sum(1 / np.arange(1, np.size(p) + 1))))


CORRECTIONS = {
    "holm": Correction(
        holm, "Holm: the chance of any false discovery stays at or below the level, however the tests depend."
    ),
    "benjamini-hochberg": Correction(
        benjamini_hochberg,
        "Benjamini-Hochberg: the expected share of false discoveries among all stays at or below the level, if tests "
        "are independent or positively dependent.",
    ),
    "benjamini-yekutieli": Correction(
        benjamini_yekutieli,
        "Benjamini-Yekutieli: the expected share of false discoveries among all stays at or below the level, however "
        "the tests depend.",
    ),
}


def adjusted(p: np.ndarray, *, method: str) -> np.ndarray:
    """Return p-values adjusted by one of `CORRECTIONS`.

    Parameters
    ----------
    p
        Any shape.
    method
        Its name.
    """
    if method not in CORRECTIONS:
        raise unknown_name(method, among=CORRECTIONS, kind="correction")
    return CORRECTIONS[method].adjust(p)


def _step_up(p: np.ndarray, *, factor: float) -> np.ndarray:
    order, ordered = _sorted(p)
    m = len(ordered)
    steps = factor * m * ordered / np.arange(1, m + 1)
    return _back(np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1), order, p)


def _sorted(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = np.asarray(p, dtype=float).ravel()
    if not np.all((flat >= 0) & (flat <= 1)):
        wrong = flat[~((flat >= 0) & (flat <= 1))]
        raise ValueProblem(
            "p-values must lie between 0 and 1",
            got=f"{wrong[0]}, and {len(wrong) - 1} more like it",
            fix="leave out what was not tested, and correct the rest",
        )
    order = np.argsort(flat, kind="stable")
    return order, flat[order]


def _back(values: np.ndarray, order: np.ndarray, p: np.ndarray) -> np.ndarray:
    out = np.empty(len(values))
    out[order] = values
    return out.reshape(np.shape(p))
