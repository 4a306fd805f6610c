"""How does a trajectory reach other people's tools? Labels at the edge; the exact clock goes with them.

Both forms hold every value, zeros included, so a sparse trajectory is refused where that would
take more memory than most machines have: choose features first, or write a Zarr group instead.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from brainalign.core.errors import GridMismatch, MissingPackage, ValueProblem
from brainalign.core.hashing import canonical_json
from brainalign.core.provenance import Provenance
from brainalign.core.time import TimeAxis
from brainalign.core.trajectory import Trajectory

if TYPE_CHECKING:
    import mne
    import xarray

DIMS = ("time", "feature")
MOST_BYTES = 1 << 32
# Of a step: what a time may be off its frame after a trip through another tool.
_SLACK = 1e-3


def to_xarray(trajectory: Trajectory) -> xarray.DataArray:
    """Return a trajectory as a DataArray (needs xarray).

    Times are floats, and labels for people: joining two arrays on them can lose frames. The exact
    clock stands in the attributes ``rate`` and ``t0`` (of the whole), as fractions in text.

    Returns
    -------
    xarray.DataArray
        Dimensions ``time`` and ``feature``, float32. A dense trajectory's values are shared, not copied;
        a sparse one becomes dense, up to 4 GiB.
    """
    try:
        import xarray
    except ImportError as error:
        raise MissingPackage(
            "labelled arrays need xarray", got=error, fix="pip install 'brainalign[labels]'"
        ) from error

    return xarray.DataArray(
        _dense(trajectory, bytes_each=4),
        dims=DIMS,
        coords={
            "time": ("time", trajectory.axis.times, {"units": "s", "long_name": "frame centre"}),
            "feature": list(trajectory.features),
        },
        name="trajectory",
        attrs=exact_clock(trajectory),
    )


def exact_clock(trajectory: Trajectory) -> dict[str, str]:
    """Return the clock as text that loses nothing, and the provenance as JSON."""
    axis = trajectory.axis
    steps = canonical_json(trajectory.provenance.to_json())
    return {"rate": str(axis.rate), "t0": str(axis.t0), "provenance": steps}


def from_xarray(array: xarray.DataArray) -> Trajectory:
    """Read back what `to_xarray` gave, or a part of it.

    A stretch of time keeps its exact clock. Frames with gaps between them, or moved times, are refused.
    """
    missing = [name for name in ("rate", "t0", "provenance") if name not in array.attrs]
    if missing or set(array.dims) != set(DIMS):
        raise ValueProblem(
            "this DataArray is not a trajectory's",
            got=f"dimensions {array.dims}, attributes {sorted(array.attrs)}",
            fix="use time and feature, and keep rate, t0 and provenance (xarray.set_options(keep_attrs=True))",
        )
    ordered = array.transpose(*DIMS)
    axis = _part_of_clock(
        np.asarray(ordered["time"].values, float), TimeAxis(array.attrs["rate"], 0, array.attrs["t0"])
    )
    provenance = Provenance.from_json(json.loads(array.attrs["provenance"]))
    names = tuple(str(name) for name in ordered["feature"].values)
    return Trajectory(np.asarray(ordered.values), axis, names, provenance)


def _part_of_clock(times: np.ndarray, clock: TimeAxis) -> TimeAxis:
    """Return the part of a clock that labels name, by whole frames."""
    first = clock.index(float(times[0])) if times.size else 0
    axis = TimeAxis(clock.rate, times.size, clock.time(first))
    off = np.abs(times - axis.times).max(initial=0) * float(clock.rate)
    if off > _SLACK:
        raise GridMismatch(
            "the times are not those of successive frames of the exact clock",
            got=f"up to {off:.3g} frames off {axis}",
            fix="give a stretch of time without gaps, as to_xarray made it",
        )
    return axis


def to_mne(trajectory: Trajectory) -> mne.io.RawArray:
    """Return a trajectory as an MNE Raw of misc channels, in the features' own units.

    MNE counts from 0 at the first sample, so frame ``i`` is at ``raw.times[i] + t0``. What MNE has no place for
    stands as JSON in ``raw.info["description"]``, which FIF files keep: the exact ``rate`` (MNE's
    own is a float) and ``t0``, and the provenance.

    Returns
    -------
    mne.io.RawArray
        float64, a copy of up to 4 GiB; one channel per feature.
    """
    import mne

    twice = [name for name, count in Counter(trajectory.features).items() if count > 1]
    if twice or not trajectory.n_features:
        raise ValueProblem(
            "MNE needs channels, and names that differ",
            got=f"{trajectory.n_features} features, {twice[:3]} more than once",
            fix="choose features with select, or name them with renamed",
        )
    values = _dense(trajectory, bytes_each=8)
    info = mne.create_info(list(trajectory.features), float(trajectory.axis.rate), "misc", verbose="error")
    info["description"] = canonical_json(exact_clock(trajectory))
    return mne.io.RawArray(np.array(values.T, dtype=float), info, verbose="error")


def _dense(trajectory: Trajectory, *, bytes_each: int) -> np.ndarray:
    """Return all values, refusing to make far more of them than there were."""
    if isinstance(trajectory.values, np.ndarray) and bytes_each == trajectory.values.itemsize:
        return trajectory.values
    require_room(trajectory.values.shape, bytes_each=bytes_each, what="this form of a trajectory")
    return trajectory.values if isinstance(trajectory.values, np.ndarray) else trajectory.values.toarray()


def require_room(shape: Sequence[int], *, bytes_each: int, what: str) -> None:
    """Refuse a dense array of more than `MOST_BYTES`."""
    n_bytes = shape[0] * shape[1] * bytes_each
    if n_bytes > MOST_BYTES:
        raise ValueProblem(
            f"{what} holds every value, zeros included, and would be too large",
            got=f"{shape[0]} frames of {shape[1]} features: {n_bytes / 2**30:.1f} GiB, at most {MOST_BYTES >> 30} GiB",
            fix="choose features with select or time with frames first",
        )
