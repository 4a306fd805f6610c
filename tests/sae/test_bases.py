"""PCA, ICA and NMF against scikit-learn, what they can do, and what they share with every coder."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import NMF, PCA

from brainalign.core.artefact import read_artefact, write_artefact
from brainalign.core.errors import UnknownName, ValueProblem
from brainalign.sae.bases import ica, nmf, pca
from brainalign.sae.coder import SparseCoder
from brainalign.sae.metrics import measure_sae
from tests.sae.worlds import as_trajectory, planted


@pytest.fixture(scope="module")
def few():
    """Few frames of that truth, for what takes long."""
    return planted(0, n_frames=4000)


def explained(coder, truth):
    return measure_sae(coder, truth.trajectories).explained_variance


def test_pca_is_scikit_learns(truth):
    x = truth.frames.astype(np.float64)
    theirs, ours = PCA(10).fit(x), pca(truth.trajectories, 10)
    assert np.abs(np.sum(theirs.components_ * ours.W_dec, axis=1)).min() > 0.9999
    np.testing.assert_allclose(ours.metadata["variance"], theirs.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(
        ours.reconstruct(truth.frames[:99]), theirs.inverse_transform(theirs.transform(x[:99])), atol=1e-4
    )
    assert explained(ours, truth) == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-4)


def test_all_principal_components_lose_nothing(truth):
    coder = pca(truth.trajectories, 48)
    np.testing.assert_allclose(coder.reconstruct(truth.frames[:99]), truth.frames[:99], atol=1e-4)
    few = pca(truth.trajectories, 48, k=5)
    quality = measure_sae(few, truth.trajectories)
    assert quality.l0 == pytest.approx(5)
    assert explained(pca(truth.trajectories, 5), truth) < quality.explained_variance < 0.7


def test_ica_separates_what_pca_mixes(rng):
    """Eight skewed sources come back, one to one, with their sign."""
    sources = rng.exponential(1.0, (20_000, 8)) * (rng.random((20_000, 8)) < 0.3)
    mixing = rng.standard_normal((8, 12))
    frames = [as_trajectory(part @ mixing + 5) for part in np.array_split(sources, 3)]

    def match(coder):
        codes = np.vstack([coder.encode(item.values).toarray() for item in frames])
        r = np.corrcoef(codes.T, sources.T)[:8, 8:]
        rows, columns = linear_sum_assignment(-r)
        return r[rows, columns]

    coder = ica(frames, 8, seed=0)
    assert match(coder).min() > 0.98
    assert np.abs(match(pca(frames, 8))).min() < 0.9
    np.testing.assert_allclose(np.linalg.norm(coder.W_dec, axis=1), 1, rtol=1e-5)
    assert measure_sae(coder, frames).explained_variance > 0.9999
    assert match(ica(frames, 8, seed=3, max_frames=4000)).min() > 0.97


def test_ica_keeps_the_components_that_contribute_most(truth):
    few = ica(truth.trajectories, 32, seed=0, k=5)
    assert measure_sae(few, truth.trajectories).l0 == pytest.approx(5)
    assert explained(few, truth) > explained(pca(truth.trajectories, 32, k=5), truth)


def test_nmf_is_near_scikit_learns(few):
    """Online learning against the same number of parts learnt on all frames at once."""
    x = few.frames - few.frames.min(axis=0)
    theirs = NMF(12, init="nndsvda", max_iter=60, tol=0).fit(x)
    left = np.square(x - theirs.transform(x) @ theirs.components_).sum()
    at_once = 1 - left / np.square(few.frames - few.frames.mean(axis=0)).sum()
    coder = nmf(few.trajectories, 12, seed=0, epochs=8, n_batch=512)
    assert (coder.W_dec >= 0).all()
    assert (coder.encode(few.frames[:500]).data > 0).all()
    assert explained(coder, few) > at_once - 0.05
    assert explained(coder, few) < explained(pca(few.trajectories, 12), few)


def test_parts_from_the_mean_do_with_fewer(few):
    """From the minimum it takes parts to reach the mean frame, so that the five largest explain little."""
    from_mean = nmf(few.trajectories, 40, seed=0, k=5, origin="mean", epochs=4, n_batch=512)
    assert (from_mean.W_dec < 0).any()
    assert measure_sae(from_mean, few.trajectories).l0 <= 5
    assert explained(from_mean, few) > explained(nmf(few.trajectories, 40, seed=0, k=5, epochs=4, n_batch=512), few)


@pytest.mark.parametrize("make", [pca, ica, nmf])
def test_a_basis_is_a_coder(truth, tmp_path, make):
    named = {} if make is pca else {"seed": 0}
    coder = make(truth.trajectories, 6, k=2, **named)
    assert isinstance(coder, SparseCoder)
    assert make(truth.trajectories, 6, k=2, **named).content == coder.content
    x = truth.frames[:600]
    whole = coder.encode(x).toarray()
    np.testing.assert_array_equal(coder.encode(x[597:]).toarray(), whole[597:])
    features = coder.apply(truth.trajectories[0].frames(0, 600), prefix="part-")
    assert features.features[5] == "part-5"
    write_artefact(coder.pack(), tmp_path / "basis")
    assert SparseCoder.unpack(read_artefact(tmp_path / "basis")).content == coder.content


def test_what_has_no_such_basis_is_refused(truth, rng, monkeypatch):
    with pytest.raises(ValueProblem, match="n_components=49, 48 inputs"):
        pca(truth.trajectories, 49)
    flat = as_trajectory(np.outer(rng.standard_normal(500), rng.standard_normal(6)))
    with pytest.raises(ValueProblem, match="fewer dimensions"):
        ica([flat], 3, seed=0)
    with pytest.raises(ValueProblem, match="k=7, 6 of them"):
        pca(truth.trajectories, 6, k=7)
    with pytest.raises(ValueProblem, match="needs components"):
        nmf(truth.trajectories, 0, seed=0)
    with pytest.raises(UnknownName, match="Known: mean, minimum"):
        nmf(truth.trajectories, 2, seed=0, origin="zero")
    monkeypatch.setattr("brainalign.sae.bases.N_ITERATIONS", 2)
    with pytest.raises(ValueProblem, match="after 2 rounds on 24000 frames"):
        ica(truth.trajectories, 20, seed=0)
