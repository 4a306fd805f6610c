"""The planted dictionary comes back, with the sparsity asked for, and the same bytes every time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from brainalign.core.errors import NotFinite, UnknownName, ValueProblem
from brainalign.core.hashing import array_digest, canonical_json
from brainalign.core.provenance import Provenance
from brainalign.sae.coder import ARRAYS, SparseCoder
from brainalign.sae.edit import edit, zeroed
from brainalign.sae.foreign import require_writable
from brainalign.sae.metrics import measure_sae
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from tests.sae.worlds import as_trajectory, planted


def recovery(directions: np.ndarray, found: np.ndarray) -> float:
    """Mean cosine between true and found directions, matched one to one."""
    cosine = directions @ (found / np.linalg.norm(found, axis=1, keepdims=True)).T
    rows, columns = linear_sum_assignment(-cosine)
    return float(cosine[rows, columns].mean())


def test_recovers_the_planted_dictionary(trained, truth, rng):
    chance = recovery(truth.directions, rng.standard_normal(trained.W_dec.shape))
    assert chance < 0.45
    assert recovery(truth.directions, trained.W_dec) > 0.8  # 0.83 to 0.88 over three seeds
    quality = measure_sae(trained, truth.trajectories)
    assert quality.explained_variance > 0.8
    assert quality.alive_share > 0.95


def test_mean_sparsity_is_k_on_the_training_frames_and_near_it_on_others(trained, truth):
    assert measure_sae(trained, truth.trajectories).l0 == pytest.approx(5, rel=1e-3)
    rows = truth.frames[::2], truth.frames[1::2]
    coder = train_sae([as_trajectory(rows[0])], SaeTraining(k=5, expansion=4, n_steps=300, n_batch=512), seed=0)
    assert measure_sae(coder, as_trajectory(rows[1])).l0 == pytest.approx(5, rel=0.03)


def test_two_runs_give_the_same_bytes(truth):
    recipe = SaeTraining(k=5, expansion=2, n_steps=120, n_batch=256, revive_after=0.1)
    one, two = (train_sae(truth.trajectories, recipe, seed=7) for _ in range(2))
    for name in ARRAYS:
        assert array_digest(getattr(one, name)) == array_digest(getattr(two, name))
    assert canonical_json(one.pack().meta) == canonical_json(two.pack().meta)
    other = train_sae(truth.trajectories, recipe, seed=8)
    assert other.content != one.content


def test_decoder_keeps_unit_norm_and_scale_makes_frames_unit(trained, truth):
    np.testing.assert_allclose(np.linalg.norm(trained.W_dec, axis=1), 1, atol=1e-5)
    assert np.square(truth.frames * trained.scale).sum(1).mean() == pytest.approx(1, rel=1e-4)


def test_units_of_the_input_do_not_matter(truth, recipe):
    """Frames a thousand times larger give the same features, and reconstructions a thousand times larger."""
    short = replace(recipe, n_steps=100)
    factor = 1024.0  # a power of two, so that rounding is the same
    large = [as_trajectory(item.values * np.float32(factor)) for item in truth.trajectories]
    small_coder, large_coder = train_sae(truth.trajectories, short, seed=0), train_sae(large, short, seed=0)
    x = truth.frames[:200]
    np.testing.assert_allclose(
        large_coder.encode(x * np.float32(factor)).toarray(), small_coder.encode(x).toarray(), atol=1e-4
    )
    np.testing.assert_allclose(large_coder.reconstruct(x * 1024) / 1024, small_coder.reconstruct(x), atol=1e-3)


def test_the_mean_is_the_first_decoder_bias(truth):
    frozen = SaeTraining(k=5, expansion=2, n_steps=1, n_batch=64, learning_rate=1e-12)
    coder = train_sae(truth.trajectories, frozen, seed=0)
    np.testing.assert_allclose(coder.b_dec, truth.frames.mean(0) * coder.scale, atol=1e-5)
    np.testing.assert_allclose(coder.W_enc, coder.W_dec.T, atol=1e-6)


def test_a_coder_wider_than_its_data_is_no_problem(rng):
    coder = train_sae(
        [as_trajectory(rng.standard_normal((20, 6)) + 1)],
        SaeTraining(k=3, expansion=16, n_steps=50, n_batch=64),
        seed=0,
    )
    assert coder.d_sae == 96
    assert np.isfinite(coder.threshold).all()


def test_revival_brings_features_back():
    world = planted(1, n_frames=8000)
    harsh = SaeTraining(k=5, expansion=8, n_steps=600, n_batch=256, learning_rate=1e-2)
    without = measure_sae(train_sae(world.trajectories, harsh, seed=0), world.trajectories)
    helped = replace(harsh, revive_after=0.05)
    with_it = measure_sae(train_sae(world.trajectories, helped, seed=0), world.trajectories)
    assert with_it.alive_share > without.alive_share + 0.1  # 0.80 against 0.59
    assert with_it.explained_variance > without.explained_variance


def test_progress_counts_up_to_the_end(truth):
    seen = []
    recipe = SaeTraining(k=5, expansion=2, epochs=1, n_batch=256)
    train_sae(truth.trajectories, recipe, seed=0, progress=lambda done, total, note: seen.append((done, total, note)))
    assert seen[-1][:2] == (94, 94)  # 24,000 frames / 256
    assert [done for done, _, _ in seen] == sorted({done for done, _, _ in seen})
    assert seen[0][2].startswith("loss ")


def test_metadata_says_where_the_coder_comes_from(rng):
    made = Provenance().then("encode", encoder="hubert", layer=9)
    frames = [replace(as_trajectory(rng.standard_normal((100, 4))), provenance=made) for _ in range(2)]
    coder = train_sae(frames, SaeTraining(k=2, n_steps=5, n_batch=32), seed=3)
    assert coder.metadata["architecture"] == "batchtopk"
    assert coder.metadata["source"] == {"name": "encode", "encoder": "hubert", "layer": 9}
    assert (coder.metadata["rate"], coder.metadata["first_centre"]) == ("50", "1/80")
    assert (coder.metadata["seed"], coder.metadata["n_frames"]) == (3, 200)
    assert coder.metadata["training"]["n_steps"] == 5


def test_k_warm_up_and_learning_rate_schedules():
    recipe = SaeTraining(k=10, warm_up=0.1, decay=0.2, k_warm_up=0.5, learning_rate=1.0)
    rates = [recipe.rate_at(step, n_steps=100, d_sae=512) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[9:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    ks = [recipe.k_at(step, n_steps=100, d_sae=512) for step in range(100)]
    assert (ks[0], ks[25], ks[50], ks[99]) == (40, 25, 10, 10)


@pytest.mark.parametrize(("n_steps", "haste"), [(200_000, 1), (12_000, 1), (3_000, 2), (100, 3)])
def test_short_runs_learn_faster_by_default(n_steps, haste):
    assert SaeTraining().rate_at(n_steps // 2, n_steps=n_steps, d_sae=2**14) == pytest.approx(haste * 2e-4)
    assert SaeTraining().rate_at(n_steps // 2, n_steps=n_steps, d_sae=2**12) == pytest.approx(haste * 4e-4)
    assert SaeTraining().rate_at(n_steps // 2, n_steps=n_steps, d_sae=2**7) == pytest.approx(2e-4 * 2**3.5)
    given = SaeTraining(learning_rate=1e-3).rate_at(n_steps // 2, n_steps=n_steps, d_sae=2**14)
    assert given == pytest.approx(1e-3)


def test_refuses_what_cannot_be_trained(truth, rng):
    with pytest.raises(ValueProblem, match="n_steps=10, epochs=2"):
        SaeTraining(n_steps=10, epochs=2)
    with pytest.raises(ValueProblem, match="k must be positive"):
        SaeTraining(k=0)
    with pytest.raises(ValueProblem, match="decay is a share"):
        SaeTraining(decay=1.5)
    with pytest.raises(ValueProblem, match=r"96 features \(2 x 48\) for k=97"):
        train_sae(truth.trajectories, SaeTraining(k=97, expansion=2), seed=0)
    with pytest.raises(UnknownName, match="did you mean 'batchtopk'"):
        train_sae(truth.trajectories, SaeTraining(k=5, variant="batch-topk"), seed=0)
    with pytest.raises(NotFinite, match="the corpus"):
        train_sae([as_trajectory(np.full((10, 4), np.nan))], SaeTraining(k=2), seed=0)
    with pytest.raises(ValueProblem, match="at least one trajectory"):
        train_sae([], SaeTraining(k=2), seed=0)


def test_frames_of_any_length_are_one_frame_where_each_is_divided_by_its_norm(rng):
    """With `normalise="frame"` loudness is no feature, and comes back with the reconstruction."""
    world = planted(2, n_frames=4000)
    loud = [as_trajectory(item.values * 2.0 ** rng.integers(-3, 4, (item.axis.n, 1))) for item in world.trajectories]
    settings = SaeTraining(k=5, expansion=2, n_steps=120, n_batch=256, learning_rate=3e-3, normalise="frame")
    one, two = (train_sae(frames, settings, seed=0) for frames in (world.trajectories, loud))
    x, louder = world.trajectories[0].values, loud[0].values
    assert one.content == two.content
    np.testing.assert_array_equal(one.encode(x).toarray(), one.encode(louder).toarray())
    norms = np.linalg.norm(louder, axis=1, keepdims=True) / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(one.reconstruct(louder) / norms, one.reconstruct(x), atol=1e-5)
    assert one.scale == pytest.approx(1)
    assert measure_sae(one, world.trajectories).l0 == pytest.approx(5, rel=1e-3)
    quality = measure_sae(one, world.trajectories)
    residual = x - one.reconstruct(x)
    assert quality.explained_variance > 0.4
    assert measure_sae(one, as_trajectory(x)).normalised_mse == pytest.approx(
        np.square(residual).sum() / np.square(x).sum(), rel=1e-4
    )


def test_unit_frames_are_part_of_what_a_coder_is(make_coder, rng):
    coder, plain_coder = make_coder(unit_frames=True), make_coder()
    again = SparseCoder.unpack(coder.pack())
    assert again.unit_frames
    assert again.content == coder.content != replace(coder, unit_frames=False).content
    assert "unit_frames" not in plain_coder.pack().meta
    x = rng.standard_normal((40, 6)).astype(np.float32)
    x[3] = 0
    assert np.isfinite(coder.reconstruct(x)).all()
    changed = edit(coder, x, zeroed([0, 1]), keep_error=True)
    by_hand = x + (zeroed([0, 1])(coder.encode(x)) - coder.encode(x)) @ coder.W_dec / coder.scale * coder.lengths(x)
    np.testing.assert_allclose(changed, by_hand, atol=1e-5)
    with pytest.raises(ValueProblem, match="no form for this coder"):
        require_writable(coder, format="SAELens")
