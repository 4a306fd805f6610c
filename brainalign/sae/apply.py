"""How do an encoder's frames become an SAE trajectory? Sparse features on the same clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory

if TYPE_CHECKING:
    from brainalign.sae.coder import SparseCoder


def apply_sae(coder: SparseCoder, trajectory: Trajectory, *, prefix: str = "sae-") -> Trajectory:
    """Turn a trajectory of dense frames into one of sparse features.

    Parameters
    ----------
    coder
        A coder trained on this layer.
    trajectory
        Dense frames, shape ``(n_frames, d_in)``.
    prefix
        Features are named ``prefix + number``.

    Returns
    -------
    Trajectory
        CSR, shape ``(n_frames, d_sae)``, on the same axis; its provenance names the coder by
        content, so two coders of one name are never mistaken for each other.
    """
    if trajectory.is_sparse:
        raise ValueProblem(
            "a coder reads dense frames",
            got=f"a sparse trajectory ({trajectory.n_features} features)",
            fix="apply it once",
        )
    if trajectory.n_features != coder.d_in:
        raise ShapeMismatch(
            "the trajectory does not fit the coder",
            got=f"{trajectory.n_features} features, the coder reads {coder.d_in}",
            fix="give frames of the encoder and layer that the coder was trained on",
        )
    provenance = trajectory.provenance.then("apply_sae", coder=coder.content, prefix=prefix, k=coder.k, rule=coder.rule)
    names = tuple(f"{prefix}{number}" for number in range(coder.d_sae))
    return Trajectory(coder.encode(trajectory.values), trajectory.axis, names, provenance)
