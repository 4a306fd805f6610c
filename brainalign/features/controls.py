"""Would the analysis find features that nobody heard? Decoys, hidden among the real ones.

A decoy is the same feature computed from audio that was never played. It has the real one's
sparsity, spectrum and autocorrelation, and no relation to the response. Once mixed, nothing
but the key tells the two apart, so whatever the analysis reports about decoys is its error rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from brainalign.core.errors import GridMismatch, ShapeMismatch
from brainalign.core.provenance import Provenance
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory, Values
from brainalign.features.select import require_same_features


@dataclass(frozen=True)
class DecoyKey:
    """What the mixed columns are: to be opened after the analysis.

    Parameters
    ----------
    names
        Each mixed column's original feature name.
    is_decoy
        Whether it was computed from audio that was never played.
    """

    names: tuple[str, ...]
    is_decoy: tuple[bool, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the key as JSON values."""
        return {"names": list(self.names), "is_decoy": list(self.is_decoy)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DecoyKey:
        """Read back what `to_json` wrote."""
        return cls(tuple(values["names"]), tuple(bool(decoy) for decoy in values["is_decoy"]))


def mix_with_decoys(
    played: Sequence[Trajectory], unplayed: Sequence[Trajectory], *, seed: int
) -> tuple[tuple[Trajectory, ...], DecoyKey]:
    """Hide decoys among the features, under names that say nothing.

    Parameters
    ----------
    played
        The trials' features.
    unplayed
        For each trial, the same features computed from audio that was never played, at the
        same rate and origin and at least as long (what is longer is cut off).
    seed
        Decides the order of the columns: one order for all trials.

    Returns
    -------
    mixed : tuple of Trajectory
        Twice as many features, named ``"c0000"``, ``"c0001"``, ...; sparse stays sparse. Their
        provenance holds neither the seed nor what either half was made from.
    key : DecoyKey
        Which column is what.
    """
    if len(played) != len(unplayed):
        raise ShapeMismatch(
            "every trial needs its decoys",
            got=f"{len(played)} trials, {len(unplayed)} of decoys",
            fix="compute decoys for each trial",
        )
    require_same_features([*played, *unplayed])
    names = played[0].features
    order = generator(seed, "decoys").permutation(2 * len(names))
    mixed = tuple(
        _mixed(one, other, order, trial=i) for i, (one, other) in enumerate(zip(played, unplayed, strict=True))
    )
    key = DecoyKey(tuple(names[column % len(names)] for column in order), tuple(bool(c >= len(names)) for c in order))
    return mixed, key


def _mixed(played: Trajectory, unplayed: Trajectory, order: np.ndarray, *, trial: int) -> Trajectory:
    axis, other = played.axis, unplayed.axis
    if (axis.rate, axis.t0) != (other.rate, other.t0) or other.n < axis.n:
        raise GridMismatch(
            f"the decoys of trial {trial} are not on its clock, or too short",
            got=f"trial: {axis}; decoys: {other}",
            fix="compute them with the same encoder from audio at least as long",
        )
    values = _side_by_side(played.values, unplayed.values[: axis.n], order)
    names = tuple(f"c{i:04d}" for i in range(order.size))
    return Trajectory(values, axis, names, Provenance().then("mix_with_decoys", n_features=order.size))


def _side_by_side(played: Values, unplayed: Values, order: np.ndarray) -> Values:
    if not (sparse.issparse(played) and sparse.issparse(unplayed)):
        return np.hstack([_dense(played), _dense(unplayed)])[:, order]
    both = sparse.csr_array(sparse.hstack([played, unplayed], format="csr"))
    # Renumber the stored columns, which never makes anything dense, and sort them again, so
    # that not even the order in memory tells which half a value came from.
    place = np.argsort(order).astype(both.indices.dtype)
    mixed = sparse.csr_array((both.data, place[both.indices], both.indptr), shape=both.shape)
    mixed.sort_indices()
    return mixed


def _dense(values: Values) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.toarray()
