"""The partial-fraction identity, and the even and odd halves, against the plain formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import toeplitz

from brainalign.encoding.backend import NUMPY
from brainalign.encoding.nest import FoldMoments, Halves, bend_matrices, build_nest, gain_tables
from brainalign.encoding.scoring import Scores, Workspace, pick

PENALTIES = np.array([1e-3, 0.1, 1.0, 50.0, 1e4])


def power_by_hand(z, values, seen, penalties):
    gains = 1 / (values + penalties[:, None])
    return np.array([(g * z) @ seen @ (g * z) for g in gains])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "values",
    [
        np.linspace(0.2, 3.0, 12),
        np.ones(12),
        np.concatenate([np.full(6, 0.5), np.full(6, 1.5)]),
        1 + 1e-7 * np.arange(12),
        1 + 1e-3 * np.arange(12) ** 2,
        np.concatenate([np.zeros(6), np.logspace(-8, 1, 6)]),
        np.logspace(-14, 1, 12),
    ],
    ids=["apart", "equal", "two", "almost", "close", "null", "decades"],
)
def test_one_product_serves_all_penalties_whatever_the_eigenvalues(rng, values, dtype):
    root = rng.standard_normal((30, 12)) * np.sqrt(values)
    seen, z = root.T @ root / 30, rng.standard_normal(12) * np.sqrt(values)
    gains, bend_gains = gain_tables(values[None], PENALTIES, relative=False)
    bend = bend_matrices(seen, values, PENALTIES.min(), dtype=dtype)
    bent = (bend.astype(dtype) @ z.astype(dtype)).reshape(2, -1) * z
    found = bend_gains @ bent.ravel()
    expected = power_by_hand(z, values, seen, PENALTIES)
    np.testing.assert_allclose(found, expected, rtol=1e-9 if dtype == np.float64 else 3e-5)
    np.testing.assert_allclose(gains, 1 / (values + PENALTIES[:, None]), rtol=1e-12)


def moments_of(rng, *, n_lags, n_folds=4, n=400, smooth=0.0):
    x = rng.standard_normal((n_folds, n))
    for t in range(1, n):
        x[:, t] += smooth * x[:, t - 1]
    y = rng.standard_normal((n_folds, n, 6)) + 0.3 * np.roll(x, 2, axis=1)[..., None]
    columns = np.stack([np.roll(x, lag, axis=1) for lag in range(n_lags)], axis=-1)
    return columns, y


def outer_by_hand(columns, y, penalty):
    scores = []
    for fold in range(len(y)):
        kept = [k for k in range(len(y)) if k != fold]
        x, out = np.concatenate(columns[kept]), np.concatenate(y[kept])
        x, mean = x - x.mean(axis=0), x.mean(axis=0)
        unit = x.var(axis=0).mean() * len(x)
        weights = np.linalg.solve(x.T @ x + penalty * unit * np.eye(x.shape[1]), x.T @ (out - out.mean(axis=0)))
        predicted = (columns[fold] - mean) @ weights
        scores.append([np.corrcoef(predicted[:, c], y[fold][:, c])[0, 1] for c in range(y.shape[2])])
    return np.array(scores)


@pytest.mark.parametrize("n_lags", [1, 2, 7, 8])
@pytest.mark.parametrize("n_parts", [1, 2])
@pytest.mark.parametrize("smooth", [0.0, 0.97])
def test_r_from_moments_is_r_from_predictions(rng, n_lags, n_parts, smooth):
    columns, y = moments_of(rng, n_lags=n_lags, smooth=smooth)
    halves = Halves(n_lags, n_parts)
    moments = FoldMoments(
        np.full(4, 400.0), columns.sum(axis=1)[None], np.einsum("knl,knm->klm", columns, columns)[None]
    )
    nest = build_nest(moments, PENALTIES, halves=halves, dtype=np.float64)
    space = Workspace(NUMPY, halves=halves, shape=(4, 1, len(PENALTIES), 6), dtype=np.float64)
    sxy, h = np.einsum("knl,knc->klc", columns, y), halves.height
    space.raw[:, 0, 0, :h], space.raw[:, 0, :, h] = sxy[:, :h], y.sum(axis=1)[:, None]
    if n_parts == 2:
        space.raw[:, 0, 0, :h] += sxy[:, ::-1][:, :h]
        space.raw[:, 0, 1, :h] = sxy[:, :h] - sxy[:, ::-1][:, :h]
    spread = np.sqrt(np.square(y - y.mean(axis=1, keepdims=True)).sum(axis=1))
    scores = space.run(nest, 1 / spread)
    for a, penalty in enumerate(PENALTIES):
        np.testing.assert_allclose(scores.outer[:, 0, a], outer_by_hand(columns, y, penalty), atol=1e-10)


@pytest.mark.parametrize("n_lags", [5, 6])
def test_the_halves_are_an_orthonormal_change_of_lags(rng, n_lags):
    halves = Halves(n_lags, 2)
    rows = halves.matrix.reshape(-1, n_lags)
    np.testing.assert_allclose(rows.T @ rows, np.eye(n_lags), atol=1e-14)
    gram = toeplitz(rng.standard_normal(n_lags))
    mixed = halves.matrix[0] @ gram @ halves.matrix[1].T
    np.testing.assert_allclose(mixed, 0, atol=1e-14)


def test_of_equal_merits_the_smallest_penalty_is_taken():
    merit = np.array([0.0, 2.0, 2.0, 1.0]).reshape(1, 1, 4, 1)
    outer = np.arange(4.0).reshape(1, 1, 4, 1)
    r, choice = pick(Scores(merit, outer), NUMPY, per="channel", n_channels=1)
    assert (r.item(), choice.item()) == (1.0, 1)


def test_channels_of_a_feature_choose_together_by_their_mean():
    merit = np.array([[0.0, 3.0], [2.0, 0.0]]).reshape(1, 1, 2, 2)
    alone, together = (pick(Scores(merit, merit), NUMPY, per=per, n_channels=2)[1] for per in ("channel", "feature"))
    assert alone.ravel().tolist() == [1, 0]
    assert together.ravel().tolist() == [0, 0]
