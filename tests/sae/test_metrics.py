"""The numbers against their definitions."""

import numpy as np
import pytest

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.sae.coder import SparseCoder
from brainalign.sae.metrics import measure_sae
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
