"""A dead feature starts again where frames are poorly explained, and nothing else moves."""

import numpy as np
import pytest
import torch

from brainalign.core.seeds import generator
from brainalign.sae.learner import Learner
from brainalign.sae.resample import resample
from brainalign.sae.settings import SaeTraining
from brainalign.sae.variants.batchtopk import BatchTopK

D_IN, D_SAE, N = 12, 40, 64

# PyTorch says once per process that CSR is "beta"; a training hides it, a learner on its own does not
pytestmark = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")


@pytest.fixture
def make_learner(rng):
    def make(n_steps=200, **options):
        settings = SaeTraining(k=3, n_batch=N, learning_rate=1e-2, n_steps=n_steps, **options)
        decoder = torch.from_numpy(rng.standard_normal((D_SAE, D_IN)).astype(np.float32))
        decoder /= decoder.norm(dim=1, keepdim=True)
        parameters = {
            "encoder": decoder.clone(),
            "b_enc": torch.zeros(D_SAE),
            "decoder": decoder,
            "b_dec": torch.zeros(D_IN),
        }
        return Learner(settings, BatchTopK(), parameters=parameters, n_steps=n_steps, rate=50.0, seed=0)

    return make


@pytest.fixture
def batches(rng):
    """Frames of 20 causes, three at a time."""
    causes = rng.standard_normal((20, D_IN)) / np.sqrt(D_IN)

    def draw():
        while True:
            x = (rng.random((N, 20)) < 0.15) * rng.exponential(1, (N, 20)) @ causes
            yield torch.from_numpy(x.astype(np.float32))

    return draw()


def test_dead_features_take_what_is_missing_of_poorly_explained_frames(make_learner, batches):
    learner = make_learner()
    for _ in range(20):
        step = learner.update(next(batches))
    before = {name: tensor.clone() for name, tensor in learner.parameters.items()}
    dead = np.array([2, 7, 31])
    started = resample(learner.parameters, learner.optimiser, step, dead=dead, rng=generator(0))
    np.testing.assert_array_equal(started, dead)
    missing = -step.residual / step.residual.norm(dim=1, keepdim=True)
    chosen = (missing @ learner.parameters["decoder"][dead].T).max(0)
    np.testing.assert_allclose(chosen.values, 1, atol=1e-5)
    errors = step.residual.square().sum(1)
    assert errors[chosen.indices].mean() > errors.mean()
    assert len(set(chosen.indices.tolist())) == 3
    living = np.setdiff1d(np.arange(D_SAE), dead)
    for name in ("encoder", "decoder", "b_enc"):
        tensor = learner.parameters[name]
        torch.testing.assert_close(tensor[living], before[name][living], rtol=0, atol=0)
        moments = learner.optimiser.state[tensor]
        for moment in ("exp_avg", "exp_avg_sq"):
            assert not moments[moment][dead].any()
        assert moments["exp_avg"][living].any()
    torch.testing.assert_close(learner.parameters["b_dec"], before["b_dec"], rtol=0, atol=0)


def test_not_more_start_again_than_there_are_frames(make_learner, batches):
    learner = make_learner()
    step = learner.update(next(batches)[:5])
    dead = np.arange(30)
    started = resample(learner.parameters, learner.optimiser, step, dead=dead, rng=generator(0))
    assert len(started) == np.count_nonzero(step.residual.abs().sum(1)) <= 5
    assert np.isin(started, dead).all()


@pytest.mark.parametrize(("after", "expected"), [(None, 0.0), (0.1, 0.9)])
def test_features_that_were_killed_come_back(make_learner, batches, after, expected):
    learner = make_learner(resample_after=after)
    killed = np.arange(0, D_SAE, 2)
    learner.parameters["b_enc"][killed] = -100.0
    for _ in range(learner.n_steps):
        learner.update(next(batches))
    back = (learner.last_fired[killed] > learner.n_steps - 20).mean()
    assert back == pytest.approx(expected, abs=0.1)


def test_none_starts_again_in_the_decay(make_learner, batches):
    learner = make_learner(resample_after=0.05, decay=1.0)
    learner.parameters["b_enc"][:10] = -100.0
    for _ in range(learner.n_steps):
        learner.update(next(batches))
    assert (learner.parameters["b_enc"][:10] < -90).all()
