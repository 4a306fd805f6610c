"""How does each penalty predict held-out trials? What can be said before any response is seen.

With training moments ``Sxx = V diag(e) V'`` one small eigendecomposition serves all
penalties, channels and permutations: for penalty a, ``g = 1 / (e + a)``, ``z = V' Sxy_train``
and ``q = V' Sxy_test``, the weights are ``V (g z)`` and the held-out correlation is

    r = sum_l g_l z_l q_l / sqrt( D(a) Syy_test ),   D(a) = sum_lm g_l z_l M_lm z_m g_m,   M = V' Sxx_test V

`D` need not be worked out penalty by penalty. Partial fractions,

    g_l g_m = (g_l - g_m) / (e_m - e_l),   so that   D(a) = sum_l g_l z_l (K z)_l + sum_l g_l^2 z_l (H z)_l,
    K_lm = 2 M_lm / (e_m - e_l)  for eigenvalues apart,   H_lm = M_lm  for l = m and for eigenvalues together,

leave one product with K and H for all penalties. Where two eigenvalues are so close that
the division would lose digits, ``g_l g_m = (g_l^2 + g_m^2) / 2`` up to half the squared
difference, which is then below rounding; each pair takes whichever is the more exact.
K is antisymmetric, so any constant may be taken off g in the first sum: that keeps large
penalties precise.

On a ring, Gram matrices are symmetric Toeplitz: they look the same from both ends, and an
even and an odd half of the lags never mix. Everything is then two problems of half the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

_TOGETHER = 4.0
_SILENT = 1e-11


@dataclass(frozen=True, eq=False)
class FoldMoments:
    """What a block of features needs of itself, summed over each fold's trials.

    Attributes
    ----------
    n
        Usable frames, shape ``(n_folds,)``.
    sx, sxx
        Sums and Gram matrices of the lagged features, shapes ``(n_features, n_folds, n_lags)`` and
        ``(n_features, n_folds, n_lags, n_lags)``, float64.
    """

    n: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray


@dataclass(frozen=True)
class Halves:
    """Lags as they are (``n_parts`` 1), or split into sums and differences of mirrored lags (2)."""

    n_lags: int
    n_parts: int

    @property
    def height(self) -> int:
        """Rows per part."""
        return -(-self.n_lags // self.n_parts)

    @cached_property
    def matrix(self) -> np.ndarray:
        """Orthonormal rows, shape ``(n_parts, height, n_lags)``; the odd half of an odd number ends in a zero row."""
        eye = np.eye(self.n_lags)
        if self.n_parts == 1:
            return eye[None]
        first, mirrored = eye[: self.height], eye[::-1][: self.height]
        rows = np.stack([first + mirrored, first - mirrored])
        length = np.linalg.norm(rows, axis=-1, keepdims=True)
        return rows / np.where(length > 0, length, 1)

    @cached_property
    def unscale(self) -> np.ndarray:
        """What turns plain sums and differences into `matrix` coordinates, shape ``(n_parts, height)``."""
        if self.n_parts == 1:
            return np.ones((1, self.height))
        scale = np.full((2, self.height), np.sqrt(0.5))
        if self.n_lags % 2:
            scale[0, -1] = 0.5
        return scale

    def of_matrices(self, matrices: np.ndarray) -> np.ndarray:
        """Return the diagonal blocks ``(..., n_parts, height, height)`` of ``(..., n_lags, n_lags)``."""
        if self.n_parts == 1:
            return matrices[..., None, :, :]
        return self.matrix @ matrices[..., None, :, :] @ self.matrix.transpose(0, 2, 1)

    def of_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Return ``(..., n_parts, height)`` of ``(..., n_lags)``."""
        return np.einsum("phl,...l->...ph", self.matrix, vectors) if self.n_parts > 1 else vectors[..., None, :]


