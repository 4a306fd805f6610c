"""Block lengths by the published rule, and cuts that lose no frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.stats.blocks import atom_sums, block_length, cut_blocks, grids


def autoregressive(rng, n, pole):
    return signal.lfilter([1], [1, -pole], rng.standard_normal((n + 500, 1)), axis=0)[500:]


@pytest.mark.parametrize("pole", [0.5, 0.8, 0.9])
def test_an_autoregression_gets_the_length_that_theory_gives(rng, pole):
    """R(k) ~ pole^|k|, so G / sum R = 2 pole / (1 - pole^2)."""
    n = 40_000
    theory = (1.5 * (2 * pole / (1 - pole**2)) ** 2 * n) ** (1 / 3)
    found = np.mean([block_length([autoregressive(rng, n, pole)])[0] for _ in range(5)])
    assert found == pytest.approx(theory, rel=0.2)


def test_the_length_grows_with_the_cube_root_of_time(rng):
    short, long = (
        np.median([block_length([autoregressive(rng, n, 0.8)])[0] for _ in range(25)]) for n in (2000, 54_000)
    )
    assert long / short == pytest.approx(3, rel=0.25)


def test_trials_apart_give_the_length_of_one_long_trial(rng):
    whole = autoregressive(rng, 30_000, 0.8)
    assert block_length(np.split(whole, 10))[0] == pytest.approx(block_length([whole])[0], rel=0.1)


def test_white_noise_and_a_constant_need_blocks_of_about_one_frame(rng):
    both = np.column_stack([rng.standard_normal(20_000), np.full(20_000, 2.0)])
    white, constant = block_length([both])
    assert white < 6
    assert constant == 1


@given(st.integers(20, 3000))
def test_what_remembers_for_ever_gets_no_more_than_a_third_of_its_time(n):
    walk = np.random.default_rng(n).standard_normal((n, 1)).cumsum(axis=0)
    assert 1 <= block_length([walk])[0] <= np.ceil(min(3 * np.sqrt(n), n / 3))


def test_units_and_offsets_change_nothing(rng):
    series = autoregressive(rng, 2000, 0.7)
    assert block_length([1e-6 * series + 3])[0] == pytest.approx(block_length([series])[0], rel=1e-6)


def test_too_little_time_is_refused():
    with pytest.raises(ValueProblem, match="too little time for an autocorrelation"):
        block_length([np.zeros((10, 1))])


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.one_of(st.none(), st.integers(1, 120)))
def test_blocks_cover_every_frame_once_and_no_trial_edge_is_crossed(lengths, block):
    cuts = cut_blocks(lengths, block)
    covered = [np.zeros(n, dtype=int) for n in lengths]
    for trial, start, stop in cuts.spans:
        assert start < stop <= lengths[trial]
        covered[trial][start:stop] += 1
    assert all((item == 1).all() for item in covered)
    assert len(cuts.trial_of) == len(cuts.spans) == cuts.n_blocks.sum()
    if block is None:
        assert len(cuts.spans) == len(lengths)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(1, 90))
def test_every_grid_holds_all_of_the_data(lengths, block):
    rng = np.random.default_rng(sum(lengths) + block)
    values = [rng.standard_normal((n, 2)) for n in lengths]
    cuts = cut_blocks(lengths, block)
    total = np.concatenate(values).sum(axis=0)
    for grid in grids(atom_sums(values, cuts)):
        assert len(grid) == len(cuts.spans)
        np.testing.assert_allclose(grid.sum(axis=0), total, atol=1e-9)


def test_the_first_grid_is_the_plain_cut_and_the_next_begins_an_atom_later(rng):
    values = [rng.standard_normal((64, 1))]
    first, second, *_ = grids(atom_sums(values, cut_blocks([64], 16)))
    np.testing.assert_allclose(first, values[0].reshape(4, 16, 1).sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(second, np.roll(values[0], -2, axis=0).reshape(4, 16, 1).sum(axis=1), atol=1e-12)


def test_nothing_to_cut_is_refused():
    with pytest.raises(ShapeMismatch, match="there is no time to cut"):
        cut_blocks([], 5)
    with pytest.raises(ValueProblem, match="at least one frame"):
        cut_blocks([10], 0)
