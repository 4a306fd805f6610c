"""Which pre-activations of a batch are the largest? Asked of a product in float32, or of one that knows its error.

A step needs about k of d_sae pre-activations per frame and pays for all of them. The product in
bfloat16 costs half as much or less, and how far it can be off is known: with ``x = x' + dx`` and
``w = w' + dw``, where the primed are rounded, ``|x . w - x' . w'| <= |dx| |w| + |x'| |dw|``, and
both errors are at hand. Whatever may be among the largest by that bound is a candidate, and
candidates are computed again in float32. None of the largest is missed, so the active set is
that of float32 (up to float32's own rounding, which differs between two ways of summing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch

from brainalign.sae.loss import Parameters, Pattern, column_products

Found = tuple[np.ndarray, np.ndarray]
"""Sorted flat indices into ``(n_frames, d_sae)``, int64, and the float32 pre-activations there."""

Screening = Literal["exact", "bfloat16"]

# Where a level was too high, the next one is so much lower; after a few, everything is looked at.
LOWER, N_LOWER = 0.7, 3
# With more candidates than this share of all pairs, one dense float32 product is quicker.
MAX_CANDIDATES = 0.1
# Accumulating d_in products in float32 is off by at most so much per product, of |x'| |w'|.
_ACCUMULATION = 2.0**-23
# Rounding to bfloat16 is off by at most this share.
ROUNDING = 2.0**-8
_BLOCK = 256


class Screen(Protocol):
    """A batch's pre-activations, which can be asked for the largest."""

    def load(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Take the next batch: scaled frames ``x (n_frames, d_in)``."""
        ...

    def largest(self, n: int, *, guess: float) -> tuple[Found, float]:
        """Return the ``n`` largest positive pre-activations and the smallest of them, as `largest_of` does."""
        ...


def largest_of(values: np.ndarray, n: int, *, guess: float = 0.0) -> tuple[Found, float]:
    """Return the ``n`` largest positive values, sorted by index, and the smallest kept.

    Exact whatever the guess. Values equal to the smallest kept one all stay, so that the
    result does not depend on their order; with fewer than ``n`` positive values all stay.

    Parameters
    ----------
    values
        Any numbers, flat.
    n
        How many stay.
    guess
        A level below which, probably, nothing stays: only what is above it is looked at.
    """
    for level in _levels(guess):
        found = np.flatnonzero(values > level)
        if found.size >= n:
            break
    return _keep_largest(found, values[found], n)


def _levels(guess: float) -> list[float]:
    return [*(guess * LOWER**i for i in range(N_LOWER) if guess > 0), 0.0]


def _keep_largest(found: np.ndarray, values: np.ndarray, n: int) -> tuple[Found, float]:
    if found.size <= n:
        return (found, values), 0.0
    smallest = np.partition(values, found.size - n)[found.size - n]
    kept = values >= smallest
    return (found[kept], values[kept]), float(smallest)


@dataclass(eq=False)
class Dense:
    """One product in float32, into memory that is used again for the next batch."""

    _pre: torch.Tensor | None = None

    def load(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Compute all pre-activations."""
        encoder = parameters["encoder"]
        pre = reused(self._pre, (len(x), len(encoder)), x.dtype)
        self._pre = torch.addmm(parameters["b_enc"], x - parameters["b_dec"], encoder.T, out=pre)

    def largest(self, n: int, *, guess: float) -> tuple[Found, float]:
        """Look through all of them above the guess, and again lower down where those are too few."""
        return largest_of(_loaded(self._pre).numpy().reshape(-1), n, guess=guess)


@dataclass(eq=False)
class Bfloat16:
    """A product in bfloat16 whose candidates are computed again in float32.

    Attributes
    ----------
    n_dense
        How often the whole product was computed in float32 after all, because the bound left
        too many candidates.
    """

    n_dense: int = 0
    _rough: torch.Tensor | None = None
    _dense: Dense = field(default_factory=Dense)

    def load(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Compute all pre-activations in bfloat16, and how far those of each frame can be off."""
        self._parameters, self._x, self._centred = parameters, x, x - parameters["b_dec"]
        frames, table, bias = (
            rounded(self._centred),
            rounded(parameters["encoder"]),
            rounded(parameters["b_enc"][:, None]),
        )
        room = reused(self._rough, (len(x), len(table.values)), torch.bfloat16)
        self._rough = torch.addmm(bias.values[:, 0], frames.values, table.values.T, out=room)
        self._margin = (margin(frames, table) + bias.errors.max()).numpy()

    def largest(self, n: int, *, guess: float) -> tuple[Found, float]:
        """Compute again what may be among the n largest, and return those that are."""
        found = self._candidates(n, guess)
        if found is None:
            self.n_dense += 1
            self._dense.load(self._parameters, self._x)
            return self._dense.largest(n, guess=guess)
        pattern = Pattern.from_flat(found, shape=tuple(_loaded(self._rough).shape))
        values = torch.empty(found.size, dtype=self._centred.dtype)
        values[pattern.by_column()] = column_products(pattern, self._centred, self._parameters["encoder"])
        values += self._parameters["b_enc"][pattern.columns]
        return _keep_largest(found, values.numpy(), n)

    def _candidates(self, n: int, guess: float) -> np.ndarray | None:
        """Return where the n largest can be, or None where that is not known well enough.

        At least n values exceed the n-th largest of ``rough - error``, so those with
        ``rough + error`` below that number are not among the n largest.
        """
        rough = _loaded(self._rough).view(torch.int16).numpy()
        levels = _levels(guess)[:-1]
        while levels:
            level = levels.pop(0)
            if not (level > self._margin).all():
                return None
            found = reaching(rough, level - self._margin)
            if found.size < n:
                continue
            if found.size > MAX_CANDIDATES * rough.size:
                return None
            near = _as_float(rough.reshape(-1)[found])
            error = self._margin[found // rough.shape[1]] + near * np.float32(ROUNDING)
            floor = np.partition(near - error, found.size - n)[found.size - n]
            if floor >= level:
                return found[near + error >= floor]
            levels = [float(floor)] if floor > 0 else []
        return None


@dataclass(frozen=True, eq=False)
class Rounded:
    """A matrix in bfloat16, and what is known of the rounding.

    Parameters
    ----------
    values
        bfloat16, shape ``(n, width)``.
    norms, errors
        Of each row: its norm before rounding, and the norm of what rounding changed, shape ``(n,)``.
    """

    values: torch.Tensor
    norms: torch.Tensor
    errors: torch.Tensor


def rounded(matrix: torch.Tensor) -> Rounded:
    """Round a matrix to bfloat16, in blocks of rows that stay in the cache."""
    values = matrix.bfloat16()
    norms, errors = torch.empty(2, len(matrix), dtype=matrix.dtype)
    for start in range(0, len(matrix), _BLOCK):
        rows = slice(start, start + _BLOCK)
        torch.linalg.vector_norm(matrix[rows], dim=1, out=norms[rows])
        torch.linalg.vector_norm(matrix[rows] - values[rows], dim=1, out=errors[rows])
    return Rounded(values, norms, errors)


def margin(frames: Rounded, table: Rounded) -> torch.Tensor:
    """Return how far a frame's rounded products with any row of a table can be off, shape ``(n_frames,)``."""
    width, w_norm, w_error = frames.values.shape[1], table.norms.max(), table.errors.max()
    x_norm = frames.norms + frames.errors
    return frames.errors * w_norm + x_norm * w_error + width * _ACCUMULATION * x_norm * (w_norm + w_error)


def reaching(rough: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return where bfloat16 numbers, seen as int16, reach their row's positive level, sorted flat indices.

    Rounding is monotone: a number that exceeds a level is rounded to at least the rounded
    level. Positive bfloat16 numbers are ordered as the integers that they look like, and
    NumPy compares those much faster.
    """
    wanted = torch.from_numpy(levels).bfloat16().view(torch.int16).numpy()
    return np.flatnonzero(rough >= wanted[:, None])


def _as_float(rough: np.ndarray) -> np.ndarray:
    """Read bfloat16 numbers, given as integers, as float32."""
    return (rough.astype(np.int32) << 16).view(np.float32)


def reused(held: torch.Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return memory of a shape, the one that is held where it fits: fresh pages cost a tenth of the product."""
    return held if held is not None and held.shape == shape and held.dtype == dtype else torch.empty(shape, dtype=dtype)


def _loaded(held: torch.Tensor | None) -> torch.Tensor:
    if held is None:
        raise RuntimeError("load a batch first")
    return held


SCREENS: dict[str, Callable[[], Screen]] = {"exact": Dense, "bfloat16": Bfloat16}