@dataclass(frozen=True, eq=False)
class Nest:
    """All that nested cross-validation of a block of features needs, whatever the responses.

    Attributes
    ----------
    trainings
        The folds left out of each training set: each one, each pair, and (last) none.
    scorings
        ``(training, fold)`` pairs: each training set is scored on each fold it leaves out.
    project
        Maps raw moments of a training set, with their sum row, to z: ``(n_features, n_trainings, n_parts, h, h + 1)``.
    held
        Maps a held-out fold's to q: ``(n_features, n_scorings, n_parts, h, h + 1)``.
    bend
        K above H, ``(n_features, n_scorings, n_parts, 2 h, h)``.
    gains, bend_gains
        Factors of ``z q`` and of ``z (K z), z (H z)``, ``(n_features, n_trainings, n_penalties, n_parts h)`` or 2 h.
    values, basis, unit
        Relative eigenvalues, eigenvectors (float64) and what a relative penalty of 1 amounts to, per training set.
    penalties, halves
        As given.
    """

    trainings: tuple[tuple[int, ...], ...]
    scorings: tuple[tuple[int, int], ...]
    project: np.ndarray
    held: np.ndarray
    bend: np.ndarray
    gains: np.ndarray
    bend_gains: np.ndarray
    values: np.ndarray
    basis: np.ndarray
    unit: np.ndarray
    penalties: np.ndarray
    halves: Halves


def training_sets(n_folds: int) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, int], ...]]:
    """Return the training sets (by the folds they leave out) and the ``(training, fold)`` pairs to score.

    >>> training_sets(3)[0]
    ((0,), (0, 1), (0, 2), (1,), (1, 2), (2,), ())
    """
    trainings = (*sorted([(k,) for k in range(n_folds)] + list(combinations(range(n_folds), 2))), ())
    return trainings, tuple((t, fold) for t, out in enumerate(trainings) for fold in out)


def nest_bytes(halves: Halves, n_folds: int, n_penalties: int) -> int:
    """Return roughly how much memory one feature's nest takes while it is built, in float64."""
    trainings, scorings = training_sets(n_folds)
    square = halves.n_parts * halves.height**2 * 8
    tables = 6 * n_penalties * halves.n_parts * halves.height * 8 * len(trainings)
    return (6 * len(trainings) + 12 * len(scorings)) * square + tables


def build_nest(moments: FoldMoments, penalties: np.ndarray, *, halves: Halves, dtype: type = np.float32) -> Nest:
    """Decompose every training set of every feature once.

    Parameters
    ----------
    moments
        Of a block of features.
    penalties
        Relative penalties: multiples of the feature's variance in the training set times
        its number of frames, so that they mean the same for every feature. None is taken
        below what the precision can bear (1e-12 in float64, 1e-6 in float32).
    halves
        Whether the Gram matrices look the same from both ends.
    dtype
        Precision of the responses' moments.
    """
    trainings, scorings = training_sets(len(moments.n))
    kept = np.array([[k not in out for k in range(len(moments.n))] for out in trainings], dtype=float)
    sxx, sx = halves.of_matrices(moments.sxx), halves.of_vectors(moments.sx)
    n_train, sx_train = kept @ moments.n, np.einsum("tk,fkph->ftph", kept, sx)
    raw = np.einsum("tk,fkpij->ftpij", kept, sxx)
    unit, values, basis = _decompose(raw, _centred(raw, sx_train, n_train), halves)
    at = [t for t, _ in scorings]
    tests = [fold for _, fold in scorings]
    held_sxx, alive = _held_out(sxx, sx, moments.n, halves.n_lags)
    seen = (
        basis[:, at].swapaxes(-1, -2) @ held_sxx[:, tests] @ basis[:, at] / _spread(np.where(unit > 0, unit, 1))[:, at]
    )
    floor = np.maximum(penalties, 1e-12 if dtype == np.float64 else 1e-6)
    gains, bend_gains = gain_tables(values, floor)
    width = np.divide(1, np.sqrt(unit), out=np.zeros_like(unit), where=unit > 0)
    return Nest(
        trainings=trainings,
        scorings=scorings,
        project=_projector(basis, sx_train, n_train, width, halves).astype(dtype),
        held=_projector(basis[:, at], sx[:, tests], moments.n[tests], width[:, at] * alive[:, tests], halves).astype(
            dtype
        ),
        bend=bend_matrices(seen, values[:, at], floor.min(), dtype=dtype),
        gains=gains.astype(dtype),
        bend_gains=bend_gains.astype(dtype),
        values=values,
        basis=basis,
        unit=unit,
        penalties=floor,
        halves=halves,
    )


