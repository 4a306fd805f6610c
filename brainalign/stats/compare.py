"""Is it this feature, or would something plainer do? A claim tested beside its controls.

Two ways, one question each. `compare_maps` asks whether the claim's score lies above the
control's in the population the listeners come from. `compare_groups` asks it of one listener
(or of these listeners' mean), from scores of both under the same surrogates: their difference,
surrogate by surrogate, keeps what both share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special, stats

from brainalign.core.arrays import require_finite
from brainalign.core.errors import ShapeMismatch, ValueProblem, unknown_name
from brainalign.core.seeds import generator
from brainalign.stats.maxstat import corrected_p
from brainalign.stats.permutation import permutation_p, studentised
from brainalign.stats.signflip import ASSUMPTION, TAILS, Tail, sign_flip_test

Interval = Literal["student", "percentile", "bca"]
INTERVALS = ("student", "percentile", "bca")
LEVEL = 0.95
_N_DRAWS, _BLOCK_BYTES = 10_000, 64_000_000

# What a claim about a feature of a sparse autoencoder is compared with, and what beating it says.
CONTROLS = {
    "acoustic": "the score is not the envelope's, its onsets' or another acoustic baseline's",
    "untrained": "the score needs what the encoder has learnt, not its architecture alone",
    "random-sae": "the score needs what the sparse autoencoder has learnt, not any sparse code of its size",
    "neurons": "the score needs the autoencoder's directions, not the encoder's own units",
    "matched": "the score is not owed to the feature's variance and sparsity",
}
PICKS = {
    "mean": "the mean over a control's features",
    "best": "the best of a control's features in each listener",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """A claim's score minus those of its controls.

    Attributes
    ----------
    names
        Of the controls, along the first axis of all arrays, ``(n_controls, ...)``.
    difference
        In the unit of the scores, above 0 where the claim is better.
    low, high
        95 % interval of the difference, each by itself (not corrected for their number).
    p, p_corrected
        Alone, and corrected over all controls and tests by the max-statistic.
    n_listeners
        1 for a single listener's comparison.
    n_permutations
        Sign patterns or surrogates besides the data.
    exact
        Whether these are all there are.
    tail
        ``"greater"``: the claim is better; ``"two-sided"``: either is.
    test
        What was compared, tested and taken for granted, for reports.
    """

    names: tuple[str, ...]
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    p_corrected: np.ndarray
    n_listeners: int
    n_permutations: int
    exact: bool
    tail: Tail
    test: str

    def of(self, control: str) -> dict[str, np.ndarray]:
        """Return one control's difference, interval and p-values."""
        if control not in self.names:
            raise unknown_name(control, among=self.names, kind="control")
        row = self.names.index(control)
        return {name: getattr(self, name)[row] for name in ("difference", "low", "high", "p", "p_corrected")}


