"""Unique contributions of a group: gains averaged over listeners, each with rotations of their own."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch
from brainalign.encoding.unique import unique_rotated, unique_scores
from brainalign.mapping import unique_summary
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 10.0), "n_folds": 4}


def test_the_groups_statistic_is_the_mean_gain_and_p_counts_the_group(rng):
    designs = [make_design(rng), make_design(rng)]
    baselines = [[t.x.select([2]) for t in design.trials] for design in designs]
    shifts = [np.vstack([np.zeros((1, 5), dtype=int), rng.integers(20, 250, (9, 5))]) for _ in designs]
    seen = []
    summary = unique_summary(designs, baselines, shifts, report=lambda *args: seen.append(args), **FIT)
    parts = [
        list(unique_rotated(d, b, s, baseline_penalties=FIT["penalties"], **FIT))
        for d, b, s in zip(designs, baselines, shifts, strict=True)
    ]
    group = np.mean(parts, axis=0)
    np.testing.assert_allclose(summary.observed, group[:, 0], atol=1e-7)
    np.testing.assert_allclose(summary.p, (group >= group[:, :1]).mean(axis=1))
    assert seen[-1][:2] == (3, 3)


def test_the_data_alone_need_no_turning(rng):
    """`unique_scores` takes another way to the same numbers as row 0 of a null."""
    design = make_design(rng)
    baseline, shifts = [t.x.select([2]) for t in design.trials], np.zeros((2, 5), dtype=int)
    shifts[1] = 30
    rows = [g[0] for g in unique_rotated(design, baseline, shifts, n_folds=4, dtype=np.float64)]
    np.testing.assert_allclose(unique_scores(design, baseline, n_folds=4, dtype=np.float64), rows, atol=1e-10)


def test_a_baseline_on_another_clock_is_refused(rng):
    design = make_design(rng)
    baseline = [t.x.frames(0, t.axis.n - 1) for t in design.trials]
    with pytest.raises(ShapeMismatch, match="one trajectory per trial"):
        unique_scores(design, baseline, n_folds=4)
    with pytest.raises(ShapeMismatch, match="rotations by trials"):
        next(unique_rotated(design, [t.x for t in design.trials], np.zeros((2, 3), dtype=int), n_folds=4))
