"""Claims beside controls: what stands for a set, differences by hand, invariances, power and what is refused."""

import numpy as np
import pytest
from scipy import stats

from brainalign.core.errors import NotFinite, ShapeMismatch, UnknownName, ValueProblem
from brainalign.stats.compare import CONTROLS, compare_groups, compare_maps, rank_quantile, represent


@pytest.fixture
def study(rng):
    """Eight listeners, four channels; the claim is 0.05 above its acoustic control, and as often below as above 30."""
    claim = 0.1 + 0.02 * rng.standard_normal((8, 4))
    acoustic = claim[:, None] - 0.05 + 0.01 * rng.standard_normal((8, 1, 4))
    sides = 0.02 * np.resize([1, -1], (8, 1, 1)) + np.linspace(-0.05, 0.05, 30)[:, None]
    return claim, {"acoustic": acoustic, "matched": claim[:, None] + sides}


def test_what_stands_for_a_set(rng):
    scores = rng.standard_normal((5, 7, 3))
    np.testing.assert_array_equal(represent(scores, pick="mean"), scores.mean(axis=1))
    np.testing.assert_array_equal(represent(scores, pick="best"), scores.max(axis=1))
    ordered = np.sort(scores, axis=1)
    for rank in (1, 3, 7):
        np.testing.assert_allclose(represent(scores, pick=rank_quantile(rank, n_features=7)), ordered[:, -rank])


def test_differences_by_hand(study):
    claim, controls = study
    found = compare_maps(claim, controls)
    expected = np.stack([claim - item.mean(axis=1) for item in controls.values()], axis=1)
    np.testing.assert_allclose(found.difference, expected.mean(axis=0))
    interval = stats.ttest_1samp(expected, 0).confidence_interval()
    np.testing.assert_allclose([found.low, found.high], [interval.low, interval.high])
    assert (found.names, found.n_listeners, found.n_permutations, found.exact) == (tuple(controls), 8, 255, True)
    assert (found.of("acoustic")["p_corrected"] <= 0.05).all()
    assert (found.of("matched")["p_corrected"] > 0.05).all()
    assert (found.p_corrected >= found.p).all()


def test_the_test_says_what_it_did(study):
    told = compare_maps(*study, pick="best").test
    for part in ("8 listeners", "all 256 patterns", "over 8 comparisons", "best of a control's features", "symmetric"):
        assert part in told
    assert "12 random" in compare_maps(*study, n_permutations=12).test
    assert "0.9 quantile" in compare_maps(*study, pick=0.9).test
    assert len(CONTROLS) == 5


def test_order_of_listeners_features_and_controls_does_not_matter(study, rng):
    claim, controls = study
    found = compare_maps(claim, controls, pick="best")
    who, which = rng.permutation(8), rng.permutation(30)
    turned = {"matched": controls["matched"][who][:, which], "acoustic": controls["acoustic"][who]}
    again = compare_maps(claim[who], turned, pick="best")
    for name in controls:
        for key, value in found.of(name).items():
            np.testing.assert_allclose(again.of(name)[key], value, atol=1e-12)


def test_sides_mirror_each_other(study):
    claim, controls = study
    one = {"c": controls["acoustic"]}
    up = compare_maps(claim, one, tail="greater")
    down = compare_maps(controls["acoustic"][:, 0], {"c": claim[:, None]}, tail="less")
    np.testing.assert_array_equal(up.p, down.p)
    np.testing.assert_allclose(up.low, -down.high)


@pytest.mark.parametrize("interval", ["student", "percentile", "bca"])
def test_intervals_are_equivariant_and_of_constants_empty(rng, interval):
    claim, control = rng.standard_normal((10, 3)), rng.standard_normal((10, 1, 3))
    one = compare_maps(claim, {"c": control}, interval=interval)
    moved = compare_maps(3 * claim + 5, {"c": 3 * control}, interval=interval)
    np.testing.assert_allclose(moved.low, 3 * one.low + 5)
    np.testing.assert_allclose(moved.high, 3 * one.high + 5)
    assert ((one.low < one.difference) & (one.difference < one.high)).all()
    same = compare_maps(claim, {"c": claim[:, None] - 0.25}, interval=interval)
    np.testing.assert_allclose([same.low, same.high], 0.25)


