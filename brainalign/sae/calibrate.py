"""Where does the threshold go? Where the mean number of active features per frame is k.

A running average of a batch's smallest kept value lags behind a short run (L0 came out
24 % low after 1,000 steps, 11 % after 2,500), and published files may hold no threshold
at all. So it is set here, once, from frames: the n * k largest positive pre-activations
of n frames lie above it and all others do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import SparseCoder
from brainalign.sae.stream import survey

MAX_FRAMES = 131_072


def calibrate(
    coder: SparseCoder,
    trajectories: Trajectory | Sequence[Trajectory],
    *,
    k: int | None = None,
    normalise: bool = False,
    max_frames: int = MAX_FRAMES,
) -> SparseCoder:
    """Return the coder with one threshold for all features, such that mean L0 is ``k``.

    Parameters
    ----------
    coder
        Any coder; its old threshold is not looked at.
    trajectories
        Frames of its layer, at best not those that are analysed afterwards.
    k
        Mean number of active features per frame; the coder's own by default.
    normalise
        Set the input scale as well, to give these frames a mean squared norm of 1. For
        published coders that were trained on normalised input and do not hold the factor
        (AudioSAE says "unit norm" and not of what). By default the scale stays as it is.
    max_frames
        Frames looked at, spread evenly over the corpus.
    """
    frames = (trajectories,) if isinstance(trajectories, Trajectory) else tuple(trajectories)
    corpus = survey(frames)
    k = coder.k if k is None else k
    if not 1 <= k <= coder.d_sae:
        raise ValueProblem("k must lie between 1 and d_sae", got=f"k={k}, d_sae={coder.d_sae}", fix="give k=")
    scaled = replace(coder, scale=corpus.scale) if normalise else coder
    threshold, n_frames = _threshold(scaled, frames, k=k, stride=-(-corpus.n_frames // max_frames))
    note = {"calibration": {"k": k, "n_frames": n_frames, "normalised": normalise}}
    return replace(scaled, threshold=np.full(coder.d_sae, threshold), k=k, metadata={**coder.metadata, **note})


def _threshold(coder: SparseCoder, frames: Sequence[Trajectory], *, k: int, stride: int) -> tuple[float, int]:
    """Return the value with ``n * k`` pre-activations above it, halfway to the next one below."""
    n_frames = sum(-(-item.axis.n // stride) for item in frames)
    n_top = n_frames * k + 1
    floor, kept = 0.0, [np.zeros(0, dtype=np.float32)]
    for pre in _pre_activations(coder, frames, stride=stride):
        kept.append(pre[pre > floor])
        if sum(map(len, kept)) > 2 * n_top:
            kept = [_largest(np.concatenate(kept), n_top)]
            floor = float(kept[0].min())
    top = np.sort(_largest(np.concatenate(kept), n_top))
    return (float(top[:2].mean(dtype=np.float64)) if top.size == n_top else 0.0), n_frames


def _pre_activations(coder: SparseCoder, frames: Sequence[Trajectory], *, stride: int) -> Iterator[np.ndarray]:
    for item in frames:
        yield from coder.pre_activations(item.values[::stride])


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    return values if values.size <= n else np.partition(values, values.size - n)[values.size - n :]
