"""Step-down against brute force, and against single-step."""

import numpy as np
import pytest

from brainalign.core.errors import NotFinite, ShapeMismatch
from brainalign.stats.maxstat import corrected_p, step_down_p


def by_hand(group):
    """Westfall and Young's procedure in its own words."""
    order = np.argsort(-group[0], kind="stable")
    p, so_far = np.empty(len(order)), 0.0
    for place, test in enumerate(order):
        largest = group[1:, order[place:]].max(axis=1)
        so_far = max(so_far, (1 + (largest >= group[0, test]).sum()) / len(group))
        p[test] = so_far
    return p


@pytest.fixture
def group(rng):
    group = rng.standard_normal((200, 12)) + rng.standard_normal((200, 1))
    group[0, :4] += 3
    group[0, 5] = group[0, 6]  # a tie
    group[:, 7] = group[:, 8]  # one test twice
    return group


def test_equals_brute_force(group):
    np.testing.assert_array_equal(step_down_p(group), by_hand(group))


def test_never_larger_than_single_step_and_sometimes_smaller(group):
    single = corrected_p(group[0], group.max(axis=1))
    assert (step_down_p(group) <= single).all()
    assert (step_down_p(group) < single).any()
    assert step_down_p(group).min() == single.min()


def test_order_of_tests_does_not_matter(group, rng):
    order = rng.permutation(group.shape[1])
    np.testing.assert_array_equal(step_down_p(group[:, order]), step_down_p(group)[order])


def test_a_layer_of_features_takes_no_time(rng):
    group = rng.standard_normal((1001, 6144)).astype(np.float32)
    assert step_down_p(group).min() >= 1 / 1001


def test_what_is_refused(group):
    """A missing score would count as a surrogate below the data."""
    group[7, 3] = np.nan
    with pytest.raises(NotFinite, match="the group holds values"):
        step_down_p(group)
    for wrong in (np.zeros((1, 3)), np.zeros(5)):
        with pytest.raises(ShapeMismatch, match="data and its surrogates"):
            step_down_p(wrong)


def test_over_features_one_pass_over_the_maxima_of_their_channels(rng):
    """Features' p-values from maxima are those of brute force over the features' largest statistics."""
    pairs = rng.standard_normal((150, 9, 5)) + rng.standard_normal((150, 1, 1))
    pairs[0, :2, 0] += 7
    maxima = pairs.max(axis=2)
    found = step_down_p(maxima)
    np.testing.assert_array_equal(found, by_hand(maxima))
    assert (found <= corrected_p(maxima[0], maxima.max(axis=1))).all()
    assert (found[:2] <= 0.05).all()
