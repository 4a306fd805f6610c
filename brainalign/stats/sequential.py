"""When may one stop drawing surrogates? Once so many have beaten the data that nothing can be found any more."""

from __future__ import annotations

import numpy as np


def sequential_p(group: np.ndarray, *, stop_hopeless: int) -> np.ndarray:
    """Return p-values of a test that stops early (Besag & Clifford 1991).

    With h the exceedances to stop at: h divided by the number of surrogates it took to see
    them, or ``(1 + exceedances) / (1 + B)`` if they were not seen among B. Under no effect
    the chance of a p-value at or below any level is at most that level, as for the full test.

    Parameters
    ----------
    group
        The data's score (row 0) and the surrogates' in the order they were drawn, ``(1 + B, n_channels)``;
        rows after stopping may be NaN, as `brainalign.encoding.massunivariate.rotated_scores` leaves them.
    stop_hopeless
        h, as given to `brainalign.encoding.massunivariate.rotated_scores`.

    Examples
    --------
    >>> sequential_p(np.array([[1.0], [2.0], [0.0], [3.0], [np.nan]]), stop_hopeless=2)
    array([0.66666667])
    """
    reached = np.cumsum(group[1:] >= group[0], axis=0)
    stopped = reached[-1] >= stop_hopeless
    taken = 1 + (reached >= stop_hopeless).argmax(axis=0)
    return np.where(stopped, stop_hopeless / taken, (1 + reached[-1]) / len(group))
