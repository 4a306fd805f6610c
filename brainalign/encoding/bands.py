"""How do weights and their merit change with the penalty of each band?

Bands enter by scaling: with band weights g the model is plain ridge on columns multiplied by
``sqrt(g_b / unit_b)``, so that a band of weight 0 simply drops out. The merit's gradient by
the logarithms of the bands' penalties p needs, with ``w = H Sxy`` and ``H = (Sxx + P)^-1``,
one more solve:

    d merit / d log p_b = - p_b sum_{i in b} v_i w_i,    v = H (d merit / d w)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy import linalg, optimize

from brainalign.encoding.blocks import Centred
from brainalign.encoding.crossval import Path
from brainalign.encoding.penalty import Regulariser
from brainalign.encoding.solve import MERITS, factorise, fit_of

Pair = tuple[Centred, Centred]
_BOUNDS = (float(np.log(1e-8)), float(np.log(1e8)))


@dataclass(frozen=True, eq=False)
class BandedRidge:
    """Turns a training set and band penalties into weights.

    Parameters
    ----------
    regulariser
        The units.
    groups
        Lagged columns of each band.
    rate
        Frames per second.
    """

    regulariser: Regulariser
    groups: Sequence[np.ndarray]
    rate: float

    def path(self, train: Centred, *, weights: np.ndarray, penalties: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the weights for every penalty under every row of band weights, ``(n_columns, n_channels)``."""
        unit = self._units(train)
        for row in weights:
            width = self._spread(np.sqrt(row / unit))
            scaled, products = train.sxx * width[:, None] * width, train.sxy * width[:, None]
            for penalty in penalties:
                factor = factorise(scaled + penalty * np.eye(len(scaled)))
                yield width[:, None] * linalg.cho_solve(factor, products, check_finite=False)

    def paths(self, weights: np.ndarray, penalties: np.ndarray) -> Path:
        """Return the path over all candidates: every penalty under every row of band weights."""

        def _path(train: Centred, numbers: Sequence[int] | None = None) -> Iterator[np.ndarray]:
            if numbers is None:
                return self.path(train, weights=weights, penalties=penalties)
            pairs = (divmod(number, len(penalties)) for number in numbers)
            parts = (self.path(train, weights=weights[[i]], penalties=penalties[[j]]) for i, j in pairs)
            return chain.from_iterable(parts)

        return _path

    def at(self, train: Centred, penalties: np.ndarray) -> np.ndarray:
        """Return the weights for each channel's own penalties, given as ``(n_bands, n_channels)``."""
        out = np.empty_like(train.sxy)
        rows, member = np.unique(penalties, axis=1, return_inverse=True)
        for number, row in enumerate(rows.T):
            chosen = member.ravel() == number
            part = replace(train, sxy=train.sxy[:, chosen])
            (out[:, chosen],) = self.path(part, weights=1 / row[None], penalties=np.ones(1))
        return out

    def gradient(self, pair: Pair, log_penalties: np.ndarray, *, merit: str) -> tuple[float, np.ndarray]:
        """Return the merit summed over channels, and its gradient by the logarithm of each band's penalty.

        Parameters
        ----------
        pair
            Training and held-out moments.
        log_penalties
            Natural logarithms of relative penalties, one per band, the same for all channels.
        merit
            ``"r"`` or ``"r2"``.
        """
        train, held = pair
        penalty = self._spread(np.exp(log_penalties) * self._units(train))
        factor = factorise(train.sxx + np.diag(penalty))
        w = linalg.cho_solve(factor, train.sxy, check_finite=False)
        value, slope = _SLOPES[merit](w, train, held)
        v = linalg.cho_solve(factor, slope, check_finite=False)
        by_column = -penalty * np.einsum("xc,xc->x", v, w)
        return value, np.array([by_column[columns].sum() for columns in self.groups])

    def refine(self, pairs: Sequence[Pair], penalties: np.ndarray, *, merit: str, n_steps: int) -> np.ndarray:
        """Improve penalties, one per band, by L-BFGS on the mean merit over pairs and channels."""

        def loss(log_penalties: np.ndarray) -> tuple[float, np.ndarray]:
            found = [self.gradient(pair, log_penalties, merit=merit) for pair in pairs]
            n = len(found) * len(pairs[0][0].syy)
            return -sum(value for value, _ in found) / n, -np.sum([slope for _, slope in found], axis=0) / n

        start = np.clip(np.log(penalties), *_BOUNDS)
        bounds = [_BOUNDS] * len(start)
        done = optimize.minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": n_steps, "ftol": 1e-10}
        )
        return np.exp(done.x)

    def _units(self, train: Centred) -> np.ndarray:
        return self.regulariser.units(train, self.groups, rate=self.rate)

    def _spread(self, values: np.ndarray) -> np.ndarray:
        out = np.empty(sum(len(columns) for columns in self.groups))
        for columns, value in zip(self.groups, values, strict=True):
            out[columns] = value
        return out


def channel(moments: Centred, number: int) -> Centred:
    """Return the moments of one channel."""
    part = slice(number, number + 1)
    return replace(moments, y_mean=moments.y_mean[part], sxy=moments.sxy[:, part], syy=moments.syy[part])


def _slope_of_r(w: np.ndarray, train: Centred, held: Centred) -> tuple[float, np.ndarray]:
    fit, seen = fit_of(w, train, held), held.sxx @ w
    scale = np.sqrt(np.clip(fit.power, 0, None) * fit.syy)
    turn = np.divide(fit.product, fit.power, out=np.zeros_like(scale), where=fit.power > 0)
    return float(MERITS["r"](fit).sum()), (held.sxy - turn * seen) / np.where(scale > 0, scale, np.inf)


def _slope_of_r2(w: np.ndarray, train: Centred, held: Centred) -> tuple[float, np.ndarray]:
    fit = fit_of(w, train, held)
    pull = held.sxy - held.sxx @ w + held.n * np.outer(held.x_mean - train.x_mean, fit.error)
    return float(MERITS["r2"](fit).sum()), 2 * pull / np.where(fit.syy > 0, fit.syy, np.inf)


_SLOPES: dict[str, Callable[[np.ndarray, Centred, Centred], tuple[float, np.ndarray]]] = {
    "r": _slope_of_r,
    "r2": _slope_of_r2,
}
