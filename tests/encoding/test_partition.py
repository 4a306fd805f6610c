"""Parts of explained variance: they sum to the whole, and planted truth is found in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.design import Trial
from brainalign.core.errors import ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.encoding.multivariate import fit_encoding
from brainalign.encoding.partition import commonality, partition_variance
from tests.encoding.designs import make_design


def planted(rng):
    """Channel 0 follows feature 0; feature 1 is half feature 0; channel 1 follows feature 2."""
    design = make_design(rng, n_features=4, n_trials=6)
    trials = []
    for trial in design.trials:
        x = trial.x.block(0, 4).copy()
        x[:, 1] = x[:, 0] + x[:, 1]
        y = 1e5 * trial.y
        y[2:, 1] += 3 * x[:-2, 2]
        trials.append(Trial(trial.name, Trajectory(x, trial.axis, trial.x.features), y, trial.mask))
    return replace(design, trials=tuple(trials), bands={"a": (0,), "b": (1,), "c": (2, 3)})


def test_parts_and_shares_sum_to_the_whole(rng):
    found = partition_variance(planted(rng), n_folds=4)
    assert found.subsets == (("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c"))
    for name in ("r", "r2"):
        whole = getattr(found, name)[-1]
        np.testing.assert_allclose(getattr(found, f"{name}_parts").sum(axis=0), whole, atol=1e-12)
        np.testing.assert_allclose(getattr(found, f"{name}_shares").sum(axis=0), whole, atol=1e-12)


def test_planted_truth_is_found_in_its_place(rng):
    found = partition_variance(planted(rng), n_folds=4)
    assert found.unique("a")[0] > 0.05
    assert found.r2_parts[found.index("b", "a"), 0] > 0.05
    assert abs(found.unique("b")[0]) < 0.02
    assert found.unique("c")[1] > 0.3
    assert found.r_shares[2, 1] > 0.8 * found.r[-1, 1]


def test_every_subset_is_the_model_of_these_features_alone(rng):
    design = planted(rng)
    found = partition_variance(design, n_folds=4)
    alone = fit_encoding(replace(design.select(np.array([1, 2, 3])), bands={"b": (0,), "c": (1, 2)}), n_folds=4)
    np.testing.assert_allclose(found.r[found.index("b", "c")], alone.score, atol=1e-10)
    np.testing.assert_allclose(found.r[-1], fit_encoding(design, n_folds=4).score, atol=1e-10)


def test_commonality_of_three_overlapping_sets():
    """Explained variance as the size of sets: every part is the number of elements that exactly these share."""
    sets = {"a": {1, 2, 3, 7}, "b": {2, 3, 4}, "c": {3, 4, 5, 6}}
    subsets = [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    sizes = np.array([[len(set().union(*(sets[name] for name in subset)))] for subset in subsets], dtype=float)
    np.testing.assert_allclose(commonality(sizes, subsets).ravel(), [2, 0, 2, 1, 0, 1, 1])


def test_too_many_bands_are_refused(rng):
    design = make_design(rng, n_features=5)
    with pytest.raises(ValueProblem, match="2 to 4 bands"):
        partition_variance(replace(design, bands={f"b{i}": (i,) for i in range(5)}))
    with pytest.raises(ValueProblem, match="2 to 4 bands"):
        partition_variance(design)
