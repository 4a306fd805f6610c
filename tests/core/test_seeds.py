"""One seed, one generator per named piece of work."""

import numpy as np
import pytest

from brainalign.core.seeds import child_seed, generator


@pytest.mark.parametrize(
    ("names", "expected"), [(("shifts", "sub-01"), 1477190850810625107), (("sae", 9), 4958302606434238098)]
)
def test_seeds_are_the_same_on_every_machine_for_ever(names, expected):
    assert child_seed(0, *names) == expected


def test_work_is_told_apart_by_seed_and_by_name():
    seeds = {child_seed(seed, *names) for seed in (0, 1) for names in [(), ("a",), ("a", "b"), ("b", "a"), ("ab",)]}
    assert len(seeds) == 10
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seed_zero_is_a_seed_and_numpy_integers_are_integers():
    assert child_seed(0, "a") != child_seed(1, "a")
    assert child_seed(np.int64(3), "a") == child_seed(3, "a")


def test_a_broken_seed_is_not_cut_off():
    with pytest.raises(TypeError, match="integer"):
        child_seed(0.5, "a")


def test_a_generator_draws_the_same_numbers_again():
    np.testing.assert_array_equal(generator(5, "x").normal(size=4), generator(5, "x").normal(size=4))
    assert generator(5, "x").integers(1 << 30) != generator(5, "y").integers(1 << 30)
