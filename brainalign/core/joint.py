"""What came out of a model that has all features at once: scores, penalties and response functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from brainalign.core.arrays import read_only, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.provenance import Provenance
from brainalign.core.time import Lags

_ARRAYS = ("scores", "alpha", "coef", "coef_alpha", "intercept", "positions")


@dataclass(frozen=True, eq=False)
class JointResult:
    """Held-out scores and response functions of one listener's joint model.

    Parameters
    ----------
    scores
        Held-out Pearson r, shape ``(n_folds, n_channels)``; no folds if the model was not cross-validated.
    alpha
        Penalty of each band, chosen inside each fold's training trials, shape ``(n_folds, n_bands, n_channels)``,
        in the units of the model's convention.
    coef
        Response functions from all trials, shape ``(n_features, n_lags, n_channels)``, in units of the response
        per unit of the feature.
    coef_alpha
        Penalty of each band behind ``coef``, shape ``(n_bands, n_channels)``.
    intercept
        Predicted response to silence, shape ``(n_channels,)``.
    lags
        The lag window.
    features, channels, bands
        Names.
    positions
        Sensor positions in metres in head coordinates, shape ``(n_channels, 3)``; NaN where a channel has none.
    subject
        Whose result it is.
    provenance
        The steps that made it.
    """

    scores: np.ndarray
    alpha: np.ndarray
    coef: np.ndarray
    coef_alpha: np.ndarray
    intercept: np.ndarray
    lags: Lags
    features: tuple[str, ...]
    channels: tuple[str, ...]
    bands: tuple[str, ...]
    positions: np.ndarray
    subject: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        n_folds, n_bands, n_channels = len(self.scores), len(self.bands), len(self.channels)
        shapes = {
            "scores": (n_folds, n_channels),
            "alpha": (n_folds, n_bands, n_channels),
            "coef": (len(self.features), self.lags.n, n_channels),
            "coef_alpha": (n_bands, n_channels),
            "intercept": (n_channels,),
            "positions": (n_channels, 3),
        }
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name))
            require_shape(array.shape, shape, name=name, axes="see JointResult")
            object.__setattr__(self, name, read_only(array))

    @property
    def score(self) -> np.ndarray:
        """Held-out r averaged over folds, shape ``(n_channels,)``."""
        if not len(self.scores):
            raise ValueProblem("this model was not cross-validated", got="0 folds", fix="fit it with several penalties")
        return self.scores.mean(axis=0)

    def response(self, feature: str) -> np.ndarray:
        """Return one feature's response function, shape ``(n_lags, n_channels)``."""
        if feature not in self.features:
            raise unknown_name(feature, among=self.features, kind="feature")
        return self.coef[self.features.index(feature)]

    def pack(self) -> Artefact:
        """Return the result as an artefact."""
        meta: dict[str, Any] = {name: getattr(self, name) for name in ("features", "channels", "bands", "subject")}
        meta |= {"lags": self.lags.to_json(), "provenance": self.provenance.to_json()}
        return Artefact("joint-result", meta, {name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def unpack(cls, artefact: Artefact) -> JointResult:
        """Read back what `pack` wrote."""
        meta = artefact.meta
        return cls(
            **artefact.arrays,
            features=tuple(meta["features"]),
            channels=tuple(meta["channels"]),
            bands=tuple(meta["bands"]),
            lags=Lags.from_json(meta["lags"]),
            subject=meta["subject"],
            provenance=Provenance.from_json(meta["provenance"]),
        )
