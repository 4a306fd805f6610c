"""What was handed over? Arrays, lists of trials, trajectories, recordings and MNE objects, trial by trial.

MNE objects are known by what they can do, so that MNE itself need not be imported. Their
data channels are taken, as for `brainalign.align`; bad channels are refused, never dropped
in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import sparse

from brainalign.align.build import BRAIN_KINDS
from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis, exact, nearest
from brainalign.core.trajectory import Trajectory

Kind = Literal["one", "list", "stack"]


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a model, as it was given.

    Parameters
    ----------
    kind
        One uninterrupted signal, a list of trials, or one array of trials.
    parts
        Per trial: what scikit-learn takes for a matrix of frames by columns (or, for a single output, a vector).
    axes
        Per trial, its clock; None where an array has none.
    names
        One per column; empty if they have none.
    positions
        Sensor positions in metres in head coordinates, ``(n_columns, 3)``, or None.
    """

    kind: Kind
    parts: tuple[Any, ...]
    axes: tuple[TimeAxis | None, ...]
    names: tuple[str, ...] = ()
    positions: np.ndarray | None = None

    def put_back(self, parts: Sequence[Any]) -> Any:
        """Return one array per trial in the container that the trials came in."""
        if self.kind == "one":
            return parts[0]
        return np.stack(parts) if self.kind == "stack" else list(parts)


def open_side(value: Any, *, in_trials: bool = False) -> Side:
    """Find the trials in whatever was given.

    Parameters
    ----------
    value
        A matrix; a list of matrices, trajectories, recordings or Raws; an array of trials by frames by columns;
        a `Trajectory`, a `Recording`; an MNE Raw, Epochs or Evoked.
    in_trials
        Whether the other side came in trials: then a list is a list of trials, and a matrix trials by frames.
    """
    if isinstance(value, (list, tuple)) and len(value) and (in_trials or all(map(_is_trial, value))):
        return _together([_opened(item) for item in value])
    if in_trials and not _has_channels(value) and not sparse.issparse(value) and np.ndim(value) == 2:
        return _stack(np.asarray(value))
    return _opened(value)


def _is_trial(item: Any) -> bool:
    return isinstance(item, (Trajectory, Recording)) or _has_channels(item) or getattr(item, "ndim", None) == 2


def _has_channels(value: Any) -> bool:
    """Tell MNE's Raw, Epochs and Evoked from anything else."""
    return all(hasattr(value, name) for name in ("get_data", "get_channel_types", "ch_names", "info"))


def _opened(value: Any) -> Side:
    if isinstance(value, Trajectory):
        return Side("one", (value.values,), (value.axis,), value.features)
    if isinstance(value, Recording):
        kept = _brain_channels(value.channels, value.kinds, value.bads)
        names = tuple(value.channels[i] for i in kept)
        return Side("one", (value.values[:, kept],), (value.axis,), names, value.positions[kept])
    if _has_channels(value):
        return _from_mne(value)
    if not sparse.issparse(value) and getattr(value, "ndim", 0) == 3:
        return _stack(np.asarray(value))
    return Side("one", (value,), (None,))


def _stack(values: np.ndarray) -> Side:
    return Side("stack", tuple(values), (None,) * len(values))


def _from_mne(value: Any) -> Side:
    kept = _brain_channels(value.ch_names, value.get_channel_types(), value.info["bads"])
    data = np.swapaxes(value.get_data(picks=kept), -1, -2)
    rate, n = exact(float(value.info["sfreq"])), data.shape[-2]
    # Rounded to the sampling grid, on which MNE's times lie but for their float representation.
    axis = TimeAxis(rate, n, nearest(exact(float(value.times[0])) * rate) / rate)
    positions = np.array([value.info["chs"][i]["loc"][:3] for i in kept], dtype=float)
    positions[(positions == 0).all(axis=1)] = np.nan
    names = tuple(value.ch_names[i] for i in kept)
    if data.ndim == 2:
        return Side("one", (data,), (axis,), names, positions)
    return Side("stack", tuple(data), (axis,) * len(data), names, positions)


def _brain_channels(channels: Sequence[str], kinds: Sequence[str], bads: Sequence[str]) -> list[int]:
    kept = [i for i, kind in enumerate(kinds) if kind in BRAIN_KINDS]
    if not kept:
        raise ValueProblem(
            "the recording has no brain channels",
            got=f"channels of type {sorted(set(kinds))}",
            fix=f"set the channels' types; these are used: {', '.join(BRAIN_KINDS)}",
        )
    bad = [channels[i] for i in kept if channels[i] in bads]
    if bad:
        raise ValueProblem(
            "the recording still has bad channels", got=", ".join(bad), fix="interpolate them, or drop them"
        )
    return kept


def _together(sides: Sequence[Side]) -> Side:
    """Make one side of trials that were opened one by one."""
    first = sides[0]
    for number, side in enumerate(sides):
        if side.kind != "one":
            raise ShapeMismatch(
                "every item of a list must be one trial",
                got=f"item {number} holds {len(side.parts)} trials",
                fix="give one array of trials, or a flat list of trials",
            )
        if side.names != first.names:
            raise ShapeMismatch(
                "all trials must have the same columns in the same order",
                got=f"trial {number} has {_few(side.names)}, trial 0 has {_few(first.names)}",
                fix="select the same columns for every trial",
            )
    axes = tuple(side.axes[0] for side in sides)
    return replace(first, kind="list", parts=tuple(side.parts[0] for side in sides), axes=axes)


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}" if names else "no names"
