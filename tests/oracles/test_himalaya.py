"""Banded ridge against himalaya, on explicit lag matrices with the same candidates and folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.encoding.banded import Search, fit_banded
from brainalign.encoding.folds import assign_folds
from brainalign.encoding.penalty import Regulariser
from tests.encoding.designs import lagged, make_design

PENALTIES = np.array([1.0, 10.0, 100.0])
BANDS = {"one": (0, 1), "two": (2,)}


class Folds:
    """A splitter over frames that follows the trials."""

    def __init__(self, fold_of_frame):
        self.fold_of_frame = fold_of_frame

    def get_n_splits(self, *_):
        return len(np.unique(self.fold_of_frame))

    def split(self, *_):
        for fold in np.unique(self.fold_of_frame):
            yield np.flatnonzero(self.fold_of_frame != fold), np.flatnonzero(self.fold_of_frame == fold)


def explicit(design, folds):
    spaces = []
    for columns in BANDS.values():
        parts = [
            lagged(t.x.block(0, 3)[:, columns].astype(float), design.lags, edges="zero").reshape(t.axis.n, -1)
            for t in design.trials
        ]
        spaces.append(np.vstack(parts))
    y = np.vstack([1e5 * t.y for t in design.trials])
    return spaces, y, np.repeat(folds, [t.axis.n for t in design.trials])


@pytest.mark.parametrize("merit", ["r", "r2"])
def test_random_search_finds_the_same_penalties_and_scores(rng, merit):
    ridge, scoring = pytest.importorskip("himalaya.ridge"), pytest.importorskip("himalaya.scoring")
    design = replace(make_design(rng, signal=0.2), bands=BANDS)
    draws = rng.dirichlet([1.0, 1.0], size=6)
    rule, search = Regulariser("ridge", "absolute"), Search(weights=draws, merit=merit)
    found = fit_banded(design, penalties=PENALTIES, n_folds=4, regulariser=rule, search=search)
    folds = assign_folds([t.name for t in design.trials], 4)
    spaces, y, fold_of_frame = explicit(design, folds)
    score = {"r": scoring.correlation_score, "r2": scoring.r2_score}[merit]

    def solve(kept):
        return ridge.solve_group_ridge_random_search(
            [space[kept] for space in spaces], y[kept], n_iter=draws, alphas=PENALTIES, fit_intercept=True,
            score_func=score, cv=Folds(fold_of_frame[kept]), return_weights=True, progress_bar=False,
        )  # fmt: skip

    for fold in range(4):
        kept, held = fold_of_frame != fold, fold_of_frame == fold
        deltas, weights, _, _ = solve(kept)
        np.testing.assert_allclose(np.log(found.alpha[fold]), -deltas, atol=1e-8)
        predicted = np.hstack([space[held] for space in spaces]) @ weights
        np.testing.assert_allclose(found.scores[fold], scoring.correlation_score(y[held], predicted), atol=1e-8)
    deltas, weights, _, intercept = solve(np.full(len(y), True))
    np.testing.assert_allclose(np.log(found.coef_alpha), -deltas, atol=1e-8)
    np.testing.assert_allclose(1e5 * found.coef.reshape(-1, 4), weights, atol=1e-8)
    np.testing.assert_allclose(1e5 * found.intercept, intercept, atol=1e-8)
