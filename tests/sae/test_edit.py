"""An edit changes what it says, by as much as it says, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.sae.edit import (
    ablate,
    added,
    edit,
    error_of,
    fixed,
    in_turn,
    kept,
    reconstruct,
    scaled,
    steer,
    unchanged,
    zeroed,
)


@pytest.fixture
def x(rng):
    return (3 * rng.standard_normal((5000, 6)) + 1).astype(np.float32)


@pytest.fixture
def coder(make_coder):
    return make_coder()


IDENTITIES = {
    "unchanged": unchanged,
    "times one": scaled([0, 3], 1.0),
    "plus nothing": added({2: 0.0}),
    "none zeroed": zeroed([]),
    "all kept": kept(range(20)),
    "there and back": in_turn(scaled([1], 2.0), scaled([1], 0.5)),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_edit_that_changes_nothing_changes_nothing(coder, x, name):
    before = x.copy()
    np.testing.assert_array_equal(edit(coder, x, IDENTITIES[name]), x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(edit(coder, x, IDENTITIES[name], keep_error=False), coder.reconstruct(x))


def test_ablation_takes_away_what_a_feature_wrote(coder, x):
    features = coder.encode(x).toarray()
    gone = ablate(coder, x, [4, 7])
    wrote = features[:, [4, 7]] @ coder.W_dec[[4, 7]] / coder.scale
    np.testing.assert_allclose(x - gone, wrote, atol=2e-5)
    untouched = (features[:, [4, 7]] == 0).all(axis=1)
    assert 0 < untouched.sum() < len(x)
    np.testing.assert_array_equal(gone[untouched], x[untouched])


def test_without_its_error_a_frame_is_its_own_edited_reconstruction(coder, x):
    features = coder.encode(x).toarray()
    features[:, 4] = 0
    expected = (features @ coder.W_dec + coder.b_dec) / coder.scale
    np.testing.assert_allclose(ablate(coder, x, [4], keep_error=False), expected, atol=1e-4)
    both = ablate(coder, x, [4]) - ablate(coder, x, [4], keep_error=False)
    np.testing.assert_allclose(both, error_of(coder, x), atol=1e-4)


def test_steering_moves_every_frame_along_the_decoder(coder, x):
    moved = steer(coder, x, {2: 1.5, 9: -0.5})
    step = (1.5 * coder.W_dec[2] - 0.5 * coder.W_dec[9]) / coder.scale
    np.testing.assert_allclose(moved - x, np.broadcast_to(step, x.shape), atol=2e-5)
    # AudioSAE's form: x_hat(f + alpha s).
    expected = coder.reconstruct(x) + step
    np.testing.assert_allclose(steer(coder, x, {2: 1.5, 9: -0.5}, keep_error=False), expected, atol=1e-4)


def test_values_are_scaled_and_set(coder, x):
    features = coder.encode(x)
    dense = features.toarray()
    twice = scaled([3], 2.0)(features).toarray()
    np.testing.assert_array_equal(twice[:, 3], 2 * dense[:, 3])
    np.testing.assert_array_equal(np.delete(twice, 3, 1), np.delete(dense, 3, 1))
    everywhere = fixed({3: 0.7, 5: 0.0})(features).toarray()
    assert (everywhere[:, 3] == np.float32(0.7)).all()
    assert (everywhere[:, 5] == 0).all()
    np.testing.assert_array_equal(np.delete(everywhere, [3, 5], 1), np.delete(dense, [3, 5], 1))
    where = fixed({3: 0.7}, where_active=True)(features).toarray()
    np.testing.assert_array_equal(where[:, 3], np.where(dense[:, 3] > 0, np.float32(0.7), 0))
    np.testing.assert_array_equal(features.toarray(), dense)


def test_parts_of_a_reconstruction_add_up(coder, x):
    parts = [reconstruct(coder, x, only=part) - coder.b_dec / coder.scale for part in (range(7), range(7, 20))]
    np.testing.assert_allclose(sum(parts) + coder.b_dec / coder.scale, reconstruct(coder, x), atol=1e-4)


def test_units_are_those_of_the_input(coder, x):
    """The same coder written for inputs ten times as large edits them ten times as much."""
    larger = replace(coder, scale=coder.scale / 10)
    np.testing.assert_allclose(ablate(larger, 10 * x, [4]), 10 * ablate(coder, x, [4]), rtol=1e-4, atol=1e-3)


def test_no_frames_stay_no_frames(coder):
    assert ablate(coder, np.zeros((0, 6)), [1]).shape == (0, 6)


def test_refusals(coder, x):
    with pytest.raises(ValueProblem, match=r"feature 20 of 20\n  fix: use 0 to 19"):
        ablate(coder, x, [20])
    with pytest.raises(ValueProblem, match="twice"):
        ablate(coder, x, [1, 1])
    with pytest.raises(ValueProblem, match="told by their numbers"):
        ablate(coder, x, ["sae-3"])
    with pytest.raises(ValueProblem, match="finite"):
        steer(coder, x, {1: np.nan})
    with pytest.raises(ShapeMismatch, match="as many frames"):
        edit(coder, x, lambda features: sparse.csr_array(features[:5]))
    with pytest.raises(ShapeMismatch, match=r"shape \(n, 6\)"):
        ablate(coder, x[:, :5], [1])
