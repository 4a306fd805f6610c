"""Every variant's hand-written gradients are autograd's, in float64, for every parameter."""

import pytest
import torch

from brainalign.sae.variants.frozen import FrozenDecoder
from brainalign.sae.variants.gated import Gated
from brainalign.sae.variants.jumprelu import JumpReLU
from brainalign.sae.variants.matryoshka import Matryoshka
from brainalign.sae.variants.pairs import DENSE_SHARE
from brainalign.sae.variants.relul1 import ReluL1
from brainalign.sae.variants.temporal import Temporal
from brainalign.sae.variants.topk import TopK

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")

D_IN, D_SAE, N = 7, 23, 40


@pytest.fixture
def initial(rng):
    shapes = {"encoder": (D_SAE, D_IN), "b_enc": (D_SAE,), "decoder": (D_SAE, D_IN), "b_dec": (D_IN,)}
    return {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}


@pytest.fixture
def x(rng):
    return torch.from_numpy(rng.standard_normal((N, D_IN)))


@pytest.fixture(params=["many pairs", "few pairs"])
def bias(request):
    """Added to the encoder's bias, so that both ways of summing over pairs are taken."""
    return {"many pairs": 0.0, "few pairs": -9.0}[request.param]


def check(variant, parameters, x, loss_of, *, k=3):
    """Compare one step's loss and gradients with those of a loss written for autograd."""
    step = variant.step(parameters, x, k=k)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    with torch.enable_grad():
        loss = loss_of(leaves)
        expected = torch.autograd.grad(loss, list(leaves.values()))
    assert step.loss == pytest.approx(loss.item(), rel=1e-10)
    assert set(step.gradients) == set(parameters)
    for name, gradient in zip(leaves, expected, strict=True):
        assert gradient.abs().max() > 0, name
        error = (step.gradients[name] - gradient).norm() / gradient.norm()
        assert error < 1e-10, name
    return step


def pre_of(leaves, x):
    return (x - leaves["b_dec"]) @ leaves["encoder"].T + leaves["b_enc"]


def square(leaves, x, f):
    return (f @ leaves["decoder"] + leaves["b_dec"] - x).square().sum() / len(x)


def share(step):
    return len(step.pattern.columns) / (N * D_SAE)


def test_topk(initial, x):
    def loss_of(leaves):
        pre = pre_of(leaves, x)
        kept = torch.zeros_like(pre).scatter(1, pre.topk(3, dim=1).indices, 1.0)
        return square(leaves, x, pre.relu() * kept)

    step = check(TopK(), initial, x, loss_of)
    assert torch.bincount(step.pattern.rows).max() == 3


def test_relu_l1(initial, x, bias):
    initial["b_enc"] += bias

    def loss_of(leaves):
        f = pre_of(leaves, x).relu()
        return square(leaves, x, f) + 0.3 * (f * leaves["decoder"].norm(dim=1)).sum() / len(x)

    step = check(ReluL1(sparsity=0.3, warm_up=0.0), initial, x, loss_of)
    assert (share(step) > DENSE_SHARE) == (bias == 0)


def test_gated(initial, x, bias, rng):
    variant = Gated(sparsity=0.3, warm_up=0.0, auxiliary=0.7)
    parameters = variant.parameters(initial)
    parameters["b_enc"] += bias
    parameters["b_mag"] += bias / 2
    for name in ("r_mag", "b_mag"):
        parameters[name] += torch.from_numpy(0.5 * rng.standard_normal(D_SAE))

    def loss_of(leaves):
        gate = pre_of(leaves, x)
        projected = (x - leaves["b_dec"]) @ leaves["encoder"].T
        f = (gate > 0) * (leaves["r_mag"].exp() * projected + leaves["b_mag"]).relu()
        frozen = gate.relu() @ leaves["decoder"].detach() + leaves["b_dec"].detach() - x
        return square(leaves, x, f) + (0.7 * frozen.square().sum() + 0.3 * gate.relu().sum()) / len(x)

    step = check(variant, parameters, x, loss_of)
    assert (share(step) > DENSE_SHARE) == (bias == 0)


class Jump(torch.autograd.Function):
    """JumpReLU with a rectangle for the spike in its derivative."""

    @staticmethod
    def forward(ctx, pre, theta, width, to_input):
        ctx.save_for_backward(pre, theta)
        ctx.width, ctx.to_input = width, to_input
        return pre * (pre > theta)

    @staticmethod
    def backward(ctx, upstream):
        pre, theta = ctx.saved_tensors
        spike = theta / ctx.width * ((pre - theta).abs() < ctx.width / 2)
        to_pre = upstream * ((pre > theta) + ctx.to_input * spike)
        return to_pre, -(upstream * spike).sum(0), None, None


