"""The hand-written gradients are autograd's, in float64."""

import numpy as np
import pytest
import torch

from brainalign.core.errors import UnknownName
from brainalign.sae.loss import Pattern, column_products, pre_activations, reconstruction_step
from brainalign.sae.metrics import measure_sae
from brainalign.sae.revive import revival_gradients
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from brainalign.sae.variants.batchtopk import BatchTopK

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


def test_products_come_feature_by_feature_and_know_nothing_of_each_other(rng):
    frames, table = (torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for shape in ((30, 9), (11, 9)))
    flat = np.flatnonzero(rng.random(30 * 11) < 0.3)
    pattern = Pattern.from_flat(flat, shape=(30, 11))
    order = pattern.by_column()
    found = column_products(pattern, frames, table)
    expected = (frames.double() @ table.double().T)[pattern.rows, pattern.columns][order]
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)
    assert (pattern.columns[order].diff() >= 0).all()
    alone = Pattern.from_flat(flat[7:8], shape=(30, 11))
    torch.testing.assert_close(column_products(alone, frames, table), found[(order == 7).nonzero()[0]], rtol=0, atol=0)


@pytest.mark.parametrize("screening", ["exact", "bfloat16"])
@pytest.mark.parametrize("unit_norm", [True, False])
def test_a_step_in_single_precision_is_autograd_within_1e_5(rng, screening, unit_norm):
    d_in, d_sae, n, k = 48, 192, 256, 6
    parameters = {
        name: torch.from_numpy(rng.standard_normal(shape) / np.sqrt(d_in)).float()
        for name, shape in {
            "encoder": (d_sae, d_in),
            "b_enc": (d_sae,),
            "decoder": (d_sae, d_in),
            "b_dec": (d_in,),
        }.items()
    }
    x = torch.from_numpy(rng.standard_normal((n, d_in)).astype(np.float32))
    variant = BatchTopK(screening=screening, unit_norm=unit_norm)
    variant.step(parameters, x, k=k)
    step = variant.step(parameters, x, k=k)  # the second one looks above the first one's level
    sizes = 1 if unit_norm else parameters["decoder"].norm(dim=1)
    top = (pre_activations(parameters, x) * sizes).flatten().topk(k * n).indices
    mask = torch.zeros(n * d_sae).index_fill_(0, top, 1.0).reshape(n, d_sae)
    loss, gradients = by_autograd(parameters, lambda leaves: dense_loss(leaves, x, mask))
    assert step.loss == pytest.approx(loss, rel=1e-6)
    for name, expected in gradients.items():
        assert float((step.gradients[name] - expected).norm() / expected.norm()) < 1e-5


def test_a_free_norm_ends_as_a_coder_of_unit_rows(truth):
    free = SaeTraining(k=5, expansion=4, n_steps=200, n_batch=512, options={"unit_norm": False})
    coder = train_sae(truth.trajectories, free, seed=0)
    np.testing.assert_allclose(np.linalg.norm(coder.W_dec, axis=1), 1, atol=1e-5)
    assert measure_sae(coder, truth.trajectories).l0 == pytest.approx(5, rel=1e-3)


def test_what_batch_top_k_remembers_goes_on_in_another_run(problem):
    parameters, x = problem
    one, two = BatchTopK(), BatchTopK()
    one.step(parameters, x, k=3)
    two.restore(one.state())
    assert two.state() == one.state()
    assert one.state()["last"] > 0
    with pytest.raises(UnknownName, match="did you mean 'bfloat16'"):
        BatchTopK(screening="bfloat")
