"""`TRF` and `BandedTRF`: lagged ridge models with scikit-learn's manners.

Parameters are only stored when an estimator is made; what is learnt ends in an underscore.
The engine is `brainalign.encoding`: nothing is computed here but scores.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.joint import JointResult
from brainalign.core.time import Number
from brainalign.encoding.banded import Search, fit_banded, fit_fixed_bands
from brainalign.encoding.cuts import enough_for_folds
from brainalign.encoding.multivariate import fit_encoding, fit_fixed
from brainalign.encoding.penalty import PENALTIES, Regulariser, band_columns, check_penalties
from brainalign.encoding.prediction import pearson, predict_trial
from brainalign.estimators.reading import Reader, window

Bands = Mapping[str, slice | Sequence[int] | Sequence[str]]
DIRECTIONS = ("forward", "backward")


def _mean_r(actual: np.ndarray, predicted: np.ndarray) -> float:
    return float(pearson(predicted, actual).mean())


SCORINGS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"r2": r2_score, "r": _mean_r}


class LaggedRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator, metaclass=ABCMeta):
    """What `TRF` and `BandedTRF` have in common: how they read data, predict and score."""

    scoring: str

    @abstractmethod
    def _reader(self) -> Reader:
        """Say which lags the data are read with."""

    @abstractmethod
    def _solve(self, design: Design) -> JointResult:
        """Fit the model."""

    @abstractmethod
    def _alpha(self, result: JointResult) -> np.ndarray:
        """Return the penalties as the estimator shows them."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X
            What is predicted from: frames by features (dense or CSR); a list of such trials, of any lengths;
            trials by frames by features; a `Trajectory`, a `Recording`, an MNE object, or a list of them.
            Or a `Design`, that holds both sides.
        y
            What is predicted: frames by outputs or one value per frame, in trials as X is; a `Recording`, a
            `Trajectory`, an MNE Raw or Epochs (data channels, volts). Nothing beside a `Design`.
        """
        design, self._flat = self._reader().pair(X, y, reset=True)
        result = self._solve(design)
        self.result_ = result
        self.coef_ = result.coef.transpose(2, 0, 1)
        self.intercept_ = result.intercept
        self.lags_ = result.lags.seconds
        self.alpha_ = self._alpha(result)
        self.scores_ = result.score if len(result.scores) else None
        return self

    def predict(self, X: Any) -> Any:
        """Predict y in the container that X comes in: an array, a list of arrays, or one array of trials.

        Parameters
        ----------
        X
            As for `fit`. Around every trial is silence. A `Design` gives a list.
        """
        check_is_fitted(self)
        side, trials = self._reader().inputs(X)
        parts = [predict_trial(self.result_, trial) for trial in trials]
        return side.put_back([part[:, 0] for part in parts] if self._flat else parts)

    def score(self, X: Any, y: Any = None) -> float:
        """Return R2 or Pearson's r over the frames of all trials, averaged over outputs.

        Parameters
        ----------
        X, y
            As for `fit`; of a `Design` the usable frames count.
        """
        check_is_fitted(self)
        if self.scoring not in SCORINGS:
            raise unknown_name(self.scoring, among=SCORINGS, kind="scoring")
        design, _ = self._reader().pair(X, y, reset=False)
        predicted = [predict_trial(self.result_, trial.x)[trial.mask] for trial in design.trials]
        actual = [np.asarray(trial.y, dtype=float)[trial.mask] for trial in design.trials]
        return SCORINGS[self.scoring](np.concatenate(actual), np.concatenate(predicted))


class TRF(LaggedRegressor):
    """Temporal response functions: ridge regression on lagged features, all features at once.

    ``y_c(t) = b_c + sum_f sum_l w_cf(l) x_f(t - l) + e``, the intercept unpenalised. Lags never reach across a
    trial's edge; around a trial is silence.

    Parameters
    ----------
    rate
        Frames per second.
    lags
        First and last lag in seconds; positive means that the stimulus came first, in both directions.
    penalties
        One number: this penalty, and no cross-validation. Several: every output has the one that predicts
        held-out trials best, chosen among these (and anew inside the training trials of every fold, to report
        `scores_`). With fewer trials than folds every trial is cut into ``n_folds`` contiguous parts to choose
        penalties by; the final model is fitted on the trials uncut.
    regulariser
        ``"ridge"``, ``"tikhonov-1"`` or ``"tikhonov-2"`` (penalised slope or bend over lags).
    convention
        Units of penalties: ``"relative"`` (1 halves a white feature's weights), ``"absolute"`` (scikit-learn's
        on explicit lags), ``"mtrf"`` or ``"mne"``; see `brainalign.encoding.penalty`. mTRF's rounds lags outward.
    n_folds
        Folds over trials, at least 3; not used with one penalty.
    direction
        ``"forward"``: X is the stimulus, y the response. ``"backward"``: X is the response, y the stimulus; lags
        are still those of the response, and turned round for the model.
    scoring
        What `score` returns: ``"r2"`` or ``"r"``.

    Attributes
    ----------
    coef_
        Response functions, ``(n_outputs, n_features, n_lags)``, in units of y per unit of X.
    intercept_
        Predicted y in silence, ``(n_outputs,)``.
    lags_
        Lags of the model in seconds, ``(n_lags,)``.
    alpha_
        Penalty behind `coef_`, ``(n_outputs,)``.
    scores_
        Held-out Pearson r, mean over folds, ``(n_outputs,)``; None with one penalty.
    result_
        The `JointResult`.
    n_features_in_, feature_names_in_
        Of X; names where X has them.

    Notes
    -----
    Features are kept in single precision, sparse ones sparse.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((5, 200, 1))
    >>> y = np.roll(x, 2, axis=1)
    >>> model = TRF(rate=100, lags=(0, 0.04), penalties=(0.01, 1)).fit(x, y)
    >>> model.lags_[model.coef_[0, 0].argmax()], model.alpha_
    (np.float64(0.02), array([0.01]))
    """

    def __init__(
        self,
        rate: Number = 100.0,
        lags: tuple[Number, Number] = (-0.1, 0.4),
        *,
        penalties: float | Sequence[float] = PENALTIES,
        regulariser: str = "ridge",
        convention: str = "relative",
        n_folds: int = 5,
        direction: str = "forward",
        scoring: str = "r2",
    ) -> None:
        self.rate = rate
        self.lags = lags
        self.penalties = penalties
        self.regulariser = regulariser
        self.convention = convention
        self.n_folds = n_folds
        self.direction = direction
        self.scoring = scoring

    def _reader(self) -> Reader:
        if self.direction not in DIRECTIONS:
            raise unknown_name(self.direction, among=DIRECTIONS, kind="direction")
        lags = window(self.lags, rate=self.rate, outward=self.convention == "mtrf")
        return Reader(self, lags, turned=self.direction == "backward")

    def _solve(self, design: Design) -> JointResult:
        rule, penalties = Regulariser(self.regulariser, self.convention), tuple(check_penalties(self.penalties))
        if len(penalties) == 1:
            return fit_fixed(design, penalties, regulariser=rule)
        parts = enough_for_folds(design, n_folds=self.n_folds)
        _require_fixed_units(design, parts, rule)
        result = fit_encoding(parts, penalties=penalties, n_folds=self.n_folds, regulariser=rule)
        if parts is design:
            return result
        return _with_scores(fit_fixed(design, result.coef_alpha[0], regulariser=rule), result)

    def _alpha(self, result: JointResult) -> np.ndarray:
        return result.coef_alpha[0]


class BandedTRF(LaggedRegressor):
    """Temporal response functions with a penalty of its own for each band of features (banded ridge).

    Parameters
    ----------
    bands
        Band name -> its features' column numbers, a slice, or names; features of no band form one more, called
        ``"rest"``. Left out, the bands of a `Design`, or all features as one.
    rate, lags, n_folds, scoring
        As in `TRF`, fewer trials than folds included.
    penalties
        Common penalties, above 0; a band's own is one of these divided by the band's weight.
    convention
        ``"relative"``, ``"absolute"`` or ``"mtrf"``.
    search
        How band weights are looked for: a `brainalign.encoding.banded.Search`; its seed makes it repeatable.

    Attributes
    ----------
    alpha_
        Each band's penalty behind `coef_`, ``(n_bands, n_outputs)``; infinite for a band that was left out.
    bands_
        Band names, in the order of `alpha_`.
    scores_
        Held-out Pearson r, mean over folds, ``(n_outputs,)``.
    coef_, intercept_, lags_, result_, n_features_in_, feature_names_in_
        As in `TRF`.
    """

    def __init__(
        self,
        bands: Bands | None = None,
        *,
        rate: Number = 100.0,
        lags: tuple[Number, Number] = (-0.1, 0.4),
        penalties: float | Sequence[float] = PENALTIES,
        convention: str = "relative",
        n_folds: int = 5,
        search: Search | None = None,
        scoring: str = "r2",
    ) -> None:
        self.bands = bands
        self.rate = rate
        self.lags = lags
        self.penalties = penalties
        self.convention = convention
        self.n_folds = n_folds
        self.search = search
        self.scoring = scoring

    def _reader(self) -> Reader:
        return Reader(self, window(self.lags, rate=self.rate, outward=self.convention == "mtrf"))

    def _solve(self, design: Design) -> JointResult:
        rule, penalties = Regulariser("ridge", self.convention), tuple(check_penalties(self.penalties))
        if self.bands is not None:
            design = replace(design, bands=numbered_bands(self.bands, design.features))
        parts = enough_for_folds(design, n_folds=self.n_folds)
        _require_fixed_units(design, parts, rule)
        search = self.search or Search()
        if len(band_columns(design)) == 1:  # there is nothing to weigh
            search = replace(search, weights=np.ones((1, 1)))
        result = fit_banded(parts, penalties=penalties, n_folds=self.n_folds, regulariser=rule, search=search)
        self.bands_ = result.bands
        if parts is design:
            return result
        return _with_scores(fit_fixed_bands(design, result.coef_alpha, regulariser=rule), result)

    def _alpha(self, result: JointResult) -> np.ndarray:
        return result.coef_alpha


def numbered_bands(bands: Bands, features: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return each band's column numbers.

    Parameters
    ----------
    bands
        Band name -> column numbers, a slice, or feature names.
    features
        The names of all columns.

    Examples
    --------
    >>> numbered_bands({"first": slice(2), "named": ["c"]}, ["a", "b", "c"])
    {'first': (0, 1), 'named': (2,)}
    """
    columns = range(len(features))
    place = {name: number for number, name in enumerate(features)}
    return {
        name: tuple(columns[chosen]) if isinstance(chosen, slice) else tuple(_number(item, place) for item in chosen)
        for name, chosen in bands.items()
    }


def _number(column: int | str, place: Mapping[str, int]) -> int:
    if not isinstance(column, str):
        return int(column)
    if column not in place:
        raise unknown_name(column, among=place, kind="feature")
    return place[column]


def _require_fixed_units(design: Design, parts: Design, rule: Regulariser) -> None:
    """Refuse to carry a penalty from parts to whole trials where it would mean another thing."""
    if parts is not design and rule.convention == "mtrf":
        raise ValueProblem(
            "in mTRF's convention a penalty depends on the number of trials, which cutting changes",
            got=f"{len(design.trials)} trials, to be cut into {len(parts.trials)} parts",
            fix="cut the data into trials first, or use convention='relative'",
        )


def _with_scores(whole: JointResult, parts: JointResult) -> JointResult:
    steps = parts.provenance.then("fit_uncut", penalty="chosen on parts")
    return replace(whole, scores=parts.scores, alpha=parts.alpha, provenance=steps)