def _spread(values: np.ndarray) -> np.ndarray:
    return values[..., None, None, None]


def _centred(sxx: np.ndarray, sx: np.ndarray, n: np.ndarray) -> np.ndarray:
    return sxx - sx[..., :, None] * sx[..., None, :] / n[:, None, None, None]


def _trace(matrices: np.ndarray) -> np.ndarray:
    return np.einsum("...pii->...", matrices)


def _decompose(raw: np.ndarray, centred: np.ndarray, halves: Halves) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return units (0 for a silent feature), relative eigenvalues and eigenvectors."""
    unit = _trace(centred) / halves.n_lags
    unit = np.where(unit > _SILENT * _trace(raw) / halves.n_lags, unit, 0.0)
    if halves.n_parts == 2 and halves.n_lags % 2:
        # The idle row of the odd half gets an eigenvalue among the others, so that it widens no range.
        centred = centred.copy()
        centred[..., 1, -1, -1] = unit
    values, basis = np.linalg.eigh(centred)
    values = np.clip(values, 0, None) / np.where(unit > 0, unit, 1)[..., None, None]
    return unit, values, basis


def _held_out(sxx: np.ndarray, sx: np.ndarray, n: np.ndarray, n_lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each fold's centred Gram matrices and whether the feature does anything there."""
    centred = _centred(sxx, sx, n)
    alive = _trace(centred) > _SILENT * _trace(sxx)
    return centred * _spread(alive), alive


def _projector(basis: np.ndarray, sx: np.ndarray, n: np.ndarray, width: np.ndarray, halves: Halves) -> np.ndarray:
    rows = basis.swapaxes(-1, -2)
    centring = -np.einsum("ftpij,ftpj->ftpi", rows, sx) / n[:, None, None]
    return np.concatenate([rows * halves.unscale[:, None, :], centring[..., None]], axis=-1) * _spread(width)


def gain_tables(values: np.ndarray, penalties: np.ndarray, *, relative: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of ``z q`` and of ``z (K z), z (H z)`` for every penalty.

    Parameters
    ----------
    values
        Relative eigenvalues, shape ``(..., n_parts, h)``.
    penalties
        Shape ``(n_penalties,)``, positive.
    relative
        Whether weights may be scaled by ``1 + penalty`` (a correlation does not mind), which
        keeps the factors near 1 for every penalty.

    Returns
    -------
    gains, bend_gains : numpy.ndarray
        Shapes ``(..., n_penalties, n_parts * h)`` and ``(..., n_penalties, n_parts * 2 h)``.
    """
    a = penalties[:, None, None]
    e = values[..., None, :, :]
    size = 1 + a if relative else np.ones_like(a)
    gains = size / (e + a)
    low, high = e.min(axis=-1, keepdims=True), e.max(axis=-1, keepdims=True)
    # Any reference will do; the middle of the gains keeps the factors small.
    middle = np.clip(2 * (low + a) * (high + a) / (low + high + 2 * a) - a, low, high)
    turn = size * gains * (middle - e) / (middle + a)
    bend = np.concatenate([turn, gains**2], axis=-1)
    return gains.reshape(*gains.shape[:-2], -1), bend.reshape(*bend.shape[:-2], -1)


def bend_matrices(seen: np.ndarray, values: np.ndarray, smallest: float, *, dtype: type) -> np.ndarray:
    """Return K above H, shape ``(..., 2 h, h)``, from ``M`` and the eigenvalues, both relative."""
    gap = values[..., None, :] - values[..., :, None]
    spread = (values.max(axis=-1) - values.min(axis=-1))[..., None, None]
    room = (values[..., None, :] + smallest) * (values[..., :, None] + smallest)
    together = np.abs(gap) ** 3 <= _TOGETHER * np.finfo(dtype).eps * spread * room
    apart = np.where(together, 0.0, 2 * seen / np.where(together, 1.0, gap))
    return np.concatenate([apart, np.where(together, seen, 0.0)], axis=-2).astype(dtype)
