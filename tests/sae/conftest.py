"""One planted dictionary and one coder trained on it, shared by the room's tests."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from brainalign.sae.coder import SparseCoder
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from tests.sae.worlds import Planted, planted


@pytest.fixture(scope="session")
def truth() -> Planted:
    """The planted dictionary that most tests share."""
    return planted(0)


@pytest.fixture(scope="session")
def recipe() -> SaeTraining:
    """Train for about a second."""
    return SaeTraining(k=5, expansion=4, n_steps=1000, n_batch=512)


@pytest.fixture(scope="session")
def trained(truth: Planted, recipe: SaeTraining) -> SparseCoder:
    """A coder trained on the planted dictionary."""
    return train_sae(truth.trajectories, recipe, seed=0)


@pytest.fixture
def make_coder(rng: np.random.Generator) -> Callable[..., SparseCoder]:
    """Build a coder of random weights, with whatever is given in place of its parts."""

    def make(d_in: int = 6, d_sae: int = 20, **parts: object) -> SparseCoder:
        arrays = {
            "W_enc": rng.standard_normal((d_in, d_sae)),
            "b_enc": 0.1 * rng.standard_normal(d_sae),
            "W_dec": rng.standard_normal((d_sae, d_in)),
            "b_dec": rng.standard_normal(d_in),
            "threshold": np.full(d_sae, 0.3),
        }
        return SparseCoder(**{**arrays, "scale": 0.7, "k": 4, "metadata": {"architecture": "batchtopk"}, **parts})

    return make


@pytest.fixture(autouse=True)
def _threads_are_put_back() -> Iterator[None]:
    """No test may leave PyTorch with another number of threads or without gradients."""
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before
    assert torch.is_grad_enabled()
