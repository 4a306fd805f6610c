"""The hand-written gradients are autograd's, in float64."""

import numpy as np
import pytest
import torch

from brainalign.sae.loss import Pattern, pre_activations, reconstruction_step
from brainalign.sae.revive import revival_gradients
from brainalign.sae.variants.batchtopk import BatchTopK, largest_positive

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")


@pytest.fixture
def problem(rng):
    d_in, d_sae, n = 7, 23, 40
    shapes = {"encoder": (d_sae, d_in), "b_enc": (d_sae,), "decoder": (d_sae, d_in), "b_dec": (d_in,)}
    parameters = {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}
    return parameters, torch.from_numpy(rng.standard_normal((n, d_in)))


def by_autograd(parameters, loss_of):
    """Return a loss and its gradients as autograd has them."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    loss = loss_of(leaves)
    return loss.item(), dict(zip(leaves, torch.autograd.grad(loss, leaves.values()), strict=True))


def dense_loss(leaves, x, mask):
    pre = (x - leaves["b_dec"]) @ leaves["encoder"].T + leaves["b_enc"]
    x_hat = (pre * mask) @ leaves["decoder"] + leaves["b_dec"]
    return (x_hat - x).square().sum(1).mean()


def mask_of(pattern):
    mask = torch.zeros(pattern.shape, dtype=torch.float64)
    mask[pattern.rows, pattern.columns] = 1
    return mask


def test_batch_top_k_step_against_autograd(problem):
    parameters, x = problem
    step = BatchTopK().step(parameters, x, k=3)
    loss, gradients = by_autograd(parameters, lambda leaves: dense_loss(leaves, x, mask_of(step.pattern)))
    assert step.loss == pytest.approx(loss, rel=1e-12)
    for name, expected in gradients.items():
        torch.testing.assert_close(step.gradients[name], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("active", [[], [0], [22, 23, 5 * 23, 39 * 23 + 22]], ids=["none", "one", "corners"])
def test_gradients_where_rows_and_features_are_empty(problem, active):
    parameters, x = problem
    pattern = Pattern.from_flat(np.array(active, dtype=np.int64), shape=(len(x), 23))
    step = reconstruction_step(parameters, x, pre_activations(parameters, x), pattern)
    _, gradients = by_autograd(parameters, lambda leaves: dense_loss(leaves, x, mask_of(pattern)))
    for name, expected in gradients.items():
        torch.testing.assert_close(step.gradients[name], expected, rtol=1e-10, atol=1e-12)


def test_revival_against_autograd(problem):
    parameters, x = problem
    dead = np.array([1, 4, 9, 10, 17, 21])
    step = BatchTopK().step(parameters, x, k=3)
    missing = -step.residual
    pre = pre_activations(parameters, x)[:, dead]
    top = torch.zeros_like(pre).scatter_(1, pre.topk(3, dim=1).indices, 1.0) * (pre > 0)

    def loss_of(leaves):
        values = pre_activations(leaves, x)[:, dead] * top
        error = (missing - values @ leaves["decoder"][dead]).square().sum()
        return 0.25 * error / (missing - missing.mean(0)).square().sum()

    _, gradients = by_autograd(parameters, loss_of)
    ours = revival_gradients(parameters, x, step, dead=dead, weight=0.25)
    for name, expected in gradients.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-10, atol=1e-12)
    assert revival_gradients(parameters, x, step, dead=dead[:0], weight=0.25) is None


@pytest.mark.parametrize("guess", [0.0, 0.5, 1.2, 50.0])
def test_largest_positive_is_exact_whatever_the_guess(rng, guess):
    values = rng.standard_normal(5000).astype(np.float32)
    active, smallest = largest_positive(values, 300, guess=guess)
    np.testing.assert_array_equal(active, np.sort(np.argsort(-values)[:300]))
    assert smallest == values[active].min()


def test_largest_positive_keeps_ties_and_never_a_negative():
    values = np.array([1, 2, 2, 2, -1, 0], dtype=np.float32)
    np.testing.assert_array_equal(largest_positive(values, 2)[0], [1, 2, 3])
    np.testing.assert_array_equal(largest_positive(values, 6, guess=3)[0], [0, 1, 2, 3])
