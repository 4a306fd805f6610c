"""`FeatureMaps`: one small model per feature and channel, and a choice among features, with scikit-learn's manners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from brainalign.api import feature_maps
from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem
from brainalign.core.time import Number
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.cuts import enough_for_folds
from brainalign.encoding.massunivariate import PENALTIES
from brainalign.encoding.penalty import check_penalties
from brainalign.estimators.reading import Reader, window
from brainalign.estimators.sides import open_side


class FeatureMaps(SelectorMixin, MultiOutputMixin, BaseEstimator):
    """How well each feature, alone, predicts each channel; as a transformer, the features that do.

    Parameters
    ----------
    rate
        Frames per second.
    lags
        First and last lag in seconds; positive means that the stimulus came first.
    penalties
        Candidates, relative to a feature's own variance; chosen inside the training trials.
    n_folds
        Folds over trials, at least 3. With fewer trials every trial is cut into ``n_folds`` contiguous parts,
        which are then the trials that models, scores and the test know of.
    n_permutations
        Circular shifts of the stimuli within their trials; 0 for no test.
    seed
        Of the shifts.
    level
        Features with a corrected p-value at or below it, at any channel, are kept by `transform`.
    n_best
        Keep instead this many features, those with the largest score at any channel.

    Attributes
    ----------
    scores_
        Held-out Pearson r, mean over folds, ``(n_features, n_outputs)``.
    coef_
        Response functions, ``(n_outputs, n_features, n_lags)``, in units of y per unit of X.
    p_, p_corrected_
        p-values, alone and corrected over all features and outputs, ``(n_features, n_outputs)``; None untested.
    lags_
        Lags in seconds, ``(n_lags,)``.
    maps_
        The `brainalign.maps.Maps`, that can be drawn and written to a page.
    n_features_in_, feature_names_in_
        Of X; names where X has them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((5, 200, 3))
    >>> y = x[:, :, 1] + rng.standard_normal((5, 200))
    >>> FeatureMaps(rate=100, lags=(0, 0.02), n_best=1).fit(x, y).get_support()
    array([False,  True, False])
    """

    def __init__(
        self,
        rate: Number = 100.0,
        lags: tuple[Number, Number] = (-0.1, 0.4),
        *,
        penalties: float | Sequence[float] = PENALTIES,
        n_folds: int = 5,
        n_permutations: int = 0,
        seed: int = 0,
        level: float = 0.05,
        n_best: int | None = None,
    ) -> None:
        self.rate = rate
        self.lags = lags
        self.penalties = penalties
        self.n_folds = n_folds
        self.n_permutations = n_permutations
        self.seed = seed
        self.level = level
        self.n_best = n_best

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit one model per feature and output, and test them if asked to.

        Parameters
        ----------
        X, y
            As for `TRF`.
        """
        design, _ = self._reader().pair(X, y, reset=True)
        self.maps_ = feature_maps(
            enough_for_folds(design, n_folds=self.n_folds),
            n_permutations=self.n_permutations,
            seed=self.seed,
            penalties=tuple(check_penalties(self.penalties)),
            n_folds=self.n_folds,
        )
        self.scores_ = self.maps_.r
        self.coef_ = self.maps_.trf.transpose(2, 0, 1)
        self.lags_ = design.lags.seconds
        self.p_ = self.maps_.p if self.maps_.test else None
        self.p_corrected_ = self.maps_.p_corrected if self.maps_.test else None
        return self

    def transform(self, X: Any) -> Any:
        """Keep the features that were chosen, in the container that X comes in.

        Parameters
        ----------
        X
            As for `fit`; of a `Design` both sides are kept.
        """
        check_is_fitted(self)
        if isinstance(X, (Design, Trajectory)):
            self._reader().inputs(X)
            return X.select(self.get_support(indices=True))
        side = open_side(X)
        if side.kind == "one":
            return super().transform(X)
        return side.put_back([self.transform(part) for part in (X if side.kind == "list" else side.parts)])

    def _reader(self) -> Reader:
        return Reader(self, window(self.lags, rate=self.rate))

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        if self.n_best is not None:
            return np.isin(np.arange(self.n_features_in_), self.maps_.strongest(self.n_best))
        if self.p_corrected_ is None:
            raise ValueProblem(
                "nothing says which features to keep",
                got="n_permutations=0, n_best=None",
                fix="test them with n_permutations=1000, or give n_best",
            )
        return np.asarray(self.p_corrected_.min(axis=1) <= self.level)
