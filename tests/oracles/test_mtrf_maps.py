"""Maps of single features against mTRFpy: weights, predictions and scores, on trials of different length."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.design import Design
from brainalign.encoding.massunivariate import feature_maps
from tests.encoding.designs import make_design

mtrf = pytest.importorskip("mtrf", reason="the peers come with the extra 'bench'")
ALPHA = 0.25


def theirs(design, feature, kept, alpha):
    """Train mTRFpy with the ridge that our relative penalty amounts to (its own is scaled by rate and trials)."""
    rate, lags = float(design.lags.rate), design.lags
    x = [design.trials[k].x.block(feature, feature + 1).astype(float) for k in kept]
    y = [np.asarray(design.trials[k].y, dtype=float) for k in kept]
    rows = np.concatenate([lagged_rows(part[:, 0], lags) for part in x])
    unit = len(rows) * rows.var(axis=0).mean()
    model = mtrf.TRF(direction=1)
    window = lags.first / rate, lags.last / rate
    model.train(x, y, rate, *map(float, window), alpha * unit / rate / len(kept), verbose=False)
    return model


def lagged_rows(x, lags):
    padded = np.pad(x, (max(lags.last, 0), max(-lags.first, 0)))
    return np.stack([padded[max(lags.last, 0) - lag :][: len(x)] for lag in lags.samples], axis=1)


@pytest.mark.parametrize("as_csr", [False, True])
@pytest.mark.parametrize("lags", [(-2, 5), (0, 6)])
def test_weights_predictions_and_scores_are_theirs(rng, as_csr, lags):
    design: Design = make_design(rng, n_trials=4, as_csr=as_csr, lags=lags)
    result = feature_maps(design, penalties=(ALPHA,), n_folds=4, dtype=np.float64)
    everything = range(4)
    for f in range(design.n_features):
        model = theirs(design, f, everything, ALPHA)
        weights = model.weights[0] / float(design.lags.rate)
        np.testing.assert_allclose(result.coef[f], weights, rtol=0, atol=1e-8 * np.abs(weights).max())
        for fold in everything:
            kept = [k for k in everything if k != fold]
            trial = design.trials[fold]
            x, y = trial.x.block(f, f + 1).astype(float), np.asarray(trial.y, dtype=float)
            prediction, _ = theirs(design, f, kept, ALPHA).predict([x], [y])
            r = [np.corrcoef(prediction[0][:, c], y[:, c])[0, 1] for c in range(y.shape[1])]
            np.testing.assert_allclose(result.scores[fold, f], r, atol=1e-8)
