"""What does a feature add to a baseline model? Thousands of features, by block elimination, and tested.

With baseline columns Z and a feature's lags X, both penalised, the joint ridge fit is the
baseline's fit plus that of what Z leaves of X: with ``G = (Szz + A)^-1 Szx``,

    w = (Sxx - Szx' G + a I)^-1 (Sxy - G' Szy),      prediction = Z b + (X - Z G) w,

where ``b`` is the baseline's own fit. So each feature costs an L x L eigendecomposition,
serving all its penalties, and the gain in held-out r is exact.

The test is Freedman and Lane's: under no unique effect, what the baseline leaves of the
response could stand anywhere on the ring. The residual is rotated within trials, put back
on the baseline's fit, and both models are fitted again: the design stays, and so do all
factorisations. A plain rotation of the feature would test whether it predicts the
response at all, and find effects that are the baseline's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from brainalign.core.design import Design
from brainalign.core.errors import ShapeMismatch
from brainalign.core.time import Lags
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.backend import NUMPY
from brainalign.encoding.baseline import Baseline, fit_baseline
from brainalign.encoding.elimination import FeatureMoments, Joined, centred, join, joint_r, ratio
from brainalign.encoding.folds import by_fold
from brainalign.encoding.memory import Compute, blocks, each, one_thread
from brainalign.encoding.scoring import Scores, pick
from brainalign.encoding.segments import (
    Cut,
    lag_products,
    response_segments,
    ring_columns,
    ring_moments,
    segment_products,
)

PENALTIES = (1e-2, 1e-1, 1e0, 1e1, 1e2)
_COLUMNS = 512
_FEATURES = 16


def unique_rotated(
    design: Design,
    baseline: Sequence[Trajectory],
    shifts: np.ndarray,
    *,
    penalties: Sequence[float] = PENALTIES,
    baseline_penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    compute: Compute | None = None,
) -> Iterator[np.ndarray]:
    """Yield, feature by feature, the gain over the baseline under every rotation of the residual.

    Parameters
    ----------
    design
        Trials with the features to test.
    baseline
        One trajectory per trial, on the trial's clock: the baseline's features, all lags of each.
    shifts
        Frames by which each trial's stimulus is moved later against the residual, circularly,
        ``(n_rotations, n_trials)``. A row of zeros is the data itself.
    penalties
        Candidates for a feature, relative to its own variance; chosen per channel, inside
        each fold's training trials, anew under every rotation.
    baseline_penalties
        Candidates for the baseline, relative to each of its features' variance; one is
        chosen per fold inside its training trials, once, on the data.
    n_folds, dtype, compute
        As in `brainalign.encoding.massunivariate.rotated_scores`.

    Yields
    ------
    numpy.ndarray
        Held-out r of baseline and feature less that of the baseline, averaged over folds,
        ``(n_rotations, n_channels)``. Edges are circular.
    """
    if shifts.ndim != 2 or shifts.shape[1] != len(design.trials):
        raise ShapeMismatch(
            "shifts must be rotations by trials",
            got=shifts.shape,
            fix=f"give one shift for each of {len(design.trials)} trials",
        )
    fitted = fit_baseline(design, baseline, penalties=baseline_penalties, n_folds=n_folds)
    if not shifts.any():
        fitted = fitted.whole()
    stage = _Stage(design, fitted, shifts, np.maximum(np.asarray(penalties, dtype=float), 1e-9), dtype)
    compute = compute or Compute()
    with one_thread():
        stage.prepare()
    spans, n_workers = stage.plan(compute)
    yield from each(stage.block, spans, n_workers=n_workers)


def unique_scores(
    design: Design,
    baseline: Sequence[Trajectory],
    *,
    penalties: Sequence[float] = PENALTIES,
    baseline_penalties: Sequence[float] = PENALTIES,
    n_folds: int = 5,
    dtype: type = np.float32,
    compute: Compute | None = None,
) -> np.ndarray:
    """Return every feature's gain in held-out r over the baseline, ``(n_features, n_channels)``.

    Parameters as in `unique_rotated`.
    """
    still = np.zeros((1, len(design.trials)), dtype=int)
    gains = unique_rotated(
        design, baseline, still, penalties=penalties, baseline_penalties=baseline_penalties, n_folds=n_folds,
        dtype=dtype, compute=compute,
    )  # fmt: skip
    return np.array([gain[0] for gain in gains])


@dataclass(frozen=True, eq=False)
class _Stage:
    """All that is the same for every feature."""

    design: Design
    baseline: Baseline
    shifts: np.ndarray
    penalties: np.ndarray
    dtype: type

    @property
    def n_channels(self) -> int:
        return self.baseline.residual[0].shape[1]

    @cached_property
    def spectra(self) -> list[np.ndarray]:
        """Transforms of the residual, per trial."""
        return [fft.rfft(item.astype(self.dtype), axis=0) for item in self.baseline.residual]

    @cached_property
    def baseline_products(self) -> list[list[np.ndarray]]:
        """Per trial and baseline feature, the residual's circular cross-correlation at every shift."""
        return [[self.against_residual(k, z[:, j]) for j in range(z.shape[1])] for k, z in enumerate(self.baseline.z)]

    @cached_property
    def fitted_segments(self) -> list[np.ndarray]:
        """Spectra of the baseline's fit, per trial, for products at the model's lags."""
        return [
            response_segments(item.astype(self.dtype), self.design.lags, cut=self.cut, edges="circular", backend=NUMPY)
            for item in self.baseline.fitted
        ]

    @cached_property
    def baseline_segments(self) -> list[np.ndarray]:
        """Spectra of the baseline's features, per trial, for products at all differences of two lags."""
        return [
            response_segments(z, self.apart, cut=self.wide_cut, edges="circular", backend=NUMPY)
            for z in self.baseline.z
        ]

    @property
    def cut(self) -> Cut:
        return Cut.for_lags(self.design.lags.n)

    @property
    def apart(self) -> Lags:
        return Lags(1 - self.design.lags.n, self.design.lags.n - 1, self.design.lags.rate)

    @property
    def wide_cut(self) -> Cut:
        return Cut.for_lags(self.apart.n)

    def against_fit(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Return products with the baseline's fit, ``(n_folds, n_features, n_lags, n_channels)``."""
        spectra = [
            segment_products(x.astype(self.dtype), segments, cut=self.cut, backend=NUMPY)
            for x, segments in zip(columns, self.fitted_segments, strict=True)
        ]
        summed = by_fold(spectra, self.baseline.folds)
        return np.array([lag_products(s, cut=self.cut, n_lags=self.design.lags.n, backend=NUMPY) for s in summed])

    @cached_property
    def fitted_sums(self) -> np.ndarray:
        """Products of baseline columns with the baseline's fit, per fold, ``(n_folds, m, n_channels)``."""
        products = self.against_fit(self.baseline.z)
        return products.reshape(len(products), -1, self.n_channels)

    @cached_property
    def sums(self) -> np.ndarray:
        """Sum of the response per fold and channel: no rotation changes it."""
        pairs = zip(self.baseline.fitted, self.baseline.residual, strict=True)
        return by_fold([one.sum(axis=0) + other.sum(axis=0) for one, other in pairs], self.baseline.folds)

    def against_residual(self, k: int, x: np.ndarray) -> np.ndarray:
        """Return ``c[s] = sum_t x(t - s) e(t)`` on trial k's ring, ``(n_frames, n_channels)``."""
        if not self.shifts.any():
            return np.broadcast_to(self.dtype(0), (len(x), self.n_channels))
        turned = fft.rfft(x.astype(self.dtype)).conj()
        return fft.irfft(turned[:, None] * self.spectra[k], n=len(x), axis=0)

    @cached_property
    def inverse_spread(self) -> np.ndarray:
        """``1 / sqrt(Syy)`` of every rotated response, ``(n_folds, n_rotations, n_channels)``."""
        base = self.baseline
        squares = []
        for k, (one, other) in enumerate(zip(base.fitted, base.residual, strict=True)):
            n = len(one)
            # sum_t fit(t) e(t + s): the residual moves the other way.
            cross = fft.irfft(fft.rfft(one, axis=0).conj() * fft.rfft(other, axis=0), n=n, axis=0)
            squares.append(np.square(one).sum(axis=0) + np.square(other).sum(axis=0) + 2 * cross[self.shifts[:, k] % n])
        spread = np.sqrt(np.clip(by_fold(squares, base.folds) - (self.sums**2 / base.n[:, None])[:, None], 0, None))
        return np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)

    def window(self, products: list[np.ndarray], rows: slice) -> np.ndarray:
        """Add one feature's windows up within folds, ``(n_folds, n_lags, n_rotations, n_channels)``."""
        at = [(self.shifts[rows, k][None] + self.baseline.lags[:, None]) % len(p) for k, p in enumerate(products)]
        return by_fold([p[index] for p, index in zip(products, at, strict=True)], self.baseline.folds)

    def baseline_windows(self, rows: slice) -> np.ndarray:
        """Return baseline products of the rotated response, ``(n_folds, m, n_rotations * n_channels)``."""
        parts = [
            self.window([trial[j] for trial in self.baseline_products], rows)
            for j in range(self.baseline.z[0].shape[1])
        ]
        windows = np.concatenate(parts, axis=1) + self.fitted_sums[:, :, None].astype(self.dtype)
        return windows.reshape(*windows.shape[:2], -1)

    @cached_property
    def portions(self) -> list[slice]:
        """Rotations that are scored together."""
        step = max(1, _COLUMNS // self.n_channels)
        return [slice(start, start + step) for start in range(0, len(self.shifts), step)]

    @cached_property
    def baseline_scores(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per portion, what the baseline brings to numerator and power, ``(n_combinations, n_columns)`` each."""
        return [self._baseline_score(self.baseline_windows(rows)) for rows in self.portions]

    def _baseline_score(self, szy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        base, sums = self.baseline, np.tile(self.sums, (1, szy.shape[-1] // self.n_channels))
        product, power = np.empty((2, len(base.combinations), szy.shape[-1]))
        for i, model in enumerate(base.combinations):
            kept = base.kept(model.out)
            weights = base.inverses[i] @ centred(szy[kept], base.sz[kept], sums[kept], base.n[kept])
            test = [model.test]
            product[i] = np.einsum("zn,zn->n", weights, centred(szy[test], base.sz[test], sums[test], base.n[test]))
            szz = centred(base.szz[test], base.sz[test], base.sz[test], base.n[test])
            power[i] = np.einsum("zn,zn->n", weights, szz @ weights)
        return product.astype(self.dtype), np.clip(power, 0, None).astype(self.dtype)

    def prepare(self) -> None:
        """Work out what all features share, before several workers ask for it."""
        _ = self.baseline_scores, self.inverse_spread, self.fitted_segments, self.baseline_segments

    def plan(self, compute: Compute) -> tuple[list[tuple[int, int]], int]:
        """Return blocks of features and how many to work on at once, within the budget."""
        frames, m = sum(len(z) for z in self.baseline.z), self.baseline.szz.shape[1]
        size, columns = np.dtype(self.dtype).itemsize, len(self.shifts) * self.n_channels
        n_lags, models = len(self.baseline.lags), len(self.baseline.combinations)
        fixed = frames * self.n_channels * (m // n_lags + 2) * size + models * (m * m * 8 + 2 * columns * size)
        feature = 3 * 8 * frames + columns * size
        working = 2 * frames * self.n_channels * size + models * n_lags * (m + 5 * n_lags) * 24
        per_block = compute.block_size(feature, fixed=fixed + working, most=_FEATURES)
        spans = blocks(self.design.n_features, per_block)
        return spans, compute.workers(working + per_block * feature, fixed=fixed)

    def block(self, span: tuple[int, int]) -> Iterator[np.ndarray]:
        """Yield the gains of a block of features."""
        columns = ring_columns(self.design, *span)
        sxx, sx, sxz = self._feature_moments(columns)
        fitted = self.against_fit(columns)
        for f in range(span[1] - span[0]):
            moments = FeatureMoments(sxx[:, f], sx[:, f], sxz[:, f])
            joined = [
                join(self.baseline, i, moments, self.penalties, dtype=self.dtype)
                for i in range(len(self.baseline.combinations))
            ]
            yield self._gains(joined, [x[:, f] for x in columns], fitted[:, f])

    def _feature_moments(self, columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Gram matrices, sums, and products with the baseline's columns, per fold and feature, float64."""
        base, n_lags = self.baseline, len(self.baseline.lags)
        own = zip(*(ring_moments(x, n_lags) for x in columns), strict=True)
        sxx, sx = (by_fold(np.array(part), base.folds) for part in own)
        # sum_t x(t - l) z(t - m) depends on l - m alone.
        products = []
        for x, segments in zip(columns, self.baseline_segments, strict=True):
            spectra = segment_products(x, segments, cut=self.wide_cut, backend=NUMPY)
            products.append(lag_products(spectra, cut=self.wide_cut, n_lags=self.apart.n, backend=NUMPY))
        index = np.arange(n_lags)[:, None] - np.arange(n_lags)[None, :] + n_lags - 1
        sxz = np.moveaxis(by_fold(products, base.folds)[:, :, index], -1, -2)
        return sxx, sx, sxz.reshape(*sxz.shape[:3], -1)

    def _gains(self, joined: list[Joined], columns: list[np.ndarray], fitted: np.ndarray) -> np.ndarray:
        products = [self.against_residual(k, x) for k, x in enumerate(columns)]
        parts = []
        for rows, base in zip(self.portions, self.baseline_scores, strict=True):
            sxy = self.window(products, rows) + fitted[:, :, None].astype(self.dtype)
            n_columns = sxy.shape[2] * self.n_channels
            sums: np.ndarray = np.tile(self.sums.astype(self.dtype), (1, sxy.shape[2]))[:, None]
            moments = np.concatenate([sxy.reshape(*sxy.shape[:2], -1), self.baseline_windows(rows), sums], axis=1)
            spread: np.ndarray = self.inverse_spread[:, rows].reshape(-1, n_columns).astype(self.dtype)
            parts.append(self._score(joined, moments, base, spread).reshape(-1, self.n_channels))
        return np.concatenate(parts)

    def _score(
        self, joined: list[Joined], moments: np.ndarray, base: tuple[np.ndarray, np.ndarray], spread: np.ndarray
    ) -> np.ndarray:
        """Return the gain of one portion of columns, averaged over folds."""
        n_folds, n_columns = spread.shape
        both: np.ndarray = np.zeros((2, n_folds, 1, len(self.penalties), n_columns), dtype=self.dtype)
        merit, outer = both
        alone: np.ndarray = np.empty((n_folds, n_columns), dtype=self.dtype)
        for i, (model, feature) in enumerate(zip(self.baseline.combinations, joined, strict=True)):
            training = moments[self.baseline.kept(model.out)].sum(axis=0)
            product, power = base[0][i], base[1][i]
            r = joint_r(feature, training, moments[model.test], product, power) * spread[model.test]
            if model.test == model.outer:
                outer[model.outer, 0] = r
                alone[model.outer] = ratio(product, power) * spread[model.test]
            else:
                merit[model.outer, 0] += r
        best, _ = pick(Scores(merit, outer), NUMPY, per="channel", n_channels=self.n_channels)
        return (best[:, 0] - alone).mean(axis=0)
