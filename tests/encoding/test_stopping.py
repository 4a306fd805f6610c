"""Early stopping: the rows that are there are the full test's, and its p-values are valid."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.encoding.massunivariate import LagModel, rotated_scores
from brainalign.stats.sequential import sequential_p
from tests.encoding.designs import make_design

FIT = {"penalties": (0.1, 10.0), "n_folds": 4}


@pytest.fixture
def problem(rng):
    design = make_design(rng, n_channels=6, n_features=2, signal=1.0)
    return design, np.vstack([np.zeros((1, 5), dtype=int), rng.integers(20, 250, (150, 5))])


@pytest.mark.parametrize("per", ["channel", "feature"])
def test_what_is_scored_is_scored_the_same(problem, per):
    design, shifts = problem
    model = LagModel(penalty_per=per)
    full = np.array(list(rotated_scores(design, shifts, dtype=np.float64, model=model, **FIT)))
    early = np.array(list(rotated_scores(design, shifts, dtype=np.float64, model=model, stop_hopeless=5, **FIT)))
    there = np.isfinite(early)
    np.testing.assert_allclose(early[there], full[there], atol=1e-12)
    for f in range(2):
        np.testing.assert_allclose(
            sequential_p(early[f], stop_hopeless=5), sequential_p(full[f], stop_hopeless=5), atol=1e-12
        )
    # The planted pair is seen through to the end; the rest is left early.
    assert there[0, :, 0].all()
    if per == "channel":
        assert there.mean() < 0.6
        stopped = ~there[:, -1]
        exceeded = (full[:, 1:] >= full[:, :1]).sum(axis=1)
        assert np.all(exceeded[stopped] >= 5)


def test_a_pair_that_never_stops_has_the_p_of_the_full_test(problem):
    design, shifts = problem
    full = next(rotated_scores(design, shifts, **FIT))
    p = sequential_p(full, stop_hopeless=1000)
    np.testing.assert_allclose(p, (full >= full[0]).mean(axis=0))


def test_sequential_p_is_exact_where_it_can_stop_and_valid_everywhere(rng):
    """P(p <= h / l) is the chance of fewer than h exceedances among l - 1: h / l."""
    p = sequential_p(rng.standard_normal((400, 4000)), stop_hopeless=10)
    for level in (0.05, 0.1, 0.25, 0.5):
        assert abs(np.mean(p <= level + 1e-12) - level) < 4 * np.sqrt(level * (1 - level) / p.size)
    for level in np.linspace(0.003, 1, 50):
        assert np.mean(p <= level) < level + 4 * np.sqrt(level / p.size)


def test_the_data_must_come_first_and_the_bound_be_positive(problem):
    design, shifts = problem
    for first, bound in ((shifts[1:], 5), (shifts, 0)):
        with pytest.raises(ValueProblem, match="early stopping"):
            next(rotated_scores(design, first, stop_hopeless=bound, **FIT))
