"""How are hundreds of features brought down to a few? Principal components, learnt from training moments.

The components are those of the features themselves (not of their lagged copies), band by
band, from the Gram matrix averaged over lags. Weights are carried back, so that a reduced
model's response functions belong to the original features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from brainalign.core.errors import ValueProblem
from brainalign.encoding.blocks import Centred
from brainalign.encoding.penalty import lagged_columns
from brainalign.encoding.solve import Ridge


@dataclass(frozen=True, eq=False)
class ReducedRidge:
    """Ridge on principal components of each band.

    Parameters
    ----------
    ridge
        The model on the components (its groups are replaced by the components').
    bands
        Feature numbers of each band.
    keep
        Components per band: a number, or the share of variance (below 1) to be kept.
    """

    ridge: Ridge
    bands: Mapping[str, np.ndarray]
    keep: int | float

    def __post_init__(self) -> None:
        if not self.keep > 0:
            raise ValueProblem(
                "pca must be a number of components or a share", got=self.keep, fix="give e.g. 20 or 0.95"
            )

    def path(self, train: Centred, penalties: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the weights of the original features for each penalty."""
        n_lags = self.ridge.n_lags
        basis, sizes = self.basis(train)
        reduced = replace(
            train, sxx=_project(_project(train.sxx, basis, n_lags).T, basis, n_lags).T,
            sxy=_project(train.sxy, basis, n_lags),
        )  # fmt: skip
        edges = np.cumsum([0, *sizes])
        numbers = {str(i): np.arange(edges[i], edges[i + 1]) for i in range(len(sizes))}
        model = replace(self.ridge, groups=lagged_columns(numbers, n_lags))
        for weights in model.path(reduced, penalties):
            yield _project(weights, basis.T, n_lags)

    def basis(self, train: Centred) -> tuple[np.ndarray, list[int]]:
        """Return the components, ``(n_features, n_components)``, and how many belong to each band."""
        n_lags = self.ridge.n_lags
        n_features = len(train.sxx) // n_lags
        gram = np.einsum("flgl->fg", train.sxx.reshape(n_features, n_lags, n_features, n_lags))
        parts = [self._components(gram[np.ix_(at, at)]) for at in self.bands.values()]
        basis, start = np.zeros((n_features, sum(part.shape[1] for part in parts))), 0
        for at, part in zip(self.bands.values(), parts, strict=True):
            basis[at, start : start + part.shape[1]] = part
            start += part.shape[1]
        return basis, [part.shape[1] for part in parts]

    def _components(self, gram: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(gram)
        values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
        if self.keep >= 1:
            return vectors[:, : int(self.keep)]
        share = np.cumsum(values) / max(values.sum(), np.finfo(float).tiny)
        return vectors[:, : int(np.searchsorted(share, self.keep)) + 1]


def _project(matrix: np.ndarray, basis: np.ndarray, n_lags: int) -> np.ndarray:
    """Replace feature rows by component rows, lag by lag: ``(U' x I) M``."""
    n_features = basis.shape[0]
    return (basis.T @ matrix.reshape(n_features, -1)).reshape(basis.shape[1] * n_lags, -1)
