"""Coders that have learnt nothing: as sparse, as active, as variable as what they stand beside."""

import numpy as np
import pytest
from scipy import sparse

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.trajectory import Trajectory
from brainalign.sae.apply import apply_sae
from brainalign.sae.controls import matched_coder, random_coder
from brainalign.sae.metrics import measure_sae


@pytest.fixture(scope="module")
def codes(trained, truth):
    """The trained coder's features that are active at all, per trial."""
    every = [apply_sae(trained, item) for item in truth.trajectories]
    counts = sum(np.bincount(item.values.indices, minlength=item.n_features) for item in every)
    return [item.select(np.flatnonzero(counts > 50)) for item in every]


def stacked(trajectories):
    return sparse.vstack([item.values for item in trajectories]).toarray()


def test_a_random_coder_is_as_large_and_as_sparse_and_explains_less(trained, truth):
    control = random_coder(trained, truth.trajectories, seed=1)
    assert (control.d_in, control.d_sae, control.scale) == (trained.d_in, trained.d_sae, trained.scale)
    learnt, random = (measure_sae(coder, truth.trajectories) for coder in (trained, control))
    assert random.l0 == pytest.approx(learnt.l0, abs=0.6)
    assert random.explained_variance < learnt.explained_variance - 0.2
    np.testing.assert_allclose(np.linalg.norm(control.W_dec, axis=1), 1, rtol=1e-5)
    assert control.metadata["control"] == "random directions"


def test_random_directions_follow_the_seed(trained, truth):
    one, same, other = (random_coder(trained, truth.trajectories, seed=seed).content for seed in (1, 1, 2))
    assert one == same != other


def test_matched_features_are_as_often_active_and_as_variable(truth, codes):
    control = matched_coder(codes, truth.trajectories, seed=1)
    made = stacked([apply_sae(control, item) for item in truth.trajectories])
    real = stacked(codes)
    np.testing.assert_allclose((made > 0).mean(axis=0), (real > 0).mean(axis=0), rtol=0.02, atol=2e-4)
    np.testing.assert_allclose(made.std(axis=0), real.std(axis=0), rtol=0.02)


def test_matched_features_are_other_features(truth, codes):
    control = matched_coder(codes, truth.trajectories, seed=1)
    made = stacked([apply_sae(control, item) for item in truth.trajectories])
    real = stacked(codes)
    r = [abs(np.corrcoef(made[:, j], real[:, j])[0, 1]) for j in range(real.shape[1])]
    assert np.median(r) < 0.2


def test_a_feature_that_is_active_in_most_frames_is_matched_at_the_mean(truth, codes):
    always = []
    for item in codes:
        values = sparse.csr_array(1.0 + (np.arange(item.axis.n, dtype=np.float32) % 3)[:, None])
        always.append(Trajectory(values, item.axis, ("always",)))
    made = stacked([apply_sae(matched_coder(always, truth.trajectories, seed=0), item) for item in truth.trajectories])
    assert (made > 0).mean() == pytest.approx(0.5, abs=0.1)
    assert made.std() == pytest.approx(stacked(always).std(), rel=0.02)


def test_silent_features_and_other_trials_are_refused(truth, codes):
    silent = [type(item)(sparse.csr_array((item.axis.n, 2), dtype=np.float32), item.axis, ("a", "b")) for item in codes]
    with pytest.raises(ValueProblem, match="never active"):
        matched_coder(silent, truth.trajectories, seed=0)
    with pytest.raises(ShapeMismatch, match="same trials"):
        matched_coder(codes[:2], truth.trajectories, seed=0)
