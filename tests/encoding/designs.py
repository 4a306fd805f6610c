"""Small designs with ragged trials, sparse features and a planted response, for the tests of this folder."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from brainalign.core.design import Design, Trial
from brainalign.core.time import Lags, TimeAxis
from brainalign.core.trajectory import Trajectory

RATE = 50


def make_design(
    rng: np.random.Generator,
    *,
    n_trials: int = 5,
    n_features: int = 3,
    n_channels: int = 4,
    lags: tuple[int, int] = (-2, 5),
    signal: float = 0.7,
    as_csr: bool = False,
    masked: bool = False,
) -> Design:
    """Return trials of different length; feature 0 drives channel 0 at lag 3."""
    trials = [
        _make_trial(rng, number, n_features, n_channels, signal=signal, as_csr=as_csr, masked=masked)
        for number in range(n_trials)
    ]
    channels = tuple(f"ch{i}" for i in range(n_channels))
    return Design(tuple(trials), Lags(*lags, RATE), channels, np.zeros((n_channels, 3)), subject="01")


def _make_trial(rng, number, n_features, n_channels, *, signal, as_csr, masked):
    n = 300 + 17 * number
    x = rng.random((n, n_features)) * (rng.random((n, n_features)) < 0.3)
    y = rng.standard_normal((n, n_channels)) + 0.5
    y[3:, 0] += signal * 4 * x[:-3, 0]
    mask = np.ones(n, dtype=bool)
    if masked:
        mask[40:60] = False
    values = x.astype(np.float32)
    trajectory = Trajectory(
        sparse.csr_array(values) if as_csr else values, TimeAxis(RATE, n), tuple(f"f{i}" for i in range(n_features))
    )
    return Trial(f"story-{number}", trajectory, 1e-5 * y, mask)


def lagged(x: np.ndarray, lags: Lags, *, edges: str) -> np.ndarray:
    """Return the explicit lag matrix that the package never forms."""
    columns = []
    for lag in lags.samples:
        column = np.roll(x, lag, axis=0)
        if edges == "zero":
            column[:lag] = 0 if lag > 0 else column[:lag]
            column[len(x) + lag :] = 0 if lag < 0 else column[len(x) + lag :]
        columns.append(column)
    return np.stack(columns, axis=-1)
