"""What came out: held-out scores and response functions, and the tests on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from brainalign.core.arrays import read_only, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import MissingPackage, ValueProblem, unknown_name
from brainalign.core.provenance import Provenance
from brainalign.core.time import Lags

if TYPE_CHECKING:
    import mne
    import xarray


@dataclass(frozen=True, eq=False)
class EncodingResult:
    """Held-out scores, penalties and temporal response functions of one listener.

    Parameters
    ----------
    scores
        Held-out Pearson r, shape ``(n_folds, n_features, n_channels)``.
    alpha
        Penalty chosen inside each fold's training trials, same shape, in the units of
        the lagged Gram matrix per usable sample.
    coef
        Response functions from all trials, shape ``(n_features, n_lags, n_channels)``, in
        units of the response per unit of the feature.
    coef_alpha
        Penalty behind ``coef``, shape ``(n_features, n_channels)``.
    lags
        The lag window.
    features, channels
        Names.
    positions
        Sensor positions in metres in head coordinates, shape ``(n_channels, 3)``; NaN where a
        channel has none.
    subject
        Whose result it is.
    provenance
        The steps that made it.
    """

    scores: np.ndarray
    alpha: np.ndarray
    coef: np.ndarray
    coef_alpha: np.ndarray
    lags: Lags
    features: tuple[str, ...]
    channels: tuple[str, ...]
    positions: np.ndarray
    subject: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        n_features, n_channels = len(self.features), len(self.channels)
        n_folds = len(self.scores)
        shapes = {
            "scores": (n_folds, n_features, n_channels),
            "alpha": (n_folds, n_features, n_channels),
            "coef": (n_features, self.lags.n, n_channels),
            "coef_alpha": (n_features, n_channels),
            "positions": (n_channels, 3),
        }
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name))
            require_shape(array.shape, shape, name=name, axes="see EncodingResult")
            object.__setattr__(self, name, read_only(array))

    @property
    def score(self) -> np.ndarray:
        """Held-out r averaged over folds, shape ``(n_features, n_channels)``."""
        return self.scores.mean(axis=0)

    def index(self, feature: str) -> int:
        """Return the row of a feature."""
        if feature not in self.features:
            raise unknown_name(feature, among=self.features, kind="feature")
        return self.features.index(feature)

    def to_xarray(self) -> xarray.Dataset:
        """Return scores, penalties and response functions with labels (needs xarray)."""
        try:
            import xarray
        except ImportError as error:
            raise MissingPackage(
                "labelled arrays need xarray", got=error, fix="pip install 'brainalign[labels]'"
            ) from error

        axes = ("fold", "feature", "channel")
        return xarray.Dataset(
            {
                "score": (axes, self.scores, {"unit": "Pearson r"}),
                "alpha": (axes, self.alpha),
                "coef": (("feature", "lag", "channel"), self.coef),
            },
            coords={"feature": list(self.features), "channel": list(self.channels), "lag": self.lags.seconds},
            attrs={"subject": self.subject},
        )

    def to_evoked(self, feature: str) -> mne.EvokedArray:
        """Return one feature's response function as an MNE Evoked (lag as time, in seconds).

        Channels without a position come without one.
        """
        import mne

        info = mne.create_info(list(self.channels), float(self.lags.rate), "eeg", verbose="error")
        evoked = mne.EvokedArray(
            self.coef[self.index(feature)].T.astype(float),
            info,
            tmin=float(self.lags.first / self.lags.rate),
            comment=feature,
            verbose="error",
        )
        has_place = np.isfinite(self.positions).all(axis=1)
        places = {name: self.positions[i] for i, name in enumerate(self.channels) if has_place[i]}
        montage = mne.channels.make_dig_montage(places, coord_frame="head")
        return evoked.set_montage(montage, on_missing="ignore", verbose="error")

    def pack(self) -> Artefact:
        """Return the result as an artefact."""
        meta = {
            "lags": self.lags.to_json(),
            "features": self.features,
            "channels": self.channels,
            "subject": self.subject,
            "provenance": self.provenance.to_json(),
        }
        names = ("scores", "alpha", "coef", "coef_alpha", "positions")
        return Artefact("encoding-result", meta, {name: getattr(self, name) for name in names})

    @classmethod
    def unpack(cls, artefact: Artefact) -> EncodingResult:
        """Read back what `pack` wrote."""
        meta = artefact.meta
        return cls(
            **artefact.arrays,
            lags=Lags.from_json(meta["lags"]),
            features=tuple(meta["features"]),
            channels=tuple(meta["channels"]),
            subject=meta["subject"],
            provenance=Provenance.from_json(meta["provenance"]),
        )


@dataclass(frozen=True, eq=False)
class NullTest:
    """An observed statistic beside its null, per feature and channel.

    Parameters
    ----------
    observed
        The statistic of the data, shape ``(n_features, n_channels)``.
    null_mean, null_sd
        Mean and standard deviation over the surrogates, same shape.
    p
        Uncorrected p-values, ``(1 + #{null >= observed}) / (1 + B)``, same shape.
    p_corrected
        p-values corrected over all features and channels, same shape.
    maxima
        Each permutation's largest studentised statistic over features and channels, shape ``(1 + B,)``;
        entry 0 is the data's own.
    features, channels
        Names.
    statistic
        What was observed, e.g. ``"held-out r"``.
    scheme
        How the null was made, e.g. ``"circular shift within trials"``.
    assumption
        What that takes for granted.
    correction
        How `p_corrected` was made.
    n_permutations
        B, the identity not counted.
    seed
        Of the permutations.
    provenance
        The steps that made it.
    p_tail
        p-values that also reach below what a pair's own surrogates can count, where that is sound; those are
        flagged in `extrapolated`. Left out: `p`.
    q
        False-discovery rate at which each pair would be found (Benjamini and Hochberg, from `p_tail`). Left out: 1.
    tail_note
        How `p_tail` was made.
    notes
        Sentences: why this null, how it was drawn, and what casts doubt on it.
    """

    observed: np.ndarray
    null_mean: np.ndarray
    null_sd: np.ndarray
    p: np.ndarray
    p_corrected: np.ndarray
    maxima: np.ndarray
    features: tuple[str, ...]
    channels: tuple[str, ...]
    statistic: str
    scheme: str
    assumption: str
    correction: str
    n_permutations: int
    seed: int
    provenance: Provenance = field(default_factory=Provenance)
    p_tail: np.ndarray | None = None
    q: np.ndarray | None = None
    tail_note: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        grid = (len(self.features), len(self.channels))
        object.__setattr__(self, "p_tail", self.p if self.p_tail is None else self.p_tail)
        object.__setattr__(self, "q", np.ones(grid) if self.q is None else self.q)
        for name in ("observed", "null_mean", "null_sd", "p", "p_corrected", "p_tail", "q"):
            array = np.asarray(getattr(self, name))
            require_shape(array.shape, grid, name=name, axes="features, channels")
            object.__setattr__(self, name, read_only(array))
        require_shape(np.shape(self.maxima), (1 + self.n_permutations,), name="maxima", axes="identity, permutations")
        object.__setattr__(self, "maxima", read_only(np.asarray(self.maxima)))
        for name in ("p", "p_corrected", "p_tail", "q"):
            self._check_p(getattr(self, name), name=name)

    @staticmethod
    def _check_p(values: np.ndarray, *, name: str) -> None:
        if not np.all((values > 0) & (values <= 1)):
            raise ValueProblem(
                f"{name} must lie above 0 and at most at 1: a permutation p-value is never 0",
                got=f"{np.min(values)} to {np.max(values)}",
                fix="count the identity in: (1 + #{null >= observed}) / (1 + B)",
            )

    @property
    def z(self) -> np.ndarray:
        """The observed statistic in standard deviations of its null, shape ``(n_features, n_channels)``."""
        return (self.observed - self.null_mean) / np.where(self.null_sd > 0, self.null_sd, np.inf)

    @property
    def extrapolated(self) -> np.ndarray:
        """Where `p_tail` lies below what so many surrogates can count, bool, ``(n_features, n_channels)``."""
        return np.asarray(self.p_tail) < 1 / (1 + self.n_permutations)

    def pack(self) -> Artefact:
        """Return the test as an artefact."""
        texts = (
            *("features", "channels", "statistic", "scheme", "assumption", "correction", "n_permutations", "seed"),
            *("tail_note", "notes"),
        )
        arrays = ("observed", "null_mean", "null_sd", "p", "p_corrected", "maxima", "p_tail", "q")
        meta = {name: getattr(self, name) for name in texts} | {"provenance": self.provenance.to_json()}
        return Artefact("null-test", meta, {name: np.asarray(getattr(self, name)) for name in arrays})

    @classmethod
    def unpack(cls, artefact: Artefact) -> NullTest:
        """Read back what `pack` wrote."""
        values: dict[str, Any] = {**artefact.arrays, **artefact.meta}
        values |= {name: tuple(values[name]) for name in ("features", "channels", "notes")}
        return cls(**values | {"provenance": Provenance.from_json(values["provenance"])})
