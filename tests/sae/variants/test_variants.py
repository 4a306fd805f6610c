"""What every variant owes: the sparsity asked for, features that need no other frame, the same bytes, a memory."""

import numpy as np
import pytest
import torch

from brainalign.core.errors import ShapeMismatch, UnknownName, ValueProblem
from brainalign.sae.coder import SparseCoder
from brainalign.sae.crosscoder import stack_layers
from brainalign.sae.metrics import measure_sae
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from brainalign.sae.variants.folding import unit_norm
from brainalign.sae.variants.gated import Gated
from brainalign.sae.variants.jumprelu import JumpReLU
from brainalign.sae.variants.known import VARIANTS, variant_named
from brainalign.sae.variants.matryoshka import Matryoshka
from brainalign.sae.variants.sparsity import Weight
from brainalign.sae.variants.temporal import Temporal
from tests.sae.test_train import recovery
from tests.sae.worlds import as_trajectory

RECIPE = {"k": 5, "expansion": 4, "n_steps": 400, "n_batch": 256}
LEARNT = sorted(set(VARIANTS) - {"frozen-decoder"})


@pytest.fixture(scope="module")
def frames(truth):
    """Return the frames as a variant wants them."""
    return lambda name: stack_layers({"only": truth.trajectories}) if name == "crosscoder" else truth.trajectories


@pytest.fixture(scope="module")
def coders(frames):
    """One coder of every variant."""
    return {name: train_sae(frames(name), SaeTraining(**RECIPE, variant=name), seed=0) for name in VARIANTS}


@pytest.mark.parametrize("name", LEARNT)
def test_finds_directions(coders, truth, name):
    coder = coders[name]
    chance = recovery(truth.directions, coders["frozen-decoder"].W_dec)
    assert recovery(truth.directions, coder.W_dec) > chance + 0.1  # 0.38; 0.5 to 0.8 after so few steps
    assert coder.metadata["architecture"] == name


@pytest.mark.parametrize("name", VARIANTS)
def test_mean_sparsity_is_the_one_asked_for(coders, frames, name):
    """Calibrated or exact at k where k is set, near it where a penalty is steered."""
    steered = name in {"relu-l1", "gated", "jumprelu"}
    l0 = measure_sae(coders[name], frames(name)).l0
    assert l0 == pytest.approx(5, rel=0.15 if steered else 0.02)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_frame_needs_no_other_frame(coders, frames, name):
    coder, x = coders[name], frames(name)[0].values[:600]
    assert not coder.needs_calibration
    whole = coder.encode(x).toarray()
    for part in (slice(0, 1), slice(300, 307), slice(511, 514)):
        np.testing.assert_array_equal(coder.encode(x[part]).toarray(), whole[part])


@pytest.mark.parametrize("name", VARIANTS)
def test_same_seed_same_bytes(frames, name):
    short = SaeTraining(**{**RECIPE, "n_steps": 12}, variant=name)
    one, two, other = (train_sae(frames(name), short, seed=seed).content for seed in (1, 1, 2))
    assert one == two != other


@pytest.mark.parametrize("name", VARIANTS)
def test_state_is_all_there_is_to_remember(frames, rng, name):
    """Two variants of one state and the same parameters take the same steps."""
    x = torch.from_numpy(rng.standard_normal((64, 48)).astype(np.float32))
    directions = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((96, 48)).astype(np.float32)))

    def fresh():
        variant = variant_named(name)
        if hasattr(variant, "begin"):
            variant.begin(frames(name), n_steps=10)
        initial = {"encoder": directions.clone(), "b_enc": torch.zeros(96)}
        return variant, variant.parameters({**initial, "decoder": directions.clone(), "b_dec": torch.zeros(48)})

    with torch.no_grad():
        first, parameters = fresh()
        first.step(parameters, x, k=5)
        second, again = fresh()
        for key, value in parameters.items():
            again[key].copy_(value)
        if hasattr(first, "state"):
            second.restore(first.state())
        steps = [variant.step(p, x, k=5) for variant, p in ((first, parameters), (second, again))]
    assert steps[0].loss == steps[1].loss
    for key, gradient in steps[0].gradients.items():
        assert torch.equal(gradient, steps[1].gradients[key])


def test_gated_inference_is_gate_times_magnitude(truth):
    """The finished JumpReLU against the two maps, computed from the parameters as they were trained."""
    variant = Gated()
    rng = np.random.default_rng(0)
    tensors = {"encoder": (60, 48), "b_enc": (60,), "decoder": (60, 48), "b_dec": (48,)}
    initial = {key: torch.from_numpy(0.3 * rng.standard_normal(shape)) for key, shape in tensors.items()}
    parameters = variant.parameters(initial)
    parameters["r_mag"] += torch.from_numpy(0.4 * rng.standard_normal(60))
    parameters["b_mag"] += torch.from_numpy(0.3 * rng.standard_normal(60))
    arrays = {key: value.numpy() for key, value in parameters.items()}
    trained = SparseCoder(
        W_enc=arrays["encoder"].T,
        b_enc=arrays["b_enc"],
        W_dec=arrays["decoder"],
        b_dec=arrays["b_dec"],
        threshold=np.nan,
        scale=0.5,
        k=5,
    )
    coder = variant.finish(trained, truth.trajectories)
    x = truth.frames[:400].astype(np.float64)
    projected = (0.5 * x - arrays["b_dec"]) @ arrays["encoder"].T
    gate, magnitude = projected + arrays["b_enc"], np.exp(arrays["r_mag"]) * projected + arrays["b_mag"]
    expected = np.where(gate > 0, np.maximum(magnitude, 0), 0)
    clear = (np.abs(gate) > 1e-4) & (np.abs(magnitude) > 1e-4)  # rounding decides what lies on the border
    found = coder.encode(truth.frames[:400]).toarray()
    np.testing.assert_allclose(np.where(clear, found, 0), np.where(clear, expected, 0), atol=1e-4)
    assert ((gate > 0) & (magnitude < 0) & clear).any()
    assert ((gate < 0) & (magnitude > 0) & clear).any()


