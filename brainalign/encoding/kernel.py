"""What if there are more lagged features than frames? The same ridge model by its kernel.

The kernel of two frames is the inner product of their lagged rows. With ``G = x x'`` it is
``K(t, t') = sum_l G(t - l, t' - l)``: L shifted additions, and again no lag matrix. Its cost
grows with the cube of the frames, that of the primal way with the cube of the columns; the
smaller of the two numbers decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.blocks import Centred, require_long_trials
from brainalign.encoding.penalty import Regulariser, band_columns
from brainalign.encoding.solve import Fit, Ridge
from brainalign.encoding.standards import standardise


@dataclass(frozen=True, eq=False)
class KernelProblem:
    """Ridge models trained and tried on kernels.

    Attributes
    ----------
    design
        The data.
    regulariser, penalties
        Ridge, in any convention but MNE's; candidates.
    kernels
        One per band, over all usable frames, ``(n_bands, n_frames, n_frames)``.
    response
        Standardised, ``(n_frames, n_channels)``.
    fold_of, trial_of
        Fold and trial of each usable frame.
    """

    design: Design
    regulariser: Regulariser
    penalties: np.ndarray
    kernels: np.ndarray
    response: np.ndarray
    fold_of: np.ndarray
    trial_of: np.ndarray

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.fold_of.max()) + 1

    def tries(self, out: tuple[int, ...]) -> Iterator[tuple[Fit, ...]]:
        """Train without these folds; yield, candidate by candidate, the fit on each of them."""
        rows = np.flatnonzero(~np.isin(self.fold_of, out))
        train, unit = self._train(rows)
        held = [np.flatnonzero(self.fold_of == fold) for fold in out]
        cross = [self._cross(at, rows, unit) for at in held]
        for dual in self._duals(train, self.penalties):
            yield tuple(
                _fit_of_prediction(kernel @ dual, self.response[at] - train.y_mean)
                for kernel, at in zip(cross, held, strict=True)
            )

    def final(self, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Train on all folds with each channel's candidate; return weights and intercept (standardised)."""
        train, unit = self._train(np.arange(len(self.fold_of)))
        dual = np.zeros_like(self.response)
        used = np.unique(choice)
        for number, candidate in zip(used, self._duals(train, self.penalties[used]), strict=True):
            dual[:, choice == number] = candidate[:, choice == number]
        products = self._back(np.column_stack([dual, np.full(len(dual), 1 / len(dual))]))
        weights, x_mean = products[:, :-1].copy(), products[:, -1]
        n_lags = self.design.lags.n
        for features, value in zip(band_columns(self.design).values(), unit, strict=True):
            weights.reshape(-1, n_lags, weights.shape[1])[features] /= value
        return weights, train.y_mean - x_mean @ weights

    def _train(self, rows: np.ndarray) -> tuple[Centred, np.ndarray]:
        """Return the centred kernel as if it were a Gram matrix of frames, and each band's unit."""
        y = self.response[rows]
        parts = [_centred(kernel[np.ix_(rows, rows)]) for kernel in self.kernels]
        sizes = [len(features) * self.design.lags.n for features in band_columns(self.design).values()]
        power = np.array([np.trace(part) / size for part, size in zip(parts, sizes, strict=True)])
        n_trials = len(np.unique(self.trial_of[rows]))
        stand_in = Centred(len(rows), n_trials, power, y.mean(axis=0), np.diag(power), y, y)
        groups = [np.array([i]) for i in range(len(parts))]
        unit = self.regulariser.units(stand_in, groups, rate=float(self.design.lags.rate))
        gram = np.einsum("b,bij->ij", 1 / unit, np.array(parts))
        centred = y - y.mean(axis=0)
        return Centred(len(rows), n_trials, power, y.mean(axis=0), gram, centred, np.square(centred).sum(axis=0)), unit

    def _cross(self, held: np.ndarray, rows: np.ndarray, unit: np.ndarray) -> np.ndarray:
        kernel, inner = np.zeros((len(held), len(rows))), np.zeros((len(rows), len(rows)))
        for part, value in zip(self.kernels, unit, strict=True):
            kernel += part[np.ix_(held, rows)] / value
            inner += part[np.ix_(rows, rows)] / value
        columns = inner.mean(axis=0)
        return kernel - kernel.mean(axis=1, keepdims=True) - columns + columns.mean()

    def _duals(self, train: Centred, penalties: np.ndarray) -> Iterator[np.ndarray]:
        n = len(train.sxx)
        return Ridge(Regulariser("ridge", "absolute"), [np.arange(n)], 1, 1.0).path(train, penalties)

    def _back(self, values: np.ndarray) -> np.ndarray:
        """Return ``X' values`` by shifted products, ``(n_columns, n_values)``."""
        lags, n_x = self.design.lags, self.design.n_features
        out = np.zeros((n_x, lags.n, values.shape[1]))
        for k, trial in enumerate(self.design.trials):
            full = np.zeros((trial.axis.n, values.shape[1]))
            full[trial.mask] = values[self.trial_of == k]
            for i, lag in enumerate(lags.samples):
                low, high = max(0, -lag), min(trial.axis.n, trial.axis.n - lag)
                out[:, i] += trial.x.values[low:high].T @ full[low + lag : high + lag]
        return out.reshape(-1, values.shape[1])


