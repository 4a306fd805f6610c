"""Where among the products of a feature with the responses does a surrogate's cross-covariance stand?

Turning a stimulus on its ring, or putting another story's response beside it, leaves the
feature's Gram matrices as they are. Every cross-covariance that can come up is worked out
once per feature; a surrogate is then an index into those tables, with the response's sums
and spread that go with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np

from brainalign.core.design import Design
from brainalign.encoding.backend import Array, Backend, get_backend
from brainalign.encoding.basis import is_mirrored, lag_basis
from brainalign.encoding.nest import Halves


@dataclass(frozen=True, eq=False)
class Layout:
    """How a lagged model on the ring looks at one listener's trials.

    Attributes
    ----------
    lags, folds, n_frames
        Lag numbers, the fold and the frames of each trial.
    basis, halves
        The lag basis or None, and whether even and odd halves part.
    backend, dtype
        Where, and how precisely.
    """

    lags: np.ndarray
    folds: np.ndarray
    n_frames: tuple[int, ...]
    basis: np.ndarray | None
    halves: Halves
    backend: Backend
    dtype: type

    @property
    def itemsize(self) -> int:
        """Bytes per number."""
        return int(np.dtype(self.dtype).itemsize)


def ring_layout(
    design: Design, folds: np.ndarray, *, dtype: type, basis: str | np.ndarray | None, device: str | None
) -> Layout:
    """Return the layout of a design whose trials are closed to rings."""
    matrix = lag_basis(basis, design.lags)
    return Layout(
        lags=design.lags.samples,
        folds=folds,
        n_frames=tuple(trial.axis.n for trial in design.trials),
        basis=matrix,
        halves=Halves(design.lags.n if matrix is None else matrix.shape[1], 2 if is_mirrored(matrix) else 1),
        backend=get_backend(device),
        dtype=dtype,
    )


class Lookup(ABC):
    """One listener's responses, prepared once for all features and all surrogates.

    Attributes
    ----------
    layout
        How the model looks at the trials.
    moving
        Whether the response's sums and spread change from surrogate to surrogate.
    """

    layout: Layout
    moving: bool

    @property
    @abstractmethod
    def n_folds(self) -> int:
        """Number of folds."""

    @property
    @abstractmethod
    def n_channels(self) -> int:
        """Number of channels."""

    @property
    @abstractmethod
    def frames(self) -> int:
        """Frames of all trials, as transformed."""

    @property
    @abstractmethod
    def fixed_bytes(self) -> int:
        """Memory of the prepared responses."""

    @property
    @abstractmethod
    def working_bytes(self) -> int:
        """Memory of one feature's tables while they are made."""

    @abstractmethod
    def products(self, columns: list[np.ndarray]) -> list[Array]:
        """Return one feature's table per trial, ``(n_rows, n_channels)``, on the device."""

    @abstractmethod
    def index(self, draws: np.ndarray, trial: int) -> np.ndarray:
        """Return the rows of a trial's table that surrogates need, ``(n_lags, n_draws)``."""

    @abstractmethod
    def levels(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sums and ``1 / sqrt(Syy)`` of the response, ``(n_folds, n_draws, n_channels)`` each."""

    @abstractmethod
    def only(self, channels: np.ndarray) -> Self:
        """Return the same for some channels."""
