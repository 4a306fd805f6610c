"""How do two sides become a `Design`? Checked as scikit-learn checks, put on one clock, trials kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from brainalign.core.design import Design, Trial
from brainalign.core.errors import GridMismatch, ShapeMismatch, ValueProblem
from brainalign.core.time import Lags, Number, TimeAxis
from brainalign.core.trajectory import Trajectory, Values
from brainalign.encoding.direction import backward
from brainalign.estimators.sides import Side, open_side

_ON_ONE_CLOCK = "bring them together with brainalign.align(features, recording, onset=...), and fit its design"


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads what an estimator is given.

    Parameters
    ----------
    estimator
        Is told the number and names of its features.
    lags
        The window in which responses follow the stimulus.
    turned
        Whether the stimulus is predicted from the response.
    """

    estimator: BaseEstimator
    lags: Lags
    turned: bool = False

    @property
    def window(self) -> Lags:
        """The lags of the model itself: turned round for a backward one."""
        return Lags(-self.lags.last, -self.lags.first, self.lags.rate) if self.turned else self.lags

    def pair(self, X: Any, y: Any, *, reset: bool) -> tuple[Design, bool]:
        """Read both sides; return their design, and whether y came without an axis of outputs.

        Parameters
        ----------
        X, y
            As the estimator was given them.
        reset
            Whether the estimator is being fitted (else it must have been, with the same features).
        """
        if isinstance(X, Design):
            return self._design(X, y, reset=reset), False
        if y is None:
            validate_data(self.estimator, X, None, skip_check_array=True)  # tells what is missing
        x = open_side(X)
        response = open_side(y, in_trials=x.kind != "one")
        _require_as_many(x, response)
        values, targets = self._checked(x, response, reset=reset)
        names = x.names or tuple(getattr(self.estimator, "feature_names_in_", ())) or _numbered("x", values[0].shape[1])
        features = self._on_clock(values, x, names, other=response)
        flat = targets[0].ndim == 1
        columns = [target.reshape(len(target), -1) for target in targets]
        outputs = response.names or _numbered("y", columns[0].shape[1])
        trials = tuple(
            Trial(f"trial-{i}", one, other.astype(float, copy=False), np.ones(len(other), dtype=bool))
            for i, (one, other) in enumerate(zip(features, columns, strict=True))
        )
        nowhere = np.full((len(outputs), 3), np.nan)
        positions = nowhere if response.positions is None else response.positions
        return Design(trials, self.window, outputs, positions), flat

    def inputs(self, X: Any) -> tuple[Side, list[Trajectory]]:
        """Read one side alone, for a fitted estimator."""
        if isinstance(X, Design):
            design = self._design(X, None, reset=False)
            return Side("list", design.trials, ()), [trial.x for trial in design.trials]
        x = open_side(X)
        values, names = self._features(x), x.names or _numbered("x", self.estimator.n_features_in_)
        return x, self._on_clock(values, x, names)

    def _design(self, design: Design, y: Any, *, reset: bool) -> Design:
        if y is not None:
            raise ValueProblem("a design holds the response already", got=f"y={type(y).__name__}", fix="leave y out")
        if design.lags != self.lags:
            raise GridMismatch(
                "the design's lags are not the estimator's",
                got=f"design: {_told(design.lags)}; estimator: {_told(self.lags)}",
                fix=f"give the estimator {_told(design.lags)}, or align the design with the estimator's lags",
            )
        turned = backward(design) if self.turned else design
        self._names(turned.features, reset=reset)
        return turned

    def _checked(self, x: Side, y: Side, *, reset: bool) -> tuple[list[Values], list[np.ndarray]]:
        """Check both sides trial by trial, in scikit-learn's words where there is nothing better to say."""
        given = [part.toarray() if y.names and sparse.issparse(part) else part for part in y.parts]
        if x.names:
            targets = [check_array(part, ensure_2d=False, dtype="numeric", input_name="y") for part in given]
            for part, target in zip(x.parts, targets, strict=True):
                check_consistent_length(part, target)
            self._names(x.names, reset=reset)
            return list(x.parts), targets
        pairs = [
            validate_data(
                self.estimator,
                part,
                target,
                reset=reset and not number,
                accept_sparse="csr",
                multi_output=True,
                y_numeric=True,
                ensure_min_samples=2,
            )
            for number, (part, target) in enumerate(zip(x.parts, given, strict=True))
        ]
        return [part for part, _ in pairs], [target for _, target in pairs]

    def _features(self, x: Side) -> list[Values]:
        if x.names:
            self._names(x.names, reset=False)
            return list(x.parts)
        return [validate_data(self.estimator, part, reset=False, accept_sparse="csr") for part in x.parts]

    def _names(self, names: tuple[str, ...], *, reset: bool) -> None:
        """Set the names of the features, or compare them with those that the estimator was fitted with."""
        if reset:
            self.estimator.n_features_in_ = len(names)
            self.estimator.feature_names_in_ = np.array(names, dtype=object)
            return
        known = tuple(getattr(self.estimator, "feature_names_in_", names))
        if known != names or len(names) != self.estimator.n_features_in_:
            raise ShapeMismatch(
                "these are not the features that the model was fitted with",
                got=f"{len(names)} features, {', '.join(names[:3])}, ...",
                fix=f"give the {self.estimator.n_features_in_} features {', '.join(known[:3])}, ...",
            )

    def _on_clock(
        self, values: Sequence[Values], x: Side, names: tuple[str, ...], *, other: Side | None = None
    ) -> list[Trajectory]:
        others = (None,) * len(values) if other is None else other.axes
        axes = [
            _clock(own, across, n=part.shape[0], rate=self.lags.rate)
            for own, across, part in zip(x.axes, others, values, strict=True)
        ]
        return [Trajectory(part, axis, names) for part, axis in zip(values, axes, strict=True)]


def window(lags: tuple[Number, Number], *, rate: Number, outward: bool = False) -> Lags:
    """Return the lag window of two numbers in seconds; rounded to the nearest frames, or outward as mTRF does."""
    start, stop = lags
    return Lags.from_seconds(start, stop, rate=rate, rounding="outward" if outward else "nearest")


def _clock(own: TimeAxis | None, other: TimeAxis | None, *, n: int, rate: Fraction) -> TimeAxis:
    """Return the clock of a trial: its own, the other side's, or (arrays have none) one that starts at 0."""
    if own and other and own != other:
        raise GridMismatch("X and y are not on one clock", got=f"X: {own}; y: {other}", fix=_ON_ONE_CLOCK)
    axis = own or other or TimeAxis(rate, n)
    if axis.rate != rate:
        raise GridMismatch(
            "the data's rate is not the estimator's",
            got=f"data: {float(axis.rate):g} Hz; estimator: {float(rate):g} Hz",
            fix=f"give rate={float(axis.rate):g}, or resample the data",
        )
    return axis


def _require_as_many(x: Side, y: Side) -> None:
    if len(x.parts) != len(y.parts):
        raise ShapeMismatch(
            "X and y must have the same trials",
            got=f"X has {len(x.parts)}, y has {len(y.parts)}",
            fix="give a list of trials, or an array of trials by frames by columns, on both sides",
        )


def _told(lags: Lags) -> str:
    low, high = (float(lag / lags.rate) for lag in (lags.first, lags.last))
    return f"rate={float(lags.rate):g}, lags=({low:g}, {high:g})"


def _numbered(letter: str, n: int) -> tuple[str, ...]:
    return tuple(f"{letter}{i}" for i in range(n))