def test_folding_changes_the_units_and_nothing_else(make_coder, rng):
    coder, x = make_coder(), rng.standard_normal((300, 6))
    folded = unit_norm(coder)
    norms = np.linalg.norm(coder.W_dec, axis=1)
    np.testing.assert_allclose(np.linalg.norm(folded.W_dec, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(folded.reconstruct(x), coder.reconstruct(x), atol=1e-4)
    np.testing.assert_allclose(folded.encode(x).toarray(), coder.encode(x).toarray() * norms, atol=1e-4)


@pytest.mark.parametrize("name", ["relu-l1", "gated", "jumprelu"])
def test_a_heavier_penalty_is_a_sparser_coder(truth, name):
    def l0(sparsity):
        recipe = SaeTraining(**{**RECIPE, "n_steps": 120}, variant=name, options={"sparsity": sparsity})
        coder = train_sae(truth.trajectories, recipe, seed=0)
        assert coder.metadata["sparsity"] == sparsity
        return measure_sae(coder, truth.trajectories).l0

    low, high = {"jumprelu": (0.2, 2.0)}.get(name, (0.05, 0.5))
    assert l0(high) < 0.7 * l0(low)


def test_prefixes_explain_by_themselves(coders, truth):
    """The first groups of a Matryoshka coder explain more than as many features of a plain one."""

    def explained(coder, n):
        codes = coder.encode(truth.frames).tolil()
        codes[:, n:] = 0
        left = np.square(truth.frames - coder.decode(codes.tocsr())).sum()
        return 1 - left / np.square(truth.frames - truth.frames.mean(axis=0)).sum()

    nested, plain = coders["matryoshka"], coders["batchtopk"]
    assert nested.metadata["groups"] == [12, 24, 48, 96, 192]
    assert explained(nested, 24) > explained(plain, 24) + 0.1
    assert explained(nested, 192) > 0.6


@pytest.fixture(scope="module")
def slow_and_quick():
    """12 slow causes (1 s) and 36 quick ones (one frame): 6 slow and 36 quick are equally frequent."""
    rng = np.random.default_rng(2)
    directions = rng.standard_normal((48, 24))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sounds = []
    for _ in range(6):
        slow = np.repeat(rng.random((40, 12)) < 0.12, 50, axis=0)
        quick = rng.random((2000, 36)) < 0.08
        causes = np.hstack([slow, quick]) * (0.6 + rng.exponential(0.4, (2000, 48)))
        sounds.append(as_trajectory(causes @ directions + 0.02 * rng.standard_normal((2000, 24)) + 0.1))
    return sounds, directions


def test_consistency_puts_slow_features_first(slow_and_quick):
    """With the contrastive loss, the first group's features last longer than without it."""
    sounds, _ = slow_and_quick

    def lasting(consistency):
        options = {"consistency": consistency, "first": 0.25}
        recipe = SaeTraining(k=4, expansion=2, n_steps=300, n_batch=256, variant="temporal", options=options)
        coder = train_sae(sounds, recipe, seed=0)
        assert coder.metadata["groups"] == [12, 48]
        on = coder.encode(sounds[0].values)[:, :12].toarray() > 0
        return (on[1:] & on[:-1]).sum() / max(1, on.sum())

    assert lasting(0.3) > lasting(0.0) + 0.1


def test_a_steered_weight_follows_and_a_given_one_rises():
    steered = Weight(None, start=0.1, warm_up=0.0)
    steered.after(20, k=5)
    higher = steered.value
    steered.after(1, k=5)
    assert higher > 0.1
    assert steered.value < higher
    given = Weight(2.0, start=0.1, warm_up=0.5)
    given.begin(8)
    seen = []
    for _ in range(6):
        seen.append(given.value)
        given.after(3, k=5)
    assert seen == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_options_out_of_range_are_refused(rng):
    with pytest.raises(UnknownName, match="did you mean 'jumprelu'"):
        variant_named("jumprely")
    with pytest.raises(UnknownName, match="did you mean 'sparsity'"):
        variant_named("gated", {"sparsityy": 1.0})
    with pytest.raises(ValueProblem, match="cannot be negative"):
        Gated(-1.0)
    with pytest.raises(ValueProblem, match="share of the run"):
        JumpReLU(1.0, warm_up=2.0)
    with pytest.raises(UnknownName, match="Known: step, tanh"):
        JumpReLU(penalty="l0")
    with pytest.raises(ValueProblem, match="prefixes must grow"):
        Matryoshka(ratio=1.0)
    with pytest.raises(ValueProblem, match="too few features"):
        Matryoshka(9).sizes(100)
    with pytest.raises(ValueProblem, match="out of range"):
        Temporal(first=1.5)
    with pytest.raises(ShapeMismatch, match="7 rows"):
        Temporal().step({}, torch.from_numpy(rng.standard_normal((7, 3))), k=1)
