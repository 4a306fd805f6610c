"""The largest are found whatever the guess, and a rough product overlooks none of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainalign.sae.metrics import measure_sae
from brainalign.sae.screening import Bfloat16, Dense, largest_of, margin, reaching, rounded
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from brainalign.sae.variants.batchtopk import largest_positive

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")


@pytest.fixture
def batch(rng):
    """Frames of very different sizes, one of them zero, and an encoder with a loud bias."""
    d_in, d_sae, n = 40, 300, 200
    scale = np.exp(rng.standard_normal((n, 1)))
    scale[7] = 0
    parameters = {
        "encoder": torch.from_numpy(rng.standard_normal((d_sae, d_in)) / np.sqrt(d_in)).float(),
        "b_enc": torch.from_numpy(0.2 * rng.standard_normal(d_sae)).float(),
        "b_dec": torch.zeros(d_in),
    }
    return parameters, torch.from_numpy((scale * rng.standard_normal((n, d_in))).astype(np.float32))


@pytest.mark.parametrize("guess", [0.0, 0.5, 1.2, 50.0])
def test_the_largest_are_exact_whatever_the_guess(rng, guess):
    values = rng.standard_normal(5000).astype(np.float32)
    (active, kept), smallest = largest_of(values, 300, guess=guess)
    np.testing.assert_array_equal(active, np.sort(np.argsort(-values)[:300]))
    np.testing.assert_array_equal(kept, values[active])
    assert smallest == kept.min()
    np.testing.assert_array_equal(largest_positive(values, 300, guess=guess)[0], active)


def test_ties_are_kept_and_never_a_negative():
    values = np.array([1, 2, 2, 2, -1, 0], dtype=np.float32)
    np.testing.assert_array_equal(largest_positive(values, 2)[0], [1, 2, 3])
    np.testing.assert_array_equal(largest_positive(values, 6, guess=3)[0], [0, 1, 2, 3])


@pytest.mark.parametrize("share", [0.2, 0.9, 1.0, 1.05, 3.0])
@pytest.mark.parametrize("n", [150, 1500])
def test_a_rough_product_finds_the_same_set_from_any_guess(batch, share, n):
    parameters, x = batch
    dense, rough = Dense(), Bfloat16()
    dense.load(parameters, x)
    rough.load(parameters, x)
    (expected, values), smallest = dense.largest(n, guess=0.0)
    (found, ours), ours_smallest = rough.largest(n, guess=share * smallest)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(ours, values, rtol=1e-5)
    assert ours_smallest == pytest.approx(smallest, rel=1e-5)


def test_it_looks_roughly_where_that_is_enough_and_in_full_where_it_is_not(batch):
    parameters, x = batch
    screen = Bfloat16()
    screen.load(parameters, x)
    _, smallest = screen.largest(300, guess=0.0)
    assert screen.n_dense == 1  # nowhere to look from
    screen.largest(300, guess=0.9 * smallest)
    assert screen.n_dense == 1
    screen.largest(30_000, guess=0.9 * smallest)  # half of all pairs
    assert screen.n_dense == 2


def test_the_margin_bounds_the_error_and_is_not_far_above_it(rng):
    x, table = (torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for shape in ((60, 64), (90, 64)))
    table[:60] = x  # along each other the bound is nearly reached
    exact = x.double() @ table.double().T
    rough = rounded(x).values.double() @ rounded(table).values.double().T
    share = (rough - exact).abs().max(dim=1).values / margin(rounded(x), rounded(table))
    assert float(share.max()) <= 1
    assert float(share.max()) > 0.05


def test_rounding_is_known_row_by_row(rng):
    matrix = torch.from_numpy(rng.standard_normal((700, 30)).astype(np.float32))  # more than one block
    known = rounded(matrix)
    torch.testing.assert_close(known.norms, matrix.norm(dim=1))
    torch.testing.assert_close(known.errors, (matrix - known.values.float()).norm(dim=1))
    assert (known.errors <= 2.0**-8 * known.norms).all()


def test_numbers_are_compared_as_bfloat16_in_their_order(rng):
    values = torch.from_numpy(rng.standard_normal((50, 80)).astype(np.float32)).bfloat16()
    levels = rng.uniform(0.01, 2, 50).astype(np.float32)
    found = reaching(values.view(torch.int16).numpy(), levels)
    expected = np.flatnonzero((values >= torch.from_numpy(levels).bfloat16()[:, None]).numpy())
    np.testing.assert_array_equal(found, expected)


def test_memory_is_used_again_and_follows_the_batch(batch):
    parameters, x = batch
    for screen in (Dense(), Bfloat16()):
        for rows in (x, x[:50], x):  # the last batch of an epoch may be shorter
            screen.load(parameters, rows)
            (found, _), _ = screen.largest(20, guess=0.0)
            assert found.max() < len(rows) * 300
        with pytest.raises(RuntimeError, match="load a batch"):
            type(screen)().largest(1, guess=1.0)


def test_a_run_with_screening_learns_the_same(truth):
    recipe = SaeTraining(k=5, expansion=4, n_steps=150, n_batch=512)
    exact, screened = (
        train_sae(truth.trajectories, replace(recipe, screening=name), seed=0) for name in ("exact", "bfloat16")
    )
    assert screened.metadata["training"]["screening"] == "bfloat16"
    one, two = (measure_sae(coder, truth.trajectories) for coder in (exact, screened))
    assert two.explained_variance == pytest.approx(one.explained_variance, abs=2e-3)
    cosine = (exact.W_dec * screened.W_dec).sum(1)
    assert np.median(cosine) > 0.999
    again = train_sae(truth.trajectories, replace(recipe, screening="bfloat16"), seed=0)
    assert again.content == screened.content