def test_blocks_of_tests_change_nothing(rng, monkeypatch):
    claim, control = rng.standard_normal((10, 7)), rng.standard_normal((10, 2, 7))
    whole = compare_maps(claim, {"c": control}, interval="bca")
    monkeypatch.setattr("brainalign.stats.compare._BLOCK_BYTES", 8 * 10_000 * 3)
    parts = compare_maps(claim, {"c": control}, interval="bca")
    np.testing.assert_allclose(parts.low, whole.low, rtol=1e-12)
    np.testing.assert_allclose(parts.high, whole.high, rtol=1e-12)


def test_one_listener_by_hand(rng):
    claim, control = rng.standard_normal((100, 2)), rng.standard_normal((100, 3, 2))
    claim[0] += 3
    found = compare_groups(claim, {"c": control}, tail="greater")
    group = claim - control.mean(axis=1)
    np.testing.assert_allclose(found.p[0], (group >= group[0]).mean(axis=0))
    np.testing.assert_allclose(found.difference[0], group[0] - group[1:].mean(axis=0))
    spread = np.quantile(group[1:] - group[1:].mean(axis=0), [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found.low, found.difference - spread[1])
    np.testing.assert_allclose(found.high, found.difference - spread[0])
    assert "same 99 surrogates of 1 listener," in found.test
    less = compare_groups(claim, {"c": control}, tail="less")
    np.testing.assert_allclose(less.p[0], (group <= group[0]).mean(axis=0))


def test_what_both_share_drops_out(rng):
    """A surrogate that is good for both says nothing about which is better."""
    shared, own = 10 * rng.standard_normal((200, 1)), rng.standard_normal((2, 200, 1))
    own[0, 0] += 6
    found = compare_groups(shared + own[0], {"c": (shared + own[1])[:, None]})
    assert found.p[0, 0] <= 0.01
    assert found.low[0, 0] > 0
    same = compare_groups(shared, {"c": shared[:, None]})
    assert same.p[0, 0] == same.p_corrected[0, 0] == 1


def test_several_listeners_together_are_fixed_effects(rng):
    found = compare_groups(rng.standard_normal(50), {"c": rng.standard_normal((50, 4))}, n_listeners=6)
    assert found.n_listeners == 6
    assert "fixed effects" in found.test
    assert found.p.shape == (1,)


def test_what_is_refused(study):
    claim, controls = study
    with pytest.raises(ValueProblem, match="at least one control"):
        compare_maps(claim, {})
    with pytest.raises(ShapeMismatch, match="'acoustic' does not fit"):
        compare_maps(claim, {"acoustic": claim})
    with pytest.raises(ShapeMismatch, match="at least two listeners"):
        compare_maps(claim[:1], {"c": claim[:1, None]})
    with pytest.raises(NotFinite, match="scores of 'c'"):
        compare_maps(claim, {"c": np.full((8, 1, 4), np.nan)})
    with pytest.raises(UnknownName, match="did you mean 'best'"):
        compare_maps(claim, controls, pick="bests")
    with pytest.raises(UnknownName, match="did you mean 'student'"):
        compare_maps(claim, controls, interval="students")
    with pytest.raises(ValueProblem, match="quantile lies between"):
        compare_maps(claim, controls, pick=1.0)
    with pytest.raises(UnknownName, match="no tail"):
        compare_groups(claim, controls, tail="up")
    with pytest.raises(UnknownName, match="did you mean 'matched'"):
        compare_maps(claim, controls).of("match")
    with pytest.raises(ValueProblem, match="rank lies between"):
        rank_quantile(0, n_features=3)
