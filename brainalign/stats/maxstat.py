"""Which features and channels survive when everything was looked at? The max-statistic.

Because every surrogate applies one rotation to all features and channels alike, the
largest statistic of each surrogate is a sample of what the largest would be were there
no effect anywhere, whatever the dependence between tests.
"""

from __future__ import annotations

import numpy as np

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
