"""What does a coder say of its own making? The recipe, the frames, and what tells one run from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from brainalign.core.hashing import array_digest, digest, plain
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.loss import Parameters
from brainalign.sae.mixture import Mixture
from brainalign.sae.settings import SaeTraining
from brainalign.sae.stream import Corpus, survey


def as_coder(parameters: Parameters, corpus: Corpus, settings: SaeTraining, *, notes: Mapping[str, Any]) -> SparseCoder:
    """Return trained parameters as a coder without a threshold, with the recipe and notes as metadata."""
    arrays = {name: tensor.detach().numpy() for name, tensor in parameters.items()}
    return SparseCoder(
        W_enc=arrays["encoder"].T,
        b_enc=arrays["b_enc"],
        W_dec=arrays["decoder"],
        b_dec=arrays["b_dec"],
        threshold=np.full_like(arrays["b_enc"], np.nan),
        scale=corpus.scale,
        k=settings.k,
        unit_frames=settings.normalise == "frame",
        metadata={"architecture": settings.variant, "training": plain(settings), **notes},
    )


def common_rate(frames: Sequence[Trajectory]) -> float | None:
    """Return the frame rate that all trajectories share, in Hz, or None."""
    rates = {item.axis.rate for item in frames}
    return float(rates.pop()) if len(rates) == 1 else None


def origin_of(frames: Sequence[Trajectory]) -> dict[str, Any]:
    """Return what all trajectories agree on: the clock, and the step that made them (encoder, layer)."""
    notes: dict[str, Any] = {"n_trajectories": len(frames)}
    for name, values in (("rate", {i.axis.rate for i in frames}), ("first_centre", {i.axis.t0 for i in frames})):
        notes |= {name: str(values.pop())} if len(values) == 1 else {}
    makers = [item.provenance.steps[-1] for item in frames if item.provenance.steps]
    if len(makers) == len(frames) and all(maker == makers[0] for maker in makers):
        notes["source"] = {"name": makers[0].name, **makers[0].parameters}
    return notes


def identity_of(
    settings: SaeTraining,
    corpus: Corpus,
    *,
    frames: Sequence[Trajectory],
    seed: int,
    held_out: Sequence[Trajectory],
    mixture: Mixture | None,
) -> dict[str, Any]:
    """Return what must be the same for a checkpoint to be continued: settings, seed, frames, weights."""
    unseen = _fingerprint(survey(held_out), held_out) if held_out else None
    weights = mixture.to_json() if mixture else None
    made_of = {"frames": _fingerprint(corpus, frames), "held_out": unseen, "mixture": weights}
    return {"settings": plain(settings), "seed": seed, **made_of}


def _fingerprint(corpus: Corpus, frames: Sequence[Trajectory]) -> str:
    """Return a digest of the frames' numbers and sums (a pass over all of them has been made already)."""
    return digest([[item.axis.n for item in frames], array_digest(corpus.mean), corpus.mean_square_norm])