class Step(torch.autograd.Function):
    """A step, whose derivative reaches the threshold only."""

    @staticmethod
    def forward(ctx, pre, theta, width):
        ctx.save_for_backward(pre, theta)
        ctx.width = width
        return (pre > theta).to(pre.dtype)

    @staticmethod
    def backward(ctx, upstream):
        pre, theta = ctx.saved_tensors
        spike = ((pre - theta).abs() < ctx.width / 2).to(pre.dtype) / ctx.width
        return torch.zeros_like(pre), -(upstream * spike).sum(0), None


def jumping(variant, initial, rng, *, bias):
    """Return parameters whose thresholds differ between features."""
    parameters = variant.parameters(initial)
    parameters["b_enc"] += bias
    parameters["log_threshold"] += torch.from_numpy(0.5 * rng.standard_normal(D_SAE))
    variant.restore({**variant.state(), "begun": 1.0})
    return parameters


def test_jumprelu_tanh(initial, x, bias, rng):
    variant = JumpReLU(sparsity=2.0, warm_up=0.0, threshold=1.0, bandwidth=2.0, steepness=0.3, dead=0.2)
    parameters = jumping(variant, initial, rng, bias=bias)
    unit = D_IN**0.5

    def loss_of(leaves):
        pre, theta, norms = pre_of(leaves, x), leaves["log_threshold"].exp(), leaves["decoder"].norm(dim=1)
        f = Jump.apply(pre, theta, 2.0 / unit, True)
        sparsity = torch.tanh(0.3 * (unit * f) * norms).sum()
        dead = (unit * (theta - pre).relu() * norms).sum()
        # the loss of frames that are unit times as long, in our units
        return square(leaves, x, f) + (2.0 * sparsity + 0.2 * dead) / unit**2 / len(x)

    step = check(variant, parameters, x, loss_of)
    assert (share(step) > DENSE_SHARE) == (bias == 0)


def test_jumprelu_step(initial, x, bias, rng):
    variant = JumpReLU(sparsity=0.4, warm_up=0.0, penalty="step", threshold=0.5, bandwidth=0.7)
    parameters = jumping(variant, initial, rng, bias=bias)

    def loss_of(leaves):
        pre, theta = pre_of(leaves, x), leaves["log_threshold"].exp()
        return square(leaves, x, Jump.apply(pre, theta, 0.7, False)) + 0.4 * Step.apply(pre, theta, 0.7).sum() / len(x)

    check(variant, parameters, x, loss_of)


def top_of_batch(pre, n):
    """Return 1 where a pre-activation is among the n largest positive ones of the batch."""
    kept = torch.zeros(pre.numel(), dtype=pre.dtype)
    kept[pre.detach().reshape(-1).topk(n).indices] = 1
    return kept.reshape(pre.shape) * (pre.detach() > 0)


def nested_loss(leaves, x, f, sizes):
    return sum(square(leaves, x, f * (torch.arange(D_SAE) < size)) for size in sizes) / len(sizes)


@pytest.mark.parametrize("k", [1, 6])
def test_matryoshka(initial, x, k):
    variant = Matryoshka(3, ratio=2.5)
    assert variant.sizes(D_SAE) == (4, 9, 23)

    def loss_of(leaves):
        pre = pre_of(leaves, x)
        return nested_loss(leaves, x, pre * top_of_batch(pre, k * N), (4, 9, 23))

    step = check(variant, variant.parameters(initial), x, loss_of, k=k)
    assert len(step.pattern.columns) == k * N


@pytest.mark.parametrize("k", [1, 10])
def test_temporal(initial, x, k):
    variant = Temporal(0.4, first=0.3, temperature=0.5)
    assert variant.sizes(D_SAE) == (7, 23)

    def loss_of(leaves):
        pre = pre_of(leaves, x)
        f = pre * top_of_batch(pre, k * N)
        unit = f[:, :7] / f[:, :7].norm(dim=1, keepdim=True).clamp_min(1e-12)
        scores = unit[: N // 2] @ unit[N // 2 :].T / 0.5
        own = torch.arange(N // 2)
        contrast = torch.nn.functional.cross_entropy
        return nested_loss(leaves, x, f, (7, 23)) + 0.2 * (contrast(scores, own) + contrast(scores.T, own))

    step = check(variant, variant.parameters(initial), x, loss_of, k=k)
    empty = N - len(torch.unique(step.pattern.rows[step.pattern.columns < 7]))
    assert empty > 5 if k == 1 else empty < 5  # codes without any active feature are among those of k=1


def test_frozen_decoder(initial, x):
    variant = FrozenDecoder()
    parameters = variant.parameters(initial)

    def loss_of(leaves):
        pre = pre_of(leaves, x)
        return square(leaves, x, pre * top_of_batch(pre, 3 * N))

    step = variant.step(parameters, x, k=3)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    loss_of(leaves).backward()
    assert not step.gradients["decoder"].any()
    for name in ("encoder", "b_enc", "b_dec"):
        torch.testing.assert_close(step.gradients[name], leaves[name].grad, rtol=1e-10, atol=1e-12)
