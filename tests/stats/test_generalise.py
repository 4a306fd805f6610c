"""Flipped listeners: patterns, counting, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.stats.generalise import flip_patterns, flip_test


def test_all_patterns_but_for_the_mirrored_ones_are_there_once():
    signs, exact = flip_patterns(5, n_permutations=100, seed=0)
    assert exact
    assert signs.shape == (16, 5)
    assert (signs[0] == 1).all()
    assert len(np.unique(signs * signs[:, :1], axis=0)) == 16


def test_many_listeners_are_flipped_at_random():
    signs, exact = flip_patterns(20, n_permutations=50, seed=0)
    assert (exact, signs.shape) == (False, (51, 20))
    assert (flip_patterns(20, n_permutations=50, seed=1)[0] != signs).any()


def test_p_counts_patterns_that_reach_the_data(rng):
    scores = 0.1 * rng.standard_normal((8, 4, 2))
    scores[0, :, 0] = 0.6
    found = flip_test(scores, exact=True)
    assert found.p[0] == found.p_corrected[0] == 1 / 8
    mean = np.arctanh(scores).mean(axis=1)
    assert found.p[1] == np.mean(mean[:, 1] >= mean[0, 1])
    np.testing.assert_allclose(found.observed, mean[0])
    assert (found.p_corrected >= found.p).all()
    assert (found.n_listeners, found.n_permutations, found.exact) == (4, 7, True)
    assert "flipped per listener" in found.assumption


def test_ties_count():
    assert flip_test(np.full((4, 3, 1), 0.2), exact=True).p[0] == 1


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ValueProblem, match="at least three"):
        flip_patterns(2, n_permutations=10, seed=0)
    with pytest.raises(ShapeMismatch, match="patterns by listeners"):
        flip_test(np.zeros((4, 2)), exact=True)
    with pytest.raises(NotFinite, match="the scores"):
        flip_test(np.full((4, 3), np.nan), exact=True)
