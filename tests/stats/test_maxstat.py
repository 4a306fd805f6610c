"""Step-down against brute force, and against single-step."""

import numpy as np
import pytest

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
