"""A downstream loss reaches the coder: exactly, and to some effect."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.sae.endtoend import EndToEnd, train_end_to_end
from brainalign.sae.metrics import measure_sae
from brainalign.sae.settings import SaeTraining
from tests.sae.worlds import as_trajectory

pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")


def test_gradients_are_autograds(rng):
    """Two utterances, a loss that looks across time, every parameter, in float64."""
    shapes = {"encoder": (23, 7), "b_enc": (23,), "decoder": (23, 7), "b_dec": (7,)}
    parameters = {name: torch.from_numpy(rng.standard_normal(shape)) for name, shape in shapes.items()}
    x = torch.from_numpy(rng.standard_normal((40, 7)))
    kernel = torch.from_numpy(rng.standard_normal((3, 7, 5)))

    def downstream(frames, number):
        seen = torch.nn.functional.conv1d(frames.T[None], kernel)
        return (number + 1) * torch.tanh(seen).square().mean()

    variant = EndToEnd(downstream, scale=0.4, weight=3.0, reconstruction=0.6)
    variant.next_batch([4, 1], [15, 25])
    step = variant.step(parameters, x, k=3)
    mask = torch.zeros(40, 23, dtype=torch.float64)
    mask[step.pattern.rows, step.pattern.columns] = 1
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    pre = (x - leaves["b_dec"]) @ leaves["encoder"].T + leaves["b_enc"]
    x_hat = (pre * mask) @ leaves["decoder"] + leaves["b_dec"]
    far = (downstream(x_hat[:15] / 0.4, 4) + downstream(x_hat[15:] / 0.4, 1)) / 2
    loss = 0.6 * (x_hat - x).square().sum(1).mean() + 3.0 * far
    expected = torch.autograd.grad(loss, list(leaves.values()))
    assert step.loss == pytest.approx(loss.item(), rel=1e-12)
    for name, gradient in zip(leaves, expected, strict=True):
        assert (step.gradients[name] - gradient).norm() / gradient.norm() < 1e-10, name


@pytest.fixture(scope="module")
def utterances(truth):
    """Twenty utterances, and what the model reads of them: 3 directions that hold 2 % of the variance."""
    rng = np.random.default_rng(3)
    readout = np.linalg.qr(rng.standard_normal((48, 48)))[0][:, :3].astype(np.float32)
    frames = [item.frames(start, start + 100) for item in truth.trajectories for start in range(0, 500, 100)]
    dim = [item.values - 0.7 * (item.values - truth.frames.mean(0)) @ readout @ readout.T for item in frames]
    return [as_trajectory(values) for values in dim], readout


def test_what_the_model_reads_gets_better_and_the_rest_pays(trained, utterances):
    frames, readout = utterances
    there = [torch.from_numpy(np.array(item.values) @ readout) for item in frames]

    def downstream(x_hat, number):
        return (x_hat @ torch.from_numpy(readout) - there[number]).square().sum(1).mean()

    recipe = SaeTraining(k=5, n_steps=150, n_batch=400)
    kept = {"settings": recipe, "seed": 0}
    plain = train_end_to_end(trained, frames, downstream, weight=0.0, **kept)
    tuned = train_end_to_end(trained, frames, downstream, weight=100.0, **kept)

    def far(coder):
        made = [torch.from_numpy(coder.reconstruct(item.values)) for item in frames]
        return sum(float(downstream(x_hat, number)) for number, x_hat in enumerate(made)) / len(made)

    def near(coder):
        return measure_sae(coder, frames).explained_variance

    assert far(tuned) < 0.7 * far(plain)
    assert near(plain) > near(tuned) > near(plain) - 0.15
    assert measure_sae(tuned, frames).l0 == pytest.approx(5, rel=1e-3)
    np.testing.assert_allclose(np.linalg.norm(tuned.W_dec, axis=1), 1, atol=1e-5)
    assert tuned.metadata["end_to_end"] == {"weight": 100.0, "reconstruction": 1.0, "start": trained.content}
    assert tuned.scale == pytest.approx(trained.scale)
    again = train_end_to_end(trained, frames, downstream, weight=100.0, **kept)
    assert again.content == tuned.content


def test_utterances_stay_whole_and_all_are_seen(trained, utterances):
    frames, _ = utterances
    uneven = [item.frames(0, 40 + 3 * i) for i, item in enumerate(frames)]
    seen = []

    def downstream(x_hat, number):
        seen.append((number, len(x_hat)))
        return x_hat.square().mean()

    done = []
    recipe = SaeTraining(k=5, n_steps=6, n_batch=250)
    train_end_to_end(
        trained, uneven, downstream, settings=recipe, seed=0, progress=lambda i, n, note: done.append((i, n))
    )
    assert {number for number, _ in seen} == set(range(20))
    assert all(length == 40 + 3 * number for number, length in seen)
    assert done[-1] == (6, 6)


def test_what_cannot_be_learnt_from_is_refused(trained, utterances, rng):
    frames, _ = utterances
    recipe = {"settings": SaeTraining(k=5, n_steps=2, n_batch=100), "seed": 0}
    with pytest.raises(ValueProblem, match=r"shape \(100,\) for utterance"):
        train_end_to_end(trained, frames, lambda x, i: x.sum(1), **recipe)
    with pytest.raises(ValueProblem, match="differentiable scalar"):
        train_end_to_end(trained, frames, lambda x, i: x.detach().sum(), **recipe)
    with pytest.raises(ValueProblem, match="float for utterance"):
        train_end_to_end(trained, frames, lambda x, i: 1.0, **recipe)
    with pytest.raises(ValueProblem, match="not both 0"):
        train_end_to_end(trained, frames, lambda x, i: x.sum(), weight=0, reconstruction=0, **recipe)
    with pytest.raises(ShapeMismatch, match="the coder reads 48"):
        train_end_to_end(trained, [as_trajectory(rng.standard_normal((9, 5)))], lambda x, i: x.sum(), **recipe)
    wide = replace(trained, W_dec=2 * trained.W_dec, W_enc=trained.W_enc / 2, b_enc=trained.b_enc / 2)
    same = [train_end_to_end(coder, frames, lambda x, i: x.square().mean(), **recipe) for coder in (trained, wide)]
    np.testing.assert_allclose(same[0].W_dec, same[1].W_dec, atol=1e-5)
