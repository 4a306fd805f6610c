"""The benchmark of training and encoding compares like with like, and says where a peer is missing."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmarks import sae_speed
from benchmarks._report import verdicts
from benchmarks._sae_speed_data import Shape, batches, first_parameters, make_world
from benchmarks._sae_speed_inference import Agreement, agreement
from benchmarks._sae_speed_steps import (
    DICTIONARY,
    FREE,
    OWN,
    SAELENS,
    STEPS,
    MissingPeer,
    dictionary_learning_step,
    one_thread,
    our_step,
    saelens_step,
)
from benchmarks._sae_speed_tasks import QUICK, Found, by_autograd, equal_losses, gradients

SHAPE = Shape(d_in=24, d_sae=96, k=4, n_batch=64, learning_rate=1e-3)


@pytest.fixture
def world():
    return make_world(SHAPE, seed=0)


def test_frames_are_sparse_sums_of_unit_norm_far_off_the_origin(world):
    x = world.frames(4000, np.random.default_rng(0))
    assert x.dtype == np.float32
    assert np.square(x).sum(1).mean() == pytest.approx(1, rel=0.05)
    assert np.square(x.mean(0)).sum() > 0.3
    np.testing.assert_allclose(np.linalg.norm(world.directions, axis=1), 1, rtol=1e-5)


def test_everybody_gets_the_same_frames_and_weights(world):
    one, two = (next(batches(world, SHAPE, 1)) for _ in range(2))
    assert torch.equal(one, two)
    first = first_parameters(world, SHAPE, 0)
    assert torch.equal(first["encoder"], first["decoder"])
    with one_thread():
        our_step(first, SHAPE, screening="exact")(one)  # on a copy
    assert torch.equal(first["encoder"], first["decoder"])


def test_the_loss_falls_and_is_the_same_with_screening(world):
    first = first_parameters(world, SHAPE, 0)
    with one_thread():
        steps = [our_step(first, SHAPE, screening=name) for name in ("exact", "bfloat16")]
        losses = [[step(x) for x in islice(batches(world, SHAPE, 1), 40)] for step in steps]
    assert losses[0][-1] < 0.8 * losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_the_reference_loss_is_the_dense_one(world):
    first, x = first_parameters(world, SHAPE, 0), next(batches(world, SHAPE, 1))
    loss, active, found = by_autograd(first, x, SHAPE.k)
    assert len(active) == SHAPE.k * SHAPE.n_batch
    with one_thread():
        assert our_step(first, SHAPE, screening="exact")(x) == pytest.approx(loss, rel=1e-6)
    assert set(found) == set(first)


@pytest.mark.parametrize("make", [saelens_step, dictionary_learning_step])
def test_a_peer_takes_the_same_first_step_or_is_said_to_be_missing(world, make):
    first, x = first_parameters(world, SHAPE, 0), next(batches(world, SHAPE, 1))
    try:
        with one_thread():
            peer = make(first, SHAPE, autocast=False)
            assert peer(x) == pytest.approx(our_step(first, SHAPE, screening="exact")(x), rel=1e-5)
    except MissingPeer as problem:
        assert str(problem) in ("sae-lens", "dictionary_learning")


def test_curves_are_compared_with_the_same_recipe_at_every_step():
    found = Found(QUICK)
    flat = {who: [1.0, 0.5] for who in STEPS}
    equal_losses(found, flat | {SAELENS: [1.0, 0.52], FREE: [1.0, 0.5]}, what="two steps")
    verdict = {claim["name"].partition(" after")[0]: claim["ok"] for claim in found.claims}
    assert verdict[f"loss of {SAELENS} and {FREE}"] is False
    assert verdict[f"loss of {DICTIONARY} and {OWN}"] is True


def test_claims_without_a_peer_or_at_a_small_size_are_not_judged():
    found = Found(QUICK)
    found.ratio("a", None, 1.0, at_least=6)
    found.ratio("b", 1.0, 1.0, at_least=6)
    assert [(claim["value"], claim["ok"]) for claim in found.claims] == [("not installed", None), (1.0, None)]


def test_agreement_counts_pairs_that_only_one_has():
    one = sparse.csr_array(np.array([[1.0, 0, 2], [0, 3, 0]], dtype=np.float32))
    other = torch.tensor([[1.5, 4, 2], [0, 0, 0]])
    threshold = np.array([0.5, 2.5, -1])
    assert agreement(one, other, threshold) == Agreement(apart=0.5, pairs=2, above=1.5)
    assert agreement(one, one, threshold) == Agreement(apart=0.0, pairs=0, above=0.0)


def test_gradients_are_claimed_within_1e_5():
    found = Found(replace(QUICK, shape=SHAPE))
    with one_thread():
        gradients(found)
    assert [claim["ok"] for claim in found.claims] == [True, True]
    assert "| claim | value |" in verdicts(found.claims, markdown=True)


@pytest.mark.slow
def test_the_quick_form_runs_every_task(quick_form):
    report, page = quick_form("sae_speed", timeout=280)
    assert {row["task"] for row in report["rows"]} == set(sae_speed.TASKS)
    assert "| claim | value |" in page


def test_the_page_shows_the_run_that_is_kept(root):
    page = (root / "docs" / "sae_speed.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- sae_speed: begin -->")[2].partition("<!-- sae_speed: end -->")[0].strip()
    kept = json.loads((root / "docs" / "sae_speed.json").read_text(encoding="utf-8"))
    assert shown == sae_speed.markdown(kept).strip()