def represent(scores: np.ndarray, *, pick: str | float) -> np.ndarray:
    """Return one score in place of a set of features'.

    A claim that was itself picked from many must be compared with what is picked alike: the
    best of 1,000 features without any effect is better than their mean. Use this function on
    the claim's own set, too, or the quantile of the claim's rank in it (`rank_quantile`). A
    feature that was chosen by some listeners must be tested on others: to let each listener's
    be chosen by all the others makes listeners depend on each other (with 12 listeners and 20
    features without effect, sign flips then reject 25 % at 0.05).

    Parameters
    ----------
    scores
        ``(n_listeners, n_features, ...)``, or ``(1 + B, n_features, ...)`` for surrogates.
    pick
        ``"mean"``; ``"best"``, which grows with the size of the set; or a quantile over features, above 0 and below 1
        (Hazen's: `rank_quantile` gives the feature of that rank).

    Returns
    -------
    numpy.ndarray
        ``(n_listeners, ...)``.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim < 2 or not scores.shape[1]:
        raise ShapeMismatch("a set of features has an axis of them", got=scores.shape, fix="give (n, n_features, ...)")
    if not isinstance(pick, str):
        if not 0 < pick < 1:
            raise ValueProblem("a quantile lies between 0 and 1", got=pick, fix="use 'best' for the largest")
        return np.quantile(scores, pick, axis=1, method="hazen")
    if pick not in PICKS:
        raise unknown_name(pick, among=PICKS, kind="pick")
    return scores.mean(axis=1) if pick == "mean" else scores.max(axis=1)


def rank_quantile(rank: int, *, n_features: int) -> float:
    """Return the quantile at which a set's feature of this rank lies, 1 being the best.

    >>> represent(np.array([[3.0, 1.0, 2.0, 4.0]]), pick=rank_quantile(2, n_features=4))
    array([3.])
    """
    if not 1 <= rank <= n_features:
        raise ValueProblem("a rank lies between 1 and the number of features", got=rank, fix=f"1 to {n_features}")
    return 1 - (rank - 0.5) / n_features


def compare_maps(
    claim: np.ndarray,
    controls: Mapping[str, np.ndarray],
    *,
    pick: str | float = "mean",
    tail: Tail = "two-sided",
    interval: Interval = "student",
    n_permutations: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare a claim's scores with its controls' over listeners, by flipping signs of the differences.

    ``t = mean sqrt(n) / sd`` of the listeners' differences, under sign flips that all
    comparisons share (hence the max-statistic over controls and tests together).

    Parameters
    ----------
    claim
        The claim's held-out r, ``(n_listeners, ...)``, e.g. per channel; of a feature chosen on other data, or
        from `represent` as its controls are.
    controls
        By name (see `CONTROLS`), each ``(n_listeners, n_features, ...)``, listeners in the claim's order. Scores of
        models with unequally many regressors have unequal means without effect: take those off first.
    pick
        What stands for a control's set (see `represent`).
    tail
        ``"greater"``, ``"less"`` or ``"two-sided"``.
    interval
        ``"student"``: mean +- t se. ``"percentile"`` and ``"bca"`` (Efron 1987) resample listeners, of whom they
        want many: normal differences' mean is inside for 85 of 100 studies of 6 listeners, and 93 of 20.
    n_permutations
        Sign patterns; all ``2 ** n_listeners`` if there are no more.
    seed
        Of the patterns and the resampling.
    """
    claim = np.asarray(claim, dtype=float)
    differences = _differences(claim, controls, pick=pick, unit="listeners")
    if interval not in INTERVALS:
        raise unknown_name(interval, among=INTERVALS, kind="interval")
    found = sign_flip_test(differences, n_permutations=n_permutations, seed=seed, tail=tail)
    low, high = _interval(differences, interval, seed)
    n, size = len(differences), found.observed.size
    patterns = f"all {1 + found.n_permutations}" if found.exact else f"{found.n_permutations} random"
    test = (
        f"Held-out scores of the claim minus {_told(pick)}, paired within {n} listeners; {patterns} patterns of signs, "
        f"corrected over {size} comparisons by the max-statistic (family-wise error); random effects. {ASSUMPTION}"
    )
    return Comparison(
        tuple(controls), differences.mean(axis=0), low, high, found.p, found.p_corrected,
        n_listeners=n, n_permutations=found.n_permutations, exact=found.exact, tail=tail, test=test,
    )  # fmt: skip


def compare_groups(
    claim: np.ndarray,
    controls: Mapping[str, np.ndarray],
    *,
    pick: str | float = "mean",
    tail: Tail = "two-sided",
    n_listeners: int = 1,
) -> Comparison:
    """Compare a claim with its controls within one listener, surrogate by surrogate.

        d_b = claim_b - control_b,   z_b = (d_b - mean of the others) / sd of the others,   b = 0 (data), 1, ..., B

    The null is that of the surrogates: neither has to do with the response. There the test is
    exact. For two that have, equally, the spread of d without effects stands in for that with
    them. It is wider, because the surrogates' response holds the effects as if they were noise,
    so the test errs on the safe side the more, the larger r and the more alike the features
    are: at 0.05 it rejects 4 % at r = 0.07 and 1 % at 0.26 for two unlike ones, 2 % and none
    for two alike (tests/calibration/test_compare.py). Flipping signs of held-out folds'
    differences, in place of this, is no way out: folds share their training, and 11 to 19 % were rejected.

    Parameters
    ----------
    claim
        Scores of the data and its surrogates, ``(1 + B, ...)``; one listener's, or the mean of several.
    controls
        By name, each ``(1 + B, n_features, ...)``, under *the same* surrogates in the same order.
    pick
        What stands for a control's set, in every surrogate anew.
    tail
        ``"greater"``, ``"less"`` or ``"two-sided"``.
    n_listeners
        Behind the scores. More than one is a statement about these (fixed effects).

    Returns
    -------
    Comparison
        Differences are what lies beyond the mean of the surrogates', whose spread around it gives the interval.
    """
    if tail not in TAILS:
        raise unknown_name(tail, among=TAILS, kind="tail")
    group = _differences(np.asarray(claim, dtype=float), controls, pick=pick, unit="surrogates")
    z = studentised(group)
    z = np.abs(z) if tail == "two-sided" else (-z if tail == "less" else z)
    # Equal but for rounding is equal.
    z[0] -= 1e-9 * np.abs(z[0])
    maxima = z.reshape(len(z), -1).max(axis=1)
    beyond = group - group[1:].mean(axis=0)
    reach = np.quantile(beyond[1:], [(1 + LEVEL) / 2, (1 - LEVEL) / 2], axis=0)
    test = (
        f"Held-out scores of the claim minus {_told(pick)}, under the same {len(z) - 1} surrogates of "
        f"{n_listeners} {'listener' if n_listeners == 1 else 'listeners (fixed effects)'}, corrected over {z[0].size} "
        "comparisons by the max-statistic (family-wise error). Were neither related to the response, surrogates would "
        "leave the distribution of the difference as it is; equal effects narrow it: conservative."
    )
    return Comparison(
        tuple(controls), beyond[0], beyond[0] - reach[0], beyond[0] - reach[1], permutation_p(z),
        corrected_p(z[0], maxima), n_listeners, n_permutations=len(z) - 1, exact=False, tail=tail, test=test,
    )  # fmt: skip


