"""A coder in the middle of a model: what comes after sees the reconstruction, and afterwards all is as before."""

import numpy as np
import pytest
import torch

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.sae.coder import SparseCoder
from brainalign.sae.edit import ablate, scaled, zeroed
from brainalign.sae.splice import Downstream, recovered, recovered_in_model, replaced, spliced
from tests.sae.worlds import as_trajectory


class Tupled(torch.nn.Module):
    """A block that returns what transformers' blocks return: frames first, other things after."""

    def forward(self, x):
        return 2 * x, "attention maps"


class Model(torch.nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block, self.head = block, torch.nn.Linear(6, 3)

    def forward(self, x):
        out = self.block(x)
        return self.head(out[0] if isinstance(out, tuple) else out)


@pytest.fixture
def model(request):
    torch.manual_seed(0)
    return Model(request.param if hasattr(request, "param") else torch.nn.Linear(6, 6))


@pytest.fixture
def x(rng):
    return torch.from_numpy(rng.standard_normal((2, 7, 6)).astype(np.float32))


def test_what_follows_sees_the_reconstruction(model, make_coder, x):
    coder = make_coder()
    with torch.no_grad():
        before, inner = model(x), model.block(x)
    expected = model.head(torch.from_numpy(coder.reconstruct(inner.reshape(-1, 6).numpy())).reshape(2, 7, 6))
    with spliced(model.block, coder):
        torch.testing.assert_close(model(x), expected.detach())
    torch.testing.assert_close(model(x).detach(), before)
    assert not model.block._forward_hooks


def test_with_its_error_kept_only_an_edit_changes_anything(model, make_coder, x):
    coder = make_coder()
    before = model(x).detach()
    with spliced(model.block, coder, keep_error=True):
        torch.testing.assert_close(model(x), before, rtol=0, atol=0)
    with torch.no_grad():
        edited = torch.from_numpy(ablate(coder, model.block(x).reshape(-1, 6).numpy(), [3])).reshape(2, 7, 6)
        expected = model.head(edited)
    with spliced(model.block, coder, change=zeroed([3]), keep_error=True):
        torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("model", [Tupled()], indirect=True)
def test_a_tuple_stays_one(model, make_coder, x):
    coder = make_coder()
    with spliced(model.block, coder):
        frames, rest = model.block(x)
    assert rest == "attention maps"
    np.testing.assert_allclose(frames.reshape(-1, 6), coder.reconstruct(2 * x.reshape(-1, 6).numpy()), atol=1e-5)


def test_half_precision_stays_half_precision(make_coder, x):
    block = torch.nn.Identity()
    with spliced(block, make_coder()):
        assert block(x.to(torch.bfloat16)).dtype == torch.bfloat16


def test_the_hook_goes_even_when_the_model_fails(model, make_coder):
    with pytest.raises(RuntimeError), spliced(model.block, make_coder()):
        model(torch.zeros(2, 5))
    assert not model.block._forward_hooks
    assert torch.is_grad_enabled()


def test_refusals(model, make_coder, x):
    with pytest.raises(ShapeMismatch, match="6 features, the coder reads 8"), spliced(model.block, make_coder(d_in=8)):
        model(x)
    broken = Dicted()
    with pytest.raises(ValueProblem, match=r"tensor first.*\n  got: dict"), spliced(broken, make_coder()):
        broken(x)


class Dicted(torch.nn.Module):
    def forward(self, x):
        return {"frames": x}


def perfect(d_in: int) -> SparseCoder:
    both = np.hstack([np.eye(d_in), -np.eye(d_in)])
    zeros = np.zeros(2 * d_in)
    return SparseCoder(W_enc=both, b_enc=zeros, W_dec=both.T, b_dec=np.zeros(d_in), threshold=0, scale=1, k=d_in)


def test_recovered_is_one_for_a_perfect_coder_and_less_for_a_random_one(make_coder, rng):
    frames = [as_trajectory(rng.standard_normal((50, 6))) for _ in range(3)]
    target = np.concatenate([item.values for item in frames])[:, 0]

    def loss(given):
        return float(np.square(np.concatenate(given)[:, 0] - target).mean() + 0.1)

    good = recovered(perfect(6), frames, loss)
    assert good.recovered == pytest.approx(1)
    assert good.lost == pytest.approx(0, abs=1e-6)
    assert good.baseline == pytest.approx(0.1 + target.var(), rel=1e-3)
    assert recovered(make_coder(), frames, loss).recovered < 1


def test_recovered_by_hand():
    found = Downstream(original=0.9, reconstructed=0.8, baseline=0.1)
    assert found.recovered == pytest.approx(0.7 / 0.8)
    assert found.lost == pytest.approx(0.1)
    assert np.isnan(Downstream(0.5, 0.4, 0.5).recovered)


def test_a_models_score_through_the_coder(model, make_coder, x):
    with torch.no_grad():
        target, mean = model(x), model.block(x).reshape(-1, 6).mean(0).numpy()

    def loss():
        return float((model(x) - target).square().mean())

    whole = recovered_in_model(model.block, perfect(6), loss, mean=mean)
    assert (whole.original, whole.reconstructed) == (0, pytest.approx(0, abs=1e-10))
    assert whole.baseline > 0
    assert recovered_in_model(model.block, make_coder(), loss, mean=mean).recovered < 1


def test_anything_may_stand_in_the_place(model, x):
    with replaced(model.block, np.zeros_like), torch.no_grad():
        torch.testing.assert_close(model(x), model.head.bias.expand(2, 7, 3))


def test_scaling_in_the_model_is_linear_in_the_factor(model, make_coder, x):
    coder, outputs = make_coder(), []
    for factor in (1.0, 2.0, 3.0):
        with spliced(model.block, coder, change=scaled([2], factor), keep_error=True):
            outputs.append(model(x))
    assert (outputs[1] - outputs[0]).abs().max() > 1e-3
    torch.testing.assert_close(outputs[2] - outputs[1], outputs[1] - outputs[0], rtol=1e-3, atol=1e-4)
