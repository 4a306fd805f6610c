"""Sign flips: patterns, statistics, corrections and what is refused. Against SciPy: tests/oracles."""

import numpy as np
import pytest

from brainalign.core.errors import NotFinite, UnknownName, ValueProblem
from brainalign.stats.signflip import flipped, sign_flip_step_down, sign_flip_test, sign_flips


def test_all_patterns_once_or_so_many_drawn(rng):
    signs, exact = sign_flips(6, n_permutations=63, rng=rng)
    assert exact
    assert len(np.unique(signs, axis=0)) == 64
    drawn, exact = sign_flips(6, n_permutations=62, rng=rng)
    assert not exact
    assert drawn.shape == (63, 6)
    for patterns in (signs, drawn):
        assert (patterns[0] == 1).all()
        assert set(np.unique(patterns)) == {-1, 1}


@pytest.mark.parametrize("statistic", ["t", "mean"])
def test_statistics_by_hand(rng, statistic):
    values = rng.standard_normal((7, 3, 2)) + 0.5
    signs, _ = sign_flips(7, n_permutations=40, rng=rng)
    turned = signs[:, :, None, None] * values
    expected = turned.mean(axis=1)
    if statistic == "t":
        expected = expected / (turned.std(axis=1, ddof=1) / np.sqrt(7))
    np.testing.assert_allclose(flipped(values, signs, statistic=statistic), expected, rtol=1e-10)


def test_equal_values_are_infinitely_certain_and_zeros_say_nothing():
    values = np.stack([np.full(8, 0.1), np.zeros(8), np.linspace(-1, 1, 8)], axis=1)
    found = sign_flip_test(values, n_permutations=255)
    assert found.exact
    assert found.observed[0] == np.inf
    assert found.p[0] == 1 / 256
    assert (found.observed[1], found.p[1]) == (0, 1)


def test_tails_mirror_each_other(rng):
    values = rng.standard_normal((9, 20)) + 0.4
    up, down = (sign_flip_test(values * sign, tail=tail) for sign, tail in ((1, "greater"), (-1, "less")))
    np.testing.assert_array_equal(up.p, down.p)
    np.testing.assert_array_equal(up.p_corrected, down.p_corrected)
    both = sign_flip_test(values, tail="two-sided")
    np.testing.assert_array_equal(both.p, sign_flip_test(-values, tail="two-sided").p)


def test_blocks_change_nothing(rng, monkeypatch):
    values = rng.standard_normal((10, 50)) + 0.3
    whole = sign_flip_test(values, n_permutations=200)
    monkeypatch.setattr("brainalign.stats.signflip._BLOCK_BYTES", 8 * 201 * 3)
    parts = sign_flip_test(values, n_permutations=200)
    np.testing.assert_array_equal(whole.p, parts.p)
    np.testing.assert_array_equal(whole.p_corrected, parts.p_corrected)


def test_step_down_is_between_alone_and_single_step(rng):
    values = rng.standard_normal((12, 30)) + 2 * (np.arange(30) < 5)
    found, down = sign_flip_test(values), sign_flip_step_down(values)
    assert (down <= found.p_corrected).all()
    assert (down >= found.p).all()
    assert (found.p_corrected[:5] <= 0.05).all()


def test_few_listeners_say_what_they_can_give(rng):
    found = sign_flip_test(rng.standard_normal((4, 2)), n_permutations=1000)
    assert (found.n_permutations, found.smallest_p) == (15, 1 / 16)
    assert "symmetrically about zero" in found.assumption


def test_what_is_refused(rng):
    with pytest.raises(ValueProblem, match="at least two listeners"):
        sign_flip_test(np.ones((1, 3)))
    with pytest.raises(NotFinite, match="listeners' values"):
        sign_flip_test(np.array([[1.0], [np.nan], [2.0]]))
    with pytest.raises(UnknownName, match="did you mean 'greater'"):
        sign_flip_test(np.ones((3, 1)), tail="great")
    with pytest.raises(UnknownName):
        sign_flip_test(np.ones((3, 1)), statistic="median")
