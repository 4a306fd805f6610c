"""What is a penalty of 1? Regularisers, their units, and how they translate to other toolboxes.

The weights minimise ``||y - X w - b||^2 + penalty * sum_f unit_f w_f' Q w_f``, the intercept
b free. Q, the regulariser, is the identity (``"ridge"``) or the squared first or second
differences across a feature's lags (``"tikhonov-1"``, ``"tikhonov-2"``: what is punished is
slope, or bend). The convention gives the units:

============  =====================================================================================
convention    unit of a feature's penalty
============  =====================================================================================
relative      frames x mean variance of the lagged features of its band, in the training set: 1 halves
              a white feature's weights, whatever its scale, the rate or the length of the data
absolute      1: ``sklearn.linear_model.Ridge(alpha)`` on the explicit lag matrix
mtrf          rate x number of training trials: ``mtrf.TRF.train(regularization)``
mne           1, with MNE's own centring: ``ReceptiveField(TimeDelayingRidge(alpha))``
============  =====================================================================================

mTRF
    mTRF divides its covariances by the number of trials, penalises with ``lambda * rate`` and
    multiplies weights and bias by the rate. With the same lags (``Lags.from_seconds(...,
    rounding="outward")``) its ``weights`` are ``coef * rate`` and its ``bias`` is
    ``intercept * rate``: `to_mtrf`. Its ``"tikhonov"`` is half the squared first difference;
    with several features it runs on from one feature to the next at the same lag, which is not
    copied here. It averages r over trials, we over folds: the same where a fold is a trial.
MNE
    MNE takes the training means off the features *before* silence is put around them, does not
    centre the lagged columns again, scores only frames ``lags.last <= t < n + lags.first`` and
    rounds lag limits (``rounding="nearest"``). Its ``coef_`` is our ``coef`` with axes
    (channel, feature, lag): `to_mne`. Its ``reg_type=("laplacian", "ridge")`` is ``"tikhonov-1"``.

A penalty of 0 gives the least-squares solution of smallest norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.design import Design
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.joint import JointResult
from brainalign.encoding.blocks import Centred

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2)


def _differences(n_lags: int, order: int) -> np.ndarray:
    steps = np.diff(np.eye(n_lags), n=order, axis=0)
    return steps.T @ steps


REGULARISERS: dict[str, Callable[[int], np.ndarray]] = {
    "ridge": np.eye,
    "tikhonov-1": lambda n_lags: _differences(n_lags, 1),
    "tikhonov-2": lambda n_lags: _differences(n_lags, 2),
}
CONVENTIONS = ("relative", "absolute", "mtrf", "mne")


@dataclass(frozen=True)
class Regulariser:
    """What is punished, and in which units.

    Parameters
    ----------
    kind
        ``"ridge"``, ``"tikhonov-1"`` or ``"tikhonov-2"``.
    convention
        ``"relative"``, ``"absolute"``, ``"mtrf"`` or ``"mne"``.
    """

    kind: str = "ridge"
    convention: str = "relative"

    def __post_init__(self) -> None:
        if self.kind not in REGULARISERS:
            raise unknown_name(self.kind, among=REGULARISERS, kind="regulariser")
        if self.convention not in CONVENTIONS:
            raise unknown_name(self.convention, among=CONVENTIONS, kind="convention")

    def shape(self, n_lags: int) -> np.ndarray:
        """Return Q, shape ``(n_lags, n_lags)``."""
        if self.kind == "tikhonov-1" and self.convention == "mtrf":
            return REGULARISERS[self.kind](n_lags) / 2
        return REGULARISERS[self.kind](n_lags)

    def units(self, train: Centred, groups: Sequence[np.ndarray], *, rate: float) -> np.ndarray:
        """Return what a penalty of 1 amounts to in each group of features, shape ``(n_groups,)``.

        Parameters
        ----------
        train
            Moments of the training set.
        groups
            Column numbers of each band's lagged features.
        rate
            Frames per second.
        """
        if self.convention == "mtrf":
            return np.full(len(groups), rate * train.n_trials)
        if self.convention != "relative":
            return np.ones(len(groups))
        power = np.diag(train.sxx)
        means = np.array([power[columns].mean() for columns in groups])
        # A silent band has no weights under any penalty; 1 keeps the system regular.
        return np.where(means > 0, means, 1.0)


def as_regulariser(value: str | Regulariser) -> Regulariser:
    """Read a regulariser by name, or take it as it is."""
    return value if isinstance(value, Regulariser) else Regulariser(value)


def check_penalties(values: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """Return penalties as an array; refuse negative ones, infinities and an empty list."""
    penalties = np.atleast_1d(np.asarray(values, dtype=float))
    if penalties.ndim != 1 or not penalties.size or not np.all(np.isfinite(penalties) & (penalties >= 0)):
        raise ValueProblem("penalties must be finite and not negative", got=values, fix="give a list such as [0.1, 1]")
    return penalties


def band_columns(design: Design) -> dict[str, np.ndarray]:
    """Return each band's feature numbers; features of no band form one called ``"rest"``.

    Examples
    --------
    With bands ``{"acoustic": (0, 1)}`` of four features: ``{"acoustic": [0, 1], "rest": [2, 3]}``.
    """
    bands = {name: np.asarray(columns, dtype=int) for name, columns in design.bands.items() if len(columns)}
    count = np.bincount(np.concatenate([*bands.values(), np.array([], dtype=int)]), minlength=design.n_features)
    if count.max() > 1:
        raise ValueProblem(
            "a feature can stand in one band only", got=design.features[int(count.argmax())], fix="part the bands"
        )
    rest = np.flatnonzero(count == 0)
    return bands | ({"rest" if bands else "all": rest} if len(rest) else {})


def lagged_columns(bands: Mapping[str, np.ndarray], n_lags: int) -> list[np.ndarray]:
    """Return the lagged design's column numbers, band by band."""
    return [(features[:, None] * n_lags + np.arange(n_lags)).ravel() for features in bands.values()]


def to_mtrf(result: JointResult) -> tuple[np.ndarray, np.ndarray]:
    """Return mTRF's ``weights`` ``(n_features, n_lags, n_channels)`` and ``bias`` ``(1, n_channels)``."""
    rate = float(result.lags.rate)
    return result.coef * rate, result.intercept[None, :] * rate


def to_mne(result: JointResult) -> np.ndarray:
    """Return MNE's ``coef_``, shape ``(n_channels, n_features, n_lags)``."""
    return result.coef.transpose(2, 0, 1)