def _differences(claim: np.ndarray, controls: Mapping[str, np.ndarray], *, pick: str | float, unit: str) -> np.ndarray:
    """Return claim minus control, ``(n, n_controls, ...)``."""
    if not controls:
        raise ValueProblem("a claim is compared with at least one control", got="none", fix=f"e.g. {list(CONTROLS)}")
    if claim.ndim < 1 or len(claim) < 2:
        raise ShapeMismatch(f"a comparison needs at least two {unit}", got=claim.shape, fix=f"give (n {unit}, ...)")
    require_finite(claim, name="the claim's scores", fix="leave out listeners or channels without a score")
    parts = []
    for name, scores in controls.items():
        scores = np.asarray(scores, dtype=float)
        if scores.ndim != claim.ndim + 1 or scores.shape[:1] + scores.shape[2:] != claim.shape:
            raise ShapeMismatch(
                f"the control {name!r} does not fit the claim",
                got=f"{scores.shape}, the claim has {claim.shape}",
                fix=f"give (n {unit}, n_features, ...) with the claim's {unit} and tests; one feature is an axis of 1",
            )
        require_finite(scores, name=f"the scores of {name!r}", fix="leave out features without a score")
        parts.append(claim - represent(scores, pick=pick))
    return np.stack(parts, axis=1)


def _told(pick: str | float) -> str:
    return PICKS[pick] if isinstance(pick, str) else f"the {pick:.4g} quantile of a control's features"


def _interval(values: np.ndarray, kind: Interval, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of the mean over the first axis."""
    n, mean = len(values), values.mean(axis=0)
    if kind == "student":
        reach = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
        return mean - reach, mean + reach
    weights = generator(seed, "listeners").multinomial(n, np.full(n, 1 / n), size=_N_DRAWS) / n
    flat = values.reshape(n, -1)
    ends = np.empty((2, flat.shape[1]))
    width = max(1, _BLOCK_BYTES // (8 * _N_DRAWS))
    for part in (slice(start, start + width) for start in range(0, flat.shape[1], width)):
        draws = np.sort(weights @ flat[:, part], axis=0)
        shares = _bca_shares(flat[:, part], draws) if kind == "bca" else _percentile_shares(draws.shape[1])
        ends[:, part] = _at_shares(draws, shares)
    return ends[0].reshape(mean.shape), ends[1].reshape(mean.shape)


def _percentile_shares(n_tests: int) -> np.ndarray:
    return np.tile([[(1 - LEVEL) / 2], [(1 + LEVEL) / 2]], n_tests)


def _bca_shares(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return which shares of the draws bound the interval, corrected for bias and acceleration (Efron 1987)."""
    centred = values - values.mean(axis=0)
    squares = np.square(centred).sum(axis=0)
    cubes = (centred**3).sum(axis=0)
    acceleration = np.divide(cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > 0)
    mean, near = values.mean(axis=0), 1e-12 * np.abs(values).max(axis=0)
    bias = special.ndtri(((draws < mean - near).mean(axis=0) + (draws <= mean + near).mean(axis=0)) / 2)
    z = bias + special.ndtri(_percentile_shares(values.shape[1]))
    return special.ndtr(bias + z / (1 - acceleration * z))


def _at_shares(draws: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return linear quantiles of sorted draws, each column at shares of its own."""
    place = shares * (len(draws) - 1)
    below = np.clip(np.floor(place).astype(int), 0, len(draws) - 2)
    lower, upper = (np.take_along_axis(draws, below + step, axis=0) for step in (0, 1))
    return lower + (place - below) * (upper - lower)
