"""What do plain bases make of the same frames? PCA, ICA and NMF as coders, to stand beside a sparse autoencoder.

Each is a `SparseCoder`, so it encodes, decodes, applies, measures and saves as any other. With ``k`` only the k largest
components of each frame stay, and a basis compares with an autoencoder at equal L0; without, at equal dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory
from brainalign.sae.coder import Rule, SparseCoder
from brainalign.sae.nonnegative import learn_parts
from brainalign.sae.stream import Corpus, blocks, survey

MAX_FRAMES = 65_536
N_ITERATIONS, TOLERANCE = 200, 1e-4


def pca(trajectories: Sequence[Trajectory], n_components: int, *, k: int | None = None) -> SparseCoder:
    """Return the frames' leading principal components as a coder.

    Two passes over the frames in blocks (mean, then covariance), at a memory of ``d_in x d_in``.

    Parameters
    ----------
    trajectories
        Dense frames of one layer.
    n_components
        Number of components, at most the number of inputs.
    k
        How many components, those farthest from zero, each frame keeps; None means all.
    """
    frames, corpus = tuple(trajectories), survey(trajectories)
    variances, axes = _principal(frames, corpus, n=n_components)
    notes = {"architecture": "pca", "variance": (variances / corpus.variance).tolist()}
    return _basis(axes.T, axes, corpus, k=k, notes=notes)


def ica(
    trajectories: Sequence[Trajectory],
    n_components: int,
    *,
    seed: int,
    k: int | None = None,
    max_frames: int = MAX_FRAMES,
) -> SparseCoder:
    """Return independent components as a coder: FastICA (symmetric, log cosh) of the leading principal components.

    A component's sign makes its skewness positive, its decoder row has norm 1, and components come in the order
    of the variance they carry.

    Parameters
    ----------
    trajectories
        Dense frames of one layer.
    n_components
        Number of components, at most the number of inputs.
    seed
        Of the first rotation.
    k
        How many components, those farthest from zero, each frame keeps; None means all.
    max_frames
        Frames, spread evenly, on which the rotation is found: they are held in memory at ``n_components`` numbers each.

    Raises
    ------
    ValueProblem
        More components than the frames have dimensions, or a rotation that does not settle.
    """
    frames, corpus = tuple(trajectories), survey(trajectories)
    variances, axes = _principal(frames, corpus, n=n_components)
    if variances[-1] <= 1e-9 * variances[0]:
        got = f"component {n_components} has {variances[-1] / variances[0]:.1e} of the first one's variance"
        raise ValueProblem("frames have fewer dimensions than components are asked for", got=got, fix="ask for fewer")
    stride = -(-corpus.n_frames // max_frames)
    whitening = axes.T / np.sqrt(variances)
    white = np.concatenate([(block - corpus.mean) @ whitening for block in _strided(frames, stride=stride)])
    white -= white.mean(axis=0)
    rotation = _rotation(white, rng=generator(seed, "ica"))
    sources = white @ rotation.T
    rotation = rotation * np.where((sources**3).mean(axis=0) < 0, -1.0, 1.0)[:, None]
    rows = (rotation * np.sqrt(variances)) @ axes
    sizes = np.linalg.norm(rows, axis=1)
    order = np.argsort(-sizes, kind="stable")
    encoder = (whitening @ rotation.T * sizes)[:, order]
    notes = {"architecture": "ica", "seed": seed, "n_looked_at": len(white)}
    return _basis(encoder, (rows / sizes[:, None])[order], corpus, k=k, notes=notes)


def nmf(
    trajectories: Sequence[Trajectory],
    n_components: int,
    *,
    seed: int,
    k: int | None = None,
    origin: Literal["minimum", "mean"] = "minimum",
    epochs: float = 3.0,
    n_batch: int = 1024,
) -> SparseCoder:
    """Return non-negative parts as a coder: each frame, seen from an origin, is a sum of them with weights >= 0.

    Learnt online at bounded memory, in shuffled batches, after one or two passes that find the origin.

    Parameters
    ----------
    trajectories
        Dense frames of one layer.
    n_components
        Number of parts; it may exceed the number of inputs.
    seed
        Of the first parts and of the frames' order.
    k
        How many parts, those with the largest weights, each frame keeps; their weights are fitted again. None means
        all.
    origin
        A model's frames have a sign and need one. ``"minimum"``: each input is counted from its minimum over the
        training frames, and parts are non-negative too (NMF; what lies below in other frames is fitted as well as
        weights >= 0 allow). It takes parts to reach the mean frame, so few of them explain little.
        ``"mean"``: from the mean frame, by parts of either sign (semi-NMF, Ding et al. 2010).
    epochs
        Passes over the frames.
    n_batch
        Frames per update.
    """
    if origin not in ORIGINS:
        raise unknown_name(origin, among=ORIGINS, kind="origin of non-negative parts")
    frames, corpus = tuple(trajectories), survey(trajectories)
    if n_components < 1:
        raise ValueProblem("a basis needs components", got=n_components, fix="give n_components >= 1")
    zero = ORIGINS[origin](frames, corpus)
    rng, n_steps = generator(seed, "nmf"), max(1, round(epochs * corpus.n_frames / n_batch))
    signed = origin == "mean"
    parts = learn_parts(frames, zero, n_components, signed=signed, n_steps=n_steps, n_batch=n_batch, rng=rng)
    notes = {"architecture": "nmf", "origin": origin, "seed": seed, "n_steps": n_steps}
    return _basis(parts.T, parts, replace(corpus, mean=zero), k=k, notes=notes, rule="non-negative")


def _minimum(frames: Sequence[Trajectory], corpus: Corpus) -> np.ndarray:
    return np.min([np.min(block, axis=0) for block in blocks(frames)], axis=0).astype(np.float64)


def _mean(frames: Sequence[Trajectory], corpus: Corpus) -> np.ndarray:
    return corpus.mean


ORIGINS: dict[str, Callable[[Sequence[Trajectory], Corpus], np.ndarray]] = {"minimum": _minimum, "mean": _mean}


def _basis(
    encoder: np.ndarray,
    rows: np.ndarray,
    corpus: Corpus,
    *,
    k: int | None,
    notes: dict[str, Any],
    rule: Rule = "signed-top-k",
) -> SparseCoder:
    n = len(rows)
    if k is not None and not 1 <= k <= n:
        raise ValueProblem("k must lie between 1 and the number of components", got=f"k={k}, {n} of them", fix="set k")
    return SparseCoder(
        W_enc=encoder,
        b_enc=np.zeros(n),
        W_dec=rows,
        b_dec=corpus.mean * corpus.scale,
        threshold=np.zeros(n),
        scale=corpus.scale,
        k=n if k is None else k,
        metadata={**notes, "n_frames": corpus.n_frames},
        rule=rule,
    )


def _principal(frames: Sequence[Trajectory], corpus: Corpus, *, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the n largest variances and their axes, shape ``(n, d_in)``; an axis' largest entry is positive."""
    if not 1 <= n <= corpus.d_in:
        got = f"n_components={n}, {corpus.d_in} inputs"
        raise ValueProblem("a rotation has at most as many components as inputs", got=got, fix="lower n_components")
    covariance = np.zeros((corpus.d_in, corpus.d_in))
    for block in blocks(frames):
        centred = block.astype(np.float64) - corpus.mean
        covariance += centred.T @ centred
    variances, axes = np.linalg.eigh(covariance / corpus.n_frames)
    variances, axes = np.maximum(variances[::-1][:n], 0), axes[:, ::-1][:, :n].T
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return variances, axes * np.sign(largest)


def _strided(frames: Sequence[Trajectory], *, stride: int) -> Iterator[np.ndarray]:
    for item in frames:
        yield np.asarray(item.values[::stride], dtype=np.float64)


def _rotation(white: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return the rotation whose components are least Gaussian, by FastICA's fixed point."""
    n = white.shape[1]
    rotation = _orthogonal(rng.standard_normal((n, n)))
    change = np.inf
    for _ in range(N_ITERATIONS):
        bent = np.tanh(white @ rotation.T)
        moved = _orthogonal(bent.T @ white / len(white) - (1 - bent**2).mean(axis=0)[:, None] * rotation)
        change = float(np.abs(np.abs(np.einsum("ij,ij->i", moved, rotation)) - 1).max())
        rotation = moved
        if change < TOLERANCE:
            return rotation
    got = f"a change of {change:.1e} after {N_ITERATIONS} rounds on {len(white)} frames"
    raise ValueProblem("independent components do not settle", got=got, fix="ask for fewer, or raise max_frames")


def _orthogonal(matrix: np.ndarray) -> np.ndarray:
    """Return the nearest orthogonal matrix."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right
