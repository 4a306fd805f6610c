"""What is left of a feature once the baseline is taken out? One joint model by elimination.

With ``G = (Szz + A)^-1 Szx`` and ``Sxx - Szx' G = V diag(e) V'`` from training moments, the
feature's part of the joint ridge fit is, for every penalty at once, ``V g z``, with

    z = V' (Sxy - G' Szy),    q = V' (Sxy - G' Szy)_test,    p = V' (Sxz - G' Szz)_test b,

and the joint prediction's product with the held-out response and its power are

    product = product_Z + sum g z q,    power = power_Z + sum_l 2 g z p + sum_lm g_l z_l M_lm z_m g_m.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from brainalign.encoding.baseline import Baseline
from brainalign.encoding.nest import bend_matrices, gain_tables


@dataclass(frozen=True, eq=False)
class FeatureMoments:
    """One feature's moments per fold, float64.

    Attributes
    ----------
    sxx, sx
        Gram matrices and sums, ``(n_folds, n_lags, n_lags)`` and ``(n_folds, n_lags)``.
    sxz
        Products with the baseline's columns, ``(n_folds, n_lags, m)``.
    """

    sxx: np.ndarray
    sx: np.ndarray
    sxz: np.ndarray


@dataclass(frozen=True, eq=False)
class Joined:
    """One feature joined to the baseline in one combination: small matrices, ready for any column.

    ``weights`` gives z above p of a training set's moments ``(feature lags, baseline, sum)``,
    ``(2 L, L + m + 1)``; ``held`` gives q of the held-out fold's; ``bend`` is K above H;
    ``gains`` and ``bend_gains`` are the penalties' factors.
    """

    weights: np.ndarray
    held: np.ndarray
    bend: np.ndarray
    gains: np.ndarray
    bend_gains: np.ndarray


def join(base: Baseline, number: int, feature: FeatureMoments, penalties: np.ndarray, *, dtype: type) -> Joined:
    """Join a feature to the baseline in combination ``number``."""
    model, sxx, sx, sxz = base.combinations[number], feature.sxx, feature.sx, feature.sxz
    kept, test, n_lags = base.kept(model.out), [model.test], len(base.lags)
    n, sz, inverse = base.n, base.sz, base.inverses[number]
    train_xx = centred(sxx[kept], sx[kept], sx[kept], n[kept])
    train_xz = centred(sxz[kept], sx[kept], sz[kept], n[kept])
    test_xx, test_xz = (centred(part[test], sx[test], other[test], n[test]) for part, other in ((sxx, sx), (sxz, sz)))
    test_zz = centred(base.szz[test], sz[test], sz[test], n[test])
    through = train_xz @ inverse
    unit = np.trace(train_xx) / n_lags
    width = 1 / np.sqrt(unit) if unit > 1e-11 * np.trace(sxx.sum(axis=0)) / n_lags else 0.0
    left = train_xx - through @ train_xz.T
    values, basis = np.linalg.eigh((left + left.T) / 2)
    values = np.clip(values, 0, None) * width**2
    both = test_xz @ through.T
    seen = basis.T @ (test_xx - both - both.T + through @ test_zz @ through.T) @ basis * width**2
    onto = width * basis.T @ np.hstack([np.eye(n_lags), -through])
    cross = width * basis.T @ (test_xz - through @ test_zz) @ inverse
    weights = np.vstack([onto, np.hstack([np.zeros_like(train_xx), cross])])
    gains, bends = gain_tables(values[None], penalties, relative=False)
    bend = bend_matrices(seen, values, penalties.min(), dtype=dtype)
    joined = Joined(
        weights=_with_sum(weights, np.concatenate([sx[kept], sz[kept]], axis=1).sum(axis=0), n[kept].sum()),
        held=_with_sum(onto, np.concatenate([sx[test], sz[test]], axis=1)[0], n[test].sum()),
        bend=bend,
        gains=gains,
        bend_gains=np.concatenate([bends, 2 * gains], axis=-1),
    )
    return replace(joined, **{name: value.astype(dtype) for name, value in vars(joined).items()})


def centred(products: np.ndarray, left: np.ndarray, right: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Add folds up and take the means' share off."""
    return products.sum(axis=0) - np.outer(left.sum(axis=0), right.sum(axis=0)) / n.sum()


def _with_sum(rows: np.ndarray, sums: np.ndarray, n: float) -> np.ndarray:
    """Append the column that centres uncentred products."""
    return np.hstack([rows, -(rows @ sums)[:, None] / n])


def joint_r(
    feature: Joined, training: np.ndarray, held: np.ndarray, product: np.ndarray, power: np.ndarray
) -> np.ndarray:
    """Return r of baseline and feature times the response's spread, for every penalty, ``(n_penalties, n_columns)``."""
    n_lags = len(feature.held)
    both = feature.weights @ training
    z, cross = both[:n_lags], both[n_lags:]
    bent = (feature.bend @ z).reshape(2, n_lags, -1) * z
    terms = np.concatenate([bent.reshape(2 * n_lags, -1), cross * z])
    return ratio(product + feature.gains @ (z * (feature.held @ held)), power + feature.bend_gains @ terms)


def ratio(product: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return ``product / sqrt(power)``, and 0 where the prediction is constant."""
    scale = np.sqrt(np.clip(power, 0, None))
    return np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
