"""Pooled tails: blocks, agreement, flags, and the Pareto law it is compared with."""

import numpy as np
import pytest
from scipy import stats

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.stats.permutation import permutation_p
from brainalign.stats.tail import N_BINS, clump, look, pareto_p, pooled_p, put_together, tail_spread

N, FEATURES, CHANNELS = 500, 40, 16


def null(rng, scale=1.0):
    return scale * rng.standard_normal((FEATURES, N, CHANNELS)) + 0.3


def test_blocks_in_any_size_and_order_add_up_to_the_same(rng):
    parts = [look(one) for one in null(rng)]
    whole = put_together(parts)
    halves = put_together([put_together(parts[:7]), put_together(parts[7:])])
    np.testing.assert_array_equal(whole.histogram, halves.histogram)
    np.testing.assert_array_equal(whole.beyond, halves.beyond)
    np.testing.assert_array_equal(put_together(parts[::-1]).histogram, whole.histogram)
    np.testing.assert_array_equal(put_together(parts[::-1]).together, whole.together)
    assert whole.together.sum() == whole.beyond.sum()
    assert whole.histogram.sum() == FEATURES * N * CHANNELS
    assert whole.histogram.shape == (N_BINS,)


def test_units_and_offsets_do_not_matter(rng):
    surrogates = null(rng)[0]
    one, other = look(surrogates), look(surrogates * np.linspace(1e-6, 1e6, CHANNELS) + 5)
    assert np.abs(one.histogram - other.histogram).sum() <= 4  # rounding at the edges of bins


def test_small_p_values_of_a_known_law(rng):
    """Normal nulls: the pooled p-value of 3.5 and 4 standard deviations of 500 surrogates is Student's."""
    tails = put_together([look(one) for one in rng.standard_normal((300, N, CHANNELS))])
    z = np.full((300, CHANNELS), 3.5)
    z[0] = 4.0
    z[1] = 0.5
    p = np.where(z > 3, 1 / (1 + N), stats.norm.sf(z))
    found = pooled_p(z, p, tails)
    assert found.agree
    assert found.p[2, 0] == pytest.approx(stats.t.sf(3.5, N - 1), rel=0.15)
    assert found.p[0, 0] == pytest.approx(stats.t.sf(4.0, N - 1), rel=0.4)
    assert found.extrapolated[[0, 2]].all()
    assert not found.extrapolated[1].any()
    np.testing.assert_array_equal(found.p[1], p[1])
    assert "2,400,000" in found.note


def test_different_shapes_are_not_pooled(rng):
    parts = [look(one) for one in null(rng)]
    heavy = [look(rng.standard_t(2.5, size=(N, CHANNELS)) * (1 if f % 2 else 0.2) ** f) for f in range(5)]
    skewed = [look(rng.exponential(size=(N, CHANNELS)) ** 2) for _ in range(30)]
    tails = put_together(parts + heavy + skewed)
    assert tail_spread(put_together(parts)) < 0.15
    assert tail_spread(tails) > 0.35
    p = np.full((75, CHANNELS), 1 / (1 + N))
    found = pooled_p(np.full(p.shape, 5.0), p, tails)
    assert not found.agree
    np.testing.assert_array_equal(found.p, p)
    assert not found.extrapolated.any()
    assert "No p-value is extrapolated: the nulls' tails differ by" in found.note


def test_copies_of_one_pair_are_worth_no_more_than_one(rng):
    """Sixteen copies: the pooled p-value is the pair's own, not a sixteenth of it."""
    one = rng.standard_normal((N, 1))
    parts = [look(np.repeat(one, 4, axis=1)) for _ in range(4)]
    tails = put_together(parts)
    assert clump(tails) == pytest.approx(16, rel=0.02)
    least = np.full((4, 4), 1 / (1 + N))
    found = pooled_p(np.full((4, 4), 50.0), least, tails)
    assert found.p == pytest.approx(1 / (1 + N), rel=0.02)
    assert clump(look(np.zeros((N, 2)))) == 1


def test_independent_pairs_are_worth_their_number(rng):
    tails = put_together([look(rng.standard_normal((N, CHANNELS))) for _ in range(FEATURES)])
    assert 1 <= clump(tails) < 1.25


def test_a_feature_with_a_heavier_tail_keeps_its_own_p_values(rng):
    parts = [look(rng.standard_normal((N, CHANNELS))) for _ in range(FEATURES)]
    parts[3] = look(rng.gamma(4, size=(N, CHANNELS)))  # skewness 1
    tails = put_together(parts)
    p = np.full((FEATURES, CHANNELS), 1 / (1 + N))
    found = pooled_p(np.full(p.shape, 5.0), p, tails)
    assert found.agree
    assert not found.extrapolated[3].any()
    np.testing.assert_array_equal(found.p[3], p[3])
    assert found.extrapolated.mean() > 0.9
    assert "heavier tails, left out: " in found.note


@pytest.mark.parametrize("skewed", [False, True])
def test_equal_shapes_differ_by_sampling_alone(rng, skewed):
    """Own means and deviations make counts vary by a quarter less than binomially: 0.36 of spread would be hidden."""
    draw = (lambda: rng.gamma(25, size=(200, 64))) if skewed else (lambda: rng.standard_normal((200, 64)))
    spreads = [tail_spread(put_together([look(draw()) for _ in range(20)])) for _ in range(15)]
    assert np.median(spreads) < 0.12
    half = [look(draw() if f % 2 else rng.gamma(1.5, size=(200, 64))) for f in range(20)]
    heavier, lighter = (np.mean([part.beyond.mean() for part in half[k::2]]) for k in (0, 1))
    truth = (heavier - lighter) / (heavier + lighter)
    assert tail_spread(put_together(half)) == pytest.approx(truth, abs=0.12)


def test_few_surrogates_are_not_pooled(rng):
    tails = put_together([look(rng.standard_normal((50, 3)))])
    found = pooled_p(np.full((1, 3), 9.0), np.full((1, 3), 1 / 51), tails)
    assert not found.agree
    assert "too few" in found.note


def test_a_constant_null_counts_nowhere():
    assert look(np.zeros((200, 3))).histogram.sum() == 0


def test_pareto_agrees_with_counts_where_both_can(rng):
    group = rng.standard_normal((4001, 50))
    group[0] = 2.2
    np.testing.assert_allclose(pareto_p(group[1:], group[0]), permutation_p(group), rtol=0.25)
    low = rng.standard_normal(50)
    group[0] = low - 3
    np.testing.assert_allclose(pareto_p(group[1:], group[0]), permutation_p(group))


def test_what_is_refused(rng):
    tails = put_together([look(rng.standard_normal((200, 3)))])
    with pytest.raises(ShapeMismatch, match="same pairs"):
        pooled_p(np.zeros((2, 3)), np.ones((2, 3)), tails)
    with pytest.raises(ShapeMismatch, match="equally many"):
        put_together([tails, look(rng.standard_normal((100, 3)))])
    with pytest.raises(ValueProblem, match="too few surrogates"):
        pareto_p(rng.standard_normal((50, 2)), np.ones(2))
