"""The threshold lies where mean L0 is k."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import ValueProblem
from brainalign.sae.calibrate import calibrate
from tests.sae.worlds import as_trajectory


@pytest.mark.parametrize("k", [1, 4])
def test_exactly_n_times_k_values_stay(make_coder, rng, k):
    frames = as_trajectory(rng.standard_normal((3000, 6)))
    coder = calibrate(make_coder(threshold=np.nan), frames, k=k)
    assert coder.encode(frames.values).nnz == 3000 * k
    assert coder.k == k
    assert not coder.needs_calibration
    assert coder.metadata["calibration"] == {"k": k, "n_frames": 3000, "normalised": False}
    assert coder.metadata["architecture"] == "batchtopk"


def test_old_threshold_does_not_matter(make_coder, rng):
    coder, frames = make_coder(), as_trajectory(rng.standard_normal((700, 6)))
    assert calibrate(replace(coder, threshold=np.nan), [frames]).content == calibrate(coder, [frames]).content


def test_a_large_corpus_is_sampled_evenly(trained, truth):
    every = calibrate(trained, truth.trajectories)
    some = calibrate(trained, truth.trajectories, max_frames=4000)
    assert some.metadata["calibration"]["n_frames"] == 4000
    assert some.threshold[0] == pytest.approx(every.threshold[0], rel=0.02)


def test_more_than_there_is_keeps_every_positive_value(make_coder, rng):
    frames = as_trajectory(rng.standard_normal((100, 6)))
    coder = calibrate(make_coder(b_enc=np.full(20, -5.0)), frames, k=20)
    assert set(coder.threshold) == {0}


def test_normalise_sets_the_scale(make_coder, rng):
    frames = as_trajectory(30 * rng.standard_normal((400, 6)))
    coder = calibrate(make_coder(scale=1.0), frames, normalise=True)
    assert np.square(coder.scale * frames.values).sum(1).mean() == pytest.approx(1, rel=1e-4)
    assert coder.encode(frames.values).nnz == 400 * coder.k


def test_selection_in_pieces_is_the_selection_at_once(trained, truth):
    pre = np.concatenate([p.copy() for p in trained.pre_activations(truth.frames[:3000])])
    top = np.sort(pre[pre > 0])[::-1]
    coder = calibrate(trained, as_trajectory(truth.frames[:3000]), k=2)
    assert coder.threshold[0] == pytest.approx(np.mean(top[5999:6001]))


def test_refuses_a_k_that_is_not_stated_or_too_large(make_coder, rng):
    frames = as_trajectory(rng.standard_normal((10, 6)))
    with pytest.raises(ValueProblem, match="k=0, d_sae=20"):
        calibrate(make_coder(k=0), frames)
    with pytest.raises(ValueProblem, match="k=21"):
        calibrate(make_coder(), frames, k=21)
