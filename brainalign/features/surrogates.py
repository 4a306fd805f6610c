"""What would a feature with the same spectrum, but not this course, have explained? Surrogate trajectories.

Time reversal keeps values, sparsity and spectrum; phase randomisation keeps the spectrum and, of
several features, what they share; a random projection keeps the distances between frames
and mixes what the features are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy import fft, sparse

from brainalign.core.errors import ValueProblem, unknown_name
from brainalign.core.seeds import generator
from brainalign.core.trajectory import Trajectory
from brainalign.features.select import require_same_features

Projection = Literal["gaussian", "signs"]
_BLOCK_BYTES = 1 << 26
# One feature at one frame, while its spectrum is at work: float64 in and out, and complex128 between.
_BYTES_EACH = 32


def time_reversed(trajectory: Trajectory) -> Trajectory:
    """Return the trajectory played backwards on its own clock; sparse stays sparse.

    Each feature keeps its values, sparsity and power spectrum. Attacks become decays: a response
    that follows rises will not fit.
    """
    values = trajectory.values[::-1]
    return replace(trajectory, values=values, provenance=trajectory.provenance.then("time_reversed"))


def phase_randomised(
    trajectory: Trajectory, *, seed: int, together: bool = True, most_bytes: int = 1 << 31
) -> Trajectory:
    """Turn the phase of every frequency at random, which keeps each feature's power spectrum and mean.

    Values become Gaussian-like: sparsity, positivity and bursts are lost. The signal is taken to go
    round from its end to its beginning.

    Parameters
    ----------
    trajectory
        Dense, or sparse: the result is dense in any case.
    seed
        Of the phases. Trials need seeds of their own (`brainalign.core.seeds.child_seed`).
    together
        Turn the phases of all features by the same angles, which keeps their cross-spectra and so
        all correlations between them at every lag. Otherwise each has its own angles.
    most_bytes
        Refuse to make a dense trajectory larger than this.

    Returns
    -------
    Trajectory
        Dense float32 on the same clock.
    """
    n, n_features = trajectory.values.shape
    if n * n_features * 4 > most_bytes:
        raise ValueProblem(
            "a phase-randomised trajectory is dense, and this one would be too large",
            got=f"{n} frames of {n_features} features: {n * n_features * 4 / 2**30:.1f} GiB",
            fix="select features first (brainalign.features.select), or allow more with most_bytes",
        )
    values = np.empty((n, n_features), dtype=np.float32)
    rng, turn = generator(seed, "phases"), np.ones((n // 2 + 1, 1), dtype=complex)
    if together:
        turn = _turns(rng, n, 1)
    width = max(1, _BLOCK_BYTES // (_BYTES_EACH * max(1, n)))
    for start in range(0, n_features if n else 0, width):
        block = trajectory.block(start, min(start + width, n_features)).astype(float)
        turned = fft.rfft(block, axis=0) * (turn if together else _turns(rng, n, block.shape[1]))
        values[:, start : start + width] = fft.irfft(turned, n, axis=0)
    provenance = trajectory.provenance.then("phase_randomised", seed=seed, together=together)
    return replace(trajectory, values=values, provenance=provenance)


def _turns(rng: np.random.Generator, n: int, n_features: int) -> np.ndarray:
    """Draw unit complex numbers, shape ``(n // 2 + 1, n_features)``, feature by feature; the mean stays.

    So does the highest frequency of an even number of frames up to its sign: a real signal has no other choice.
    """
    turns = np.exp(2j * np.pi * rng.random((n_features, n // 2 + 1)))
    turns[:, 0] = 1
    if n % 2 == 0:
        turns[:, -1] = np.where(turns[:, -1].real < 0, -1, 1)
    return turns.T


def random_projection(
    trajectories: Sequence[Trajectory], *, n_features: int, seed: int, kind: Projection = "gaussian"
) -> tuple[Trajectory, ...]:
    """Mix the features with random weights, the same for all trials.

    Distances between frames are kept, by Johnson and Lindenstrauss (1984): with ``n_features >= 4 ln(N) /
    (e^2 / 2 - e^3 / 3)`` there is a map under which the squared distances between N frames all change by a share of
    less than e; one at random does for any one pair with a probability of at least ``1 - 2 / N^2``.

    Parameters
    ----------
    trajectories
        Trials with the same features, dense or sparse.
    n_features
        Number of mixtures.
    seed
        Of the weights.
    kind
        ``"gaussian"``: normal weights. ``"signs"``: one in three weights is plus or minus root 3, the others are zero
        (Achlioptas, 2003), with the same bound.

    Returns
    -------
    tuple of Trajectory
        Dense float32, ``"projection-0"`` and so on.
    """
    require_same_features(trajectories)
    if kind not in PROJECTIONS:
        raise unknown_name(kind, among=PROJECTIONS, kind="random projection")
    if n_features < 1:
        raise ValueProblem("a projection has at least one feature", got=n_features, fix="give n_features >= 1")
    weights = PROJECTIONS[kind](generator(seed, "projection"), (trajectories[0].n_features, n_features))
    weights = (weights / np.sqrt(n_features)).astype(np.float32)
    names = tuple(f"projection-{i}" for i in range(n_features))
    return tuple(_projected(item, weights, names, kind=kind, seed=seed) for item in trajectories)


def _projected(
    trajectory: Trajectory, weights: np.ndarray | sparse.csr_array, names: tuple[str, ...], *, kind: str, seed: int
) -> Trajectory:
    mixed = trajectory.values @ weights
    values = mixed.toarray() if sparse.issparse(mixed) else np.asarray(mixed)
    provenance = trajectory.provenance.then("random_projection", kind=kind, n_features=len(names), seed=seed)
    return Trajectory(values, trajectory.axis, names, provenance)


def _gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_normal(shape)


def _signs(rng: np.random.Generator, shape: tuple[int, int]) -> sparse.csr_array:
    drawn = rng.integers(6, size=shape, dtype=np.int8)
    return sparse.csr_array(np.sqrt(3.0) * ((drawn == 0).astype(np.int8) - (drawn == 1).astype(np.int8)))


PROJECTIONS: Mapping[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray | sparse.csr_array]] = {
    "gaussian": _gaussian,
    "signs": _signs,
}
