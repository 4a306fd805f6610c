"""The numbers against their definitions."""

import json

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.sae.coder import SparseCoder
from brainalign.sae.metrics import measure_sae, quality_table
from tests.sae.worlds import as_trajectory


def test_numbers_are_their_definitions(make_coder, rng):
    coder = make_coder()
    x = (rng.standard_normal((9000, 6)) + 2).astype(np.float32)
    quality = measure_sae(coder, [as_trajectory(x[:100]), as_trajectory(x[100:])])
    features, x_hat = coder.encode(x).toarray(), coder.reconstruct(x)
    error = np.square(x - x_hat).sum()
    assert quality.n_frames == 9000
    assert quality.l0 == pytest.approx((features > 0).sum(1).mean())
    assert quality.explained_variance == pytest.approx(1 - error / np.square(x - x.mean(0)).sum(), rel=1e-4)
    assert quality.normalised_mse == pytest.approx(error / np.square(x).sum(), rel=1e-4)
    cosines = (x * x_hat).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(x_hat, axis=1)
    assert quality.cosine == pytest.approx(cosines.mean(), rel=1e-4)
    np.testing.assert_allclose(quality.density, (features > 0).mean(0))
    assert quality.alive_share == (features > 0).any(0).mean()
    assert quality.dead_share == pytest.approx(1 - quality.alive_share)
    ratio = np.linalg.norm(x_hat, axis=1) / np.linalg.norm(x, axis=1)
    assert quality.l2_ratio == pytest.approx(ratio.mean(), rel=1e-4)
    np.testing.assert_array_equal(quality.l0_counts, np.bincount((features > 0).sum(1)))
    row = quality.row()
    assert row["l0_p50"] == np.median((features > 0).sum(1))
    assert "none of these 9000 frames" in row["counted"]
    assert json.loads(json.dumps(row)) == row


def test_densities_in_decades(rng):
    """Each feature's density is known: one in every frame, one in half, one in a hundredth, one dead."""
    x = np.zeros((1000, 4), dtype=np.float32)
    x[:, 0], x[::2, 1], x[::100, 2] = 1 + rng.random(1000), 1, 1
    eye = np.eye(4)
    coder = SparseCoder(W_enc=eye, b_enc=np.zeros(4), W_dec=eye, b_dec=np.zeros(4), threshold=0, scale=1, k=2)
    quality = measure_sae(coder, as_trajectory(x), rare_below=0.02)
    counts, edges = quality.density_histogram(per_decade=1)
    np.testing.assert_array_equal(edges, [-3, -2, -1, 0])
    np.testing.assert_array_equal(counts, [0, 1, 2])
    assert (quality.alive_share, quality.rare_share) == (0.75, 0.25)
    assert measure_sae(coder, as_trajectory(x)).rare_share == 0
    assert quality.explained_variance == pytest.approx(1)


def test_a_row_per_layer(make_coder, rng):
    coders = {"layer 1": make_coder(), "layer 2": make_coder()}
    frames = {name: [as_trajectory(rng.standard_normal((400, 6)))] for name in coders}
    rows = quality_table(coders, frames)
    assert [row["coder"] for row in rows] == ["layer 1", "layer 2"]
    assert rows[1]["explained_variance"] == measure_sae(coders["layer 2"], frames["layer 2"]).explained_variance
    with pytest.raises(ValueProblem, match=r"without a partner: \['layer 2'\]"):
        quality_table({"layer 1": coders["layer 1"]}, frames)


def test_a_perfect_coder_explains_everything(rng):
    eye = np.eye(3)
    both = np.hstack([eye, -eye])
    coder = SparseCoder(W_enc=both, b_enc=np.zeros(6), W_dec=both.T, b_dec=np.zeros(3), threshold=0, scale=1, k=3)
    quality = measure_sae(coder, as_trajectory(rng.standard_normal((500, 3))))
    assert quality.explained_variance == pytest.approx(1)
    assert quality.cosine == pytest.approx(1)
    assert quality.l0 == 3


def test_refuses_frames_that_do_not_fit_or_never_change(make_coder):
    with pytest.raises(ShapeMismatch, match="got: 5 features, the coder reads 6"):
        measure_sae(make_coder(), as_trajectory(np.ones((4, 5))))
    with pytest.raises(ValueProblem, match="never change"):
        measure_sae(make_coder(), as_trajectory(np.ones((4, 6))))