def kernel_problem(
    design: Design, folds: np.ndarray, *, regulariser: Regulariser, penalties: np.ndarray
) -> tuple[KernelProblem, np.ndarray, np.ndarray]:
    """Compute a design's kernels; return the problem and the constants that standardised its responses.

    Parameters
    ----------
    design
        Trials apart; memory grows with the square of its frames.
    folds
        Fold of each trial.
    regulariser, penalties
        As in `KernelProblem`.
    """
    require_long_trials(design)
    standards = standardise(design)
    mean, scale = standards.mean, standards.scale
    sizes = [int(np.count_nonzero(trial.mask)) for trial in design.trials]
    response = np.vstack([(trial.y[trial.mask] - mean) / scale for trial in design.trials])
    kernels = np.array([_kernel(design.trials, at, design.lags) for at in band_columns(design).values()])
    trial_of = np.repeat(np.arange(len(sizes)), sizes)
    problem = KernelProblem(design, regulariser, penalties, kernels, response, folds[trial_of], trial_of)
    return problem, mean, scale


def _kernel(trials: Sequence[Trial], features: np.ndarray, lags: Lags) -> np.ndarray:
    """Return the kernel of all usable frames for some features."""
    parts = [trial.x.select(features) for trial in trials]
    pairs = list(zip(trials, parts, strict=True))
    return np.block([[_pair(one, x, other, z, lags) for other, z in pairs] for one, x in pairs])


def _pair(one: Trial, x: Trajectory, other: Trial, z: Trajectory, lags: Lags) -> np.ndarray:
    gram = _float(x) @ _float(z).T
    n, m = gram.shape
    out = np.zeros((n, m))
    for lag in lags.samples:
        to, at, rows, columns = max(0, lag), max(0, -lag), n - abs(lag), m - abs(lag)
        out[to : to + rows, to : to + columns] += gram[at : at + rows, at : at + columns]
    return out[np.ix_(one.mask, other.mask)]


def _float(x: Trajectory) -> np.ndarray:
    return x.block(0, x.n_features).astype(np.float64)


def _centred(kernel: np.ndarray) -> np.ndarray:
    columns = kernel.mean(axis=0)
    return kernel - columns - columns[:, None] + columns.mean()


def _fit_of_prediction(predicted: np.ndarray, observed: np.ndarray) -> Fit:
    error = observed.mean(axis=0) - predicted.mean(axis=0)
    predicted, centred = predicted - predicted.mean(axis=0), observed - observed.mean(axis=0)
    return Fit(
        product=np.einsum("tc,tc->c", predicted, centred),
        power=np.einsum("tc,tc->c", predicted, predicted),
        error=error,
        syy=np.einsum("tc,tc->c", centred, centred),
        n=float(len(observed)),
    )
