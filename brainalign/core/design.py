"""Stimulus beside response, ready for a model: trials kept apart.

Trials are never concatenated: lags never reach across a trial's edge, and scaling,
centring, penalties and feature selection are learnt on training trials only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from brainalign.core.arrays import read_only, require_finite, require_shape
from brainalign.core.artefact import Artefact
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Trial:
    """One uninterrupted stretch of listening.

    Parameters
    ----------
    name
        The stimulus it belongs to; trials of one name never stand in training and test at once.
    x
        The stimulus' features.
    y
        The response in volts (or scaled), shape ``(n_frames, n_channels)``.
    mask
        Which frames may be used, shape ``(n_frames,)``, bool.
    """

    name: str
    x: Trajectory
    y: np.ndarray
    mask: np.ndarray

    def __post_init__(self) -> None:
        y, mask = np.asarray(self.y), np.asarray(self.mask, dtype=bool)
        if y.ndim != 2:
            raise ShapeMismatch("y must be frames by channels", got=y.shape, fix="add a channel axis")
        require_shape(y.shape, (self.x.axis.n, y.shape[1]), name=f"y of trial {self.name!r}", axes="frames, channels")
        require_shape(mask.shape, (self.x.axis.n,), name=f"mask of trial {self.name!r}", axes="frames")
        require_finite(y, name=f"the response of trial {self.name!r}", fix="mask or repair the damaged span")
        require_finite(
            self.x.stored, name=f"the features of trial {self.name!r}", fix="check the precision the model ran in"
        )
        object.__setattr__(self, "y", read_only(y))
        object.__setattr__(self, "mask", read_only(mask))

    @property
    def axis(self) -> TimeAxis:
        """The clock shared by features and response."""
        return self.x.axis


@dataclass(frozen=True, eq=False)
class Design:
    """One listener's trials, with the lag window of the model.

    Parameters
    ----------
    trials
        The trials, in the experiment's order.
    lags
        The lag window, at the trials' rate.
    channels, positions
        Channel names and sensor positions (metres, head coordinates), one per column of ``y``.
    bands
        Groups of features: band name -> column numbers. Empty means one band.
    subject
        Whose design it is.
    provenance
        The steps that made it.
    """

    trials: tuple[Trial, ...]
    lags: Lags
    channels: tuple[str, ...]
    positions: np.ndarray
    bands: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    subject: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", tuple(self.trials))
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.trials:
            raise ValueProblem("a design needs at least one trial", got="none", fix="check the stimuli's onsets")
        require_shape(np.shape(self.positions), (len(self.channels), 3), name="positions", axes="channels, xyz")
        for trial in self.trials:
            self._check(trial)
        self._check_bands()
        object.__setattr__(self, "positions", read_only(np.asarray(self.positions, dtype=float)))

    def _check(self, trial: Trial) -> None:
        if trial.axis.rate != self.lags.rate:
            raise ValueProblem(
                "lags and trials must have one rate",
                got=f"lags at {self.lags.rate} Hz, trial {trial.name!r} at {trial.axis.rate} Hz",
                fix="build the lags with Lags.from_seconds(..., rate=trial.axis.rate)",
            )
        require_shape(trial.y.shape[1:], (len(self.channels),), name=f"channels of {trial.name!r}", axes="channels")
        if trial.x.features != self.features:
            raise ShapeMismatch(
                "all trials must have the same features in the same order",
                got=f"trial {trial.name!r} differs from {self.trials[0].name!r}",
                fix="select the same features for every trial",
            )

    def _check_bands(self) -> None:
        for name, columns in self.bands.items():
            outside = [column for column in columns if not 0 <= column < self.n_features]
            if outside:
                raise ValueProblem(
                    f"band {name!r} names columns that do not exist",
                    got=f"{outside[:4]} of {self.n_features} features",
                    fix="give column numbers of the trials' features",
                )

    @property
    def features(self) -> tuple[str, ...]:
        """Feature names, one per column of every trial's ``x``."""
        return self.trials[0].x.features

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.features)

    @property
    def n_frames(self) -> int:
        """Number of usable frames over all trials."""
        return int(sum(np.count_nonzero(trial.mask) for trial in self.trials))

    def select(self, columns: np.ndarray) -> Design:
        """Return the same trials with these features only (bands are dropped)."""
        trials = tuple(Trial(t.name, t.x.select(columns), t.y, t.mask) for t in self.trials)
        return Design(
            trials, self.lags, self.channels, self.positions, subject=self.subject, provenance=self.provenance
        )

    def pack(self) -> Artefact:
        """Return the design as an artefact: each trial's arrays under its number."""
        parts = [trial.x.pack() for trial in self.trials]
        arrays: dict[str, np.ndarray] = {"positions": self.positions}
        for i, (trial, part) in enumerate(zip(self.trials, parts, strict=True)):
            arrays |= {f"trial{i:04d}-x-{name}": array for name, array in part.arrays.items()}
            arrays |= {f"trial{i:04d}-y": trial.y, f"trial{i:04d}-mask": trial.mask}
        meta = {
            "trials": [
                {"name": trial.name} | {key: part.meta[key] for key in ("axis", "sparse", "provenance")}
                for trial, part in zip(self.trials, parts, strict=True)
            ],
            "features": self.features,
            "lags": self.lags.to_json(),
            "channels": self.channels,
            "bands": self.bands,
            "subject": self.subject,
            "provenance": self.provenance.to_json(),
        }
        return Artefact("design", meta, arrays)

    @classmethod
    def unpack(cls, artefact: Artefact) -> Design:
        """Read back what `pack` wrote."""
        meta = artefact.meta
        return cls(
            trials=tuple(_unpack_trial(artefact, i) for i in range(len(meta["trials"]))),
            lags=Lags.from_json(meta["lags"]),
            channels=tuple(meta["channels"]),
            positions=artefact.arrays["positions"],
            bands={name: tuple(columns) for name, columns in meta["bands"].items()},
            subject=meta["subject"],
            provenance=Provenance.from_json(meta["provenance"]),
        )


def _unpack_trial(artefact: Artefact, number: int) -> Trial:
    entry, prefix = artefact.meta["trials"][number], f"trial{number:04d}-"
    arrays = {name.removeprefix(prefix): value for name, value in artefact.arrays.items() if name.startswith(prefix)}
    part = Artefact(
        "trajectory",
        {**entry, "features": artefact.meta["features"]},
        {name.removeprefix("x-"): value for name, value in arrays.items() if name.startswith("x-")},
    )
    return Trial(entry["name"], Trajectory.unpack(part), arrays["y"], arrays["mask"])
