"""Do listeners share a response? A group test of scores that every listener helped to make.

Predict each listener by a model of all the others, and the scores are not independent: what i's noise
has in common with j's by chance raises both i's score and j's. Were there no shared response, the
mean of n scores would spread sqrt(2) times as far as their scatter says, and a t-test or a flip of
the *scores'* signs calls 9 to 14 % of such groups significant at 5 % (`tests/calibration/test_generic.py`).

So flip the listeners, not their scores: a listener's responses are as likely as their negatives if
they have nothing in common with the others', and everything is trained and predicted anew. Since all
responses flipped predict each other as before, one listener's sign stays, and there are 2^(n - 1) patterns.
"""

from __future__ import annotations

import numpy as np

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.seeds import generator
from brainalign.stats.maxstat import corrected_p
from brainalign.stats.signflip import SignFlipTest, sign_flips

ASSUMPTION = (
    "Were no response shared, a listener's response would be distributed as its negative, independently of other "
    "listeners'; responses are flipped per listener, and all models trained and tried anew."
)


def flip_patterns(n_listeners: int, *, n_permutations: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return patterns of signs, the data (all +1) first, and whether these are all there are.

    Parameters
    ----------
    n_listeners
        At least 3.
    n_permutations
        Patterns besides the data; all ``2 ** (n_listeners - 1)`` if there are no more than one above that.
    seed
        Of the patterns.

    Returns
    -------
    signs : numpy.ndarray
        ``(1 + B, n_listeners)``, int8.
    exact : bool
        Whether every pattern is there.
    """
    if n_listeners < 3:
        raise ValueProblem(
            "a test of what listeners share needs at least three", got=n_listeners, fix="test listeners one by one"
        )
    signs, exact = sign_flips(n_listeners - 1, n_permutations=n_permutations, rng=generator(seed, "flipped-listeners"))
    return np.concatenate([signs, np.ones((len(signs), 1), dtype=np.int8)], axis=1), exact


def flip_test(scores: np.ndarray, *, exact: bool) -> SignFlipTest:
    """Test whether listeners predict each other, by the mean of their scores on Fisher's scale.

    Parameters
    ----------
    scores
        r of each left-out listener under every pattern of `flip_patterns`, ``(1 + B, n_listeners, ...)``.
    exact
        Whether these are all patterns.

    Returns
    -------
    SignFlipTest
        One-sided; corrected over all tests by the largest mean.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim < 2 or len(scores) < 2 or scores.shape[1] < 3:
        raise ShapeMismatch(
            "a test of what listeners share needs patterns by listeners",
            got=scores.shape,
            fix="(1 + B, n_listeners, ...)",
        )
    require_finite(scores, name="the scores", fix="leave out listeners or channels without a score")
    group = np.arctanh(np.clip(scores, -0.999999, 0.999999)).mean(axis=1)
    flat = group.reshape(len(group), -1)
    # Patterns equal but for rounding are ties.
    reached = flat[0] - 1e-12 * np.abs(flat[0])
    maxima = flat.max(axis=1)
    shape = group.shape[1:]
    return SignFlipTest(
        observed=group[0],
        p=(flat >= reached).mean(axis=0).reshape(shape),
        p_corrected=corrected_p(reached, maxima).reshape(shape),
        maxima=maxima,
        n_listeners=scores.shape[1],
        n_permutations=len(scores) - 1,
        exact=exact,
        statistic="mean",
        tail="greater",
        assumption=ASSUMPTION,
    )
