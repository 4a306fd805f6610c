"""Refits on weighted blocks: equal to models of explicitly resampled rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.encoding.blocks import fold_moments
from brainalign.encoding.multivariate import fit_encoding, fit_fixed
from brainalign.encoding.penalty import Regulariser
from brainalign.encoding.prediction import pearson
from brainalign.encoding.refits import held_out_predictions, influence, make_refits, span_moments
from tests.encoding.designs import lagged, make_design

SPANS = [(k, a, b) for k in range(5) for a, b in ((0, 11), (11, 150), (150, 300 + 17 * k))]


def rows_of(design, span):
    """Return the explicit lag matrix and responses of the usable frames of a stretch."""
    trial = design.trials[span[0]]
    x = trial.x.block(0, design.n_features).astype(float)
    columns = np.concatenate([lagged(x[:, f], design.lags, edges="zero") for f in range(design.n_features)], axis=1)
    kept = np.zeros(len(x), dtype=bool)
    kept[span[1] : span[2]] = True
    kept &= trial.mask
    return columns[kept], trial.y[kept]


def by_hand(design, counts, *, penalty):
    """Ridge on copied rows, relative penalty, intercept free: weights in the response's unit."""
    parts = [rows_of(design, span) for span in SPANS]
    drawn = [part for part, n in zip(parts, counts, strict=True) for _ in range(int(n))]
    x, y = (np.concatenate([part[side] for part in drawn]) for side in (0, 1))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    gram = x.T @ x
    weights = np.linalg.solve(gram + penalty * np.diag(gram).mean() * np.eye(len(gram)), x.T @ y)
    return weights.reshape(design.n_features, design.lags.n, -1).swapaxes(1, 2)


@pytest.mark.parametrize("lags", [(-2, 5), (2, 9), (-7, -1), (0, 0)])
@pytest.mark.parametrize("masked", [False, True])
def test_refits_equal_ridge_on_copied_rows(rng, lags, masked):
    design = make_design(rng, lags=lags, masked=masked)
    counts = rng.multinomial(15, np.full(15, 1 / 15), size=6).astype(float)
    refits = make_refits(design, 0.1, spans=SPANS)
    found = np.concatenate(list(refits.responses(counts)))
    for row in range(6):
        expected = by_hand(design, counts[row], penalty=0.1)
        np.testing.assert_allclose(found[row], expected, atol=1e-10 * np.abs(expected).max())


def test_every_block_once_is_the_model_of_all_trials(rng):
    design = make_design(rng, masked=True, as_csr=True)
    own = np.array([0.01, 1.0, 0.01, 10.0])
    (found,) = make_refits(design, own, spans=SPANS).responses(np.ones((1, 15)))
    expected = fit_fixed(design, own).coef.swapaxes(1, 2)
    np.testing.assert_allclose(found[0], expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("rule", ["tikhonov-1", Regulariser("ridge", "absolute"), Regulariser("ridge", "mtrf")])
def test_other_regularisers_keep_their_units(rng, rule):
    """Blocks are no trials: mTRF's penalty goes by the number of trials."""
    design = make_design(rng)
    (found,) = make_refits(design, 0.3, spans=SPANS, regulariser=rule).responses(np.ones((1, 15)))
    expected = fit_fixed(design, 0.3, regulariser=rule).coef.swapaxes(1, 2)
    np.testing.assert_allclose(found[0], expected, atol=1e-9 * np.abs(expected).max())


def test_moments_of_stretches_add_up_to_those_of_trials(rng):
    design = make_design(rng, masked=True)
    whole = fold_moments(design, np.zeros(5, dtype=int))
    parts = span_moments(design, SPANS)
    for name in ("n", "sx", "sy", "sxx", "sxy", "syy"):
        np.testing.assert_allclose(getattr(parts, name).sum(axis=0), getattr(whole, name)[0], atol=1e-8)


def test_portions_of_resamples_make_no_difference(rng, monkeypatch):
    design, counts = make_design(rng), rng.random((7, 15))
    refits = make_refits(design, 1.0, spans=SPANS)
    whole = np.concatenate(list(refits.responses(counts)))
    monkeypatch.setattr("brainalign.encoding.refits._BLOCK_BYTES", 1)
    portions = list(refits.responses(counts))
    assert len(portions) == 7
    np.testing.assert_allclose(np.concatenate(portions), whole, rtol=1e-12)


def test_influence_tells_how_weights_move(rng):
    """Leaving a stretch out moves a weight by minus the sum of its influence, to first order."""
    design = make_design(rng, n_trials=5)
    waves = influence(design, 0.05, at=[3, 4, 2])
    refits = make_refits(design, 0.05, spans=SPANS)
    counts = 1 - 0.01 * np.eye(15)
    plain, *less = np.concatenate(list(refits.responses(np.vstack([np.ones((1, 15)), counts]))))
    told, moved = [], []
    for number, (trial, start, stop) in enumerate(SPANS):
        told.append(waves[trial][start:stop].reshape(stop - start, 3, 4).sum(axis=0))
        change = (plain - less[number]) / 0.01 / refits.moments.scale[:, None]
        moved.append(np.stack([change[f, :, lag] for f, lag in enumerate((3, 4, 2))]))
    assert np.corrcoef(np.ravel(told), np.ravel(moved))[0, 1] > 0.98


@pytest.mark.parametrize("per_channel", [True, False])
def test_held_out_predictions_have_the_reported_scores(rng, per_channel):
    design = make_design(rng, n_trials=6, masked=True)
    result = fit_encoding(design, n_folds=3, per_channel=per_channel)
    predictions, folds = held_out_predictions(result, design)
    for fold in range(3):
        pair = [
            np.concatenate([side[k][design.trials[k].mask] for k in np.flatnonzero(folds == fold)])
            for side in (predictions, [trial.y for trial in design.trials])
        ]
        np.testing.assert_allclose(pearson(*pair), result.scores[fold], atol=1e-8)


def test_what_cannot_be_refitted_is_refused(rng):
    design = make_design(rng)
    with pytest.raises(ValueProblem, match="MNE's convention"):
        make_refits(design, 1.0, spans=SPANS, regulariser=Regulariser("ridge", "mne"))
    with pytest.raises(ShapeMismatch, match="one number, or one per channel"):
        make_refits(design, [1.0, 2.0], spans=SPANS)
    with pytest.raises(ValueProblem, match="need a cross-validated model"):
        held_out_predictions(fit_fixed(design, 1.0), design)
    other = replace(design, channels=tuple("abcd"))
    with pytest.raises(ShapeMismatch, match="result and design differ"):
        held_out_predictions(fit_encoding(design, n_folds=3), other)
