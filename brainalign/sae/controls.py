"""Would any sparse code of this size do? Coders that have learnt nothing, for comparison.

`random_coder` keeps a coder's size and sparsity and has random directions; `matched_coder`
gives each of some features a twin: one random direction, as often active, as variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory
from brainalign.sae.calibrate import calibrate
from brainalign.sae.coder import SparseCoder
from brainalign.sae.stream import survey

_LOOKED_AT = 32_768
_COLUMNS = 256


def random_coder(coder: SparseCoder, frames: Sequence[Trajectory], *, seed: int) -> SparseCoder:
    """Return a coder of the same size and mean sparsity whose directions are random.

    Encoder and decoder are one set of unit vectors around the frames' mean, the input scale is the coder's own,
    and one threshold gives as many active features per frame as the coder has.

    Parameters
    ----------
    coder
        The learnt one.
    frames
        Of its layer, to set the threshold on.
    seed
        Of the directions.
    """
    directions = _unit_rows(coder.d_sae, coder.d_in, seed=seed, name="random-coder")
    plain = replace(
        coder,
        W_enc=directions.T,
        b_enc=np.zeros(coder.d_sae),
        W_dec=directions,
        b_dec=coder.scale * survey(frames).mean,
        rule="threshold",
        metadata={"control": "random directions", "size of": coder.content, "seed": seed},
    )
    looked_at = np.concatenate(list(_strided(frames)))
    n_active = coder.encode(looked_at).nnz / len(looked_at)
    return calibrate(plain, frames, k=int(np.clip(round(n_active), 1, coder.d_sae)))


def matched_coder(codes: Sequence[Trajectory], frames: Sequence[Trajectory], *, seed: int) -> SparseCoder:
    """Return a coder with one random direction per feature, as often active and as variable as it.

    The direction's projection, beyond the threshold that is exceeded in the feature's share of frames, is
    scaled to the feature's standard deviation. A feature active in more than half of the frames
    gets a twin that is active where the projection is above the mean of the frames.

    Parameters
    ----------
    codes
        The features, CSR, one trajectory per trial.
    frames
        The frames they were computed from, in the same order.
    seed
        Of the directions.
    """
    if len(codes) != len(frames) or any(c.axis != f.axis for c, f in zip(codes, frames, strict=False)):
        raise ShapeMismatch(
            "codes and frames must be of the same trials",
            got=f"{len(codes)} codes, {len(frames)} trials of frames, or other clocks",
            fix="give for each trial the frames that its codes were computed from",
        )
    share, spread = _activity(codes)
    if not (share > 0).all():
        raise ValueProblem(
            "a feature that is never active has no match",
            got=f"{int((share == 0).sum())} of {len(share)}",
            fix="select active features first (brainalign.features.select)",
        )
    directions = _unit_rows(len(share), frames[0].n_features, seed=seed, name="matched-coder")
    corpus = survey(frames)
    looked_at = np.concatenate(list(_strided(frames))) - corpus.mean
    threshold, scale = np.empty(len(share)), np.empty(len(share))
    for start in range(0, len(share), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        threshold[part], scale[part] = _matching(looked_at @ directions[part].T, share[part], spread[part])
    return SparseCoder(
        W_enc=(directions * scale[:, None]).T,
        b_enc=np.zeros(len(share)),
        W_dec=directions,
        b_dec=corpus.mean,
        threshold=threshold * scale,
        scale=1.0,
        k=0,
        metadata={"control": "random directions matched in activity and variance", "seed": seed},
    )


def _unit_rows(n: int, width: int, *, seed: int, name: str) -> np.ndarray:
    rows = generator(seed, name).standard_normal((n, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _strided(frames: Sequence[Trajectory]) -> Iterator[np.ndarray]:
    """Yield evenly spread frames, about `_LOOKED_AT` over the whole corpus."""
    stride = max(1, sum(item.axis.n for item in frames) // _LOOKED_AT)
    for item in frames:
        yield np.asarray(item.values[::stride])


def _activity(codes: Sequence[Trajectory]) -> tuple[np.ndarray, np.ndarray]:
    """Return each feature's share of active frames and its standard deviation."""
    whole = sparse.vstack([sparse.csr_array(item.values) for item in codes], format="csc")
    n = whole.shape[0]
    mean = whole.sum(axis=0) / n
    square = whole.multiply(whole).sum(axis=0) / n
    return whole.count_nonzero(axis=0) / n, np.sqrt(np.maximum(square - mean**2, 0))


def _matching(projected: np.ndarray, share: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each direction's threshold, and the scale that gives its code the wanted spread."""
    ordered = np.sort(projected, axis=0)
    place = np.clip(np.round((1 - share) * len(ordered)).astype(int) - 1, 0, len(ordered) - 2)
    threshold = np.maximum(ordered[place, np.arange(len(share))], 0)
    found = np.where(projected > threshold, projected, 0).std(axis=0)
    return threshold, spread / np.where(found > 0, found, np.inf)
