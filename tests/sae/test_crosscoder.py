"""One code for several layers: what is stacked comes apart again, and shared causes become shared features."""

from dataclasses import replace

import numpy as np
import pytest

from brainalign.core.errors import GridMismatch, ShapeMismatch, ValueProblem
from brainalign.core.provenance import Provenance
from brainalign.sae.coder import SparseCoder
from brainalign.sae.crosscoder import (
    coder_layers,
    crosscode,
    decoder_norms,
    layer_scales,
    layers_of,
    split_reconstruction,
    stack_layers,
)
from brainalign.sae.metrics import measure_sae
from brainalign.sae.settings import SaeTraining
from brainalign.sae.train import train_sae
from tests.sae.worlds import as_trajectory

WIDTHS = {"early": 32, "late": 24}
N_CAUSES, N_SHARED = 60, 20


@pytest.fixture(scope="module")
def world():
    """Two layers of very different size: 20 causes in both, 20 in the early one only, 20 in the late one only."""
    rng = np.random.default_rng(5)
    causes = (rng.random((12_000, N_CAUSES)) < 0.06) * (0.5 + rng.exponential(0.5, (12_000, N_CAUSES)))
    directions = {name: rng.standard_normal((N_CAUSES, width)) for name, width in WIDTHS.items()}
    for name, absent in (("early", slice(40, 60)), ("late", slice(20, 40))):
        directions[name] /= np.linalg.norm(directions[name], axis=1, keepdims=True)
        directions[name][absent] = 0
    size = {"early": 30.0, "late": 0.2}
    frames = {
        name: size[name] * (causes @ d + 0.02 * rng.standard_normal((12_000, WIDTHS[name])) + 0.1)
        for name, d in directions.items()
    }
    layers = {name: [as_trajectory(part) for part in np.array_split(x, 3)] for name, x in frames.items()}
    return layers, directions


@pytest.fixture(scope="module")
def coder(world):
    recipe = SaeTraining(k=4, expansion=2, n_steps=1200, n_batch=256, variant="crosscoder")
    return train_sae(stack_layers(world[0]), recipe, seed=0)


def test_every_layer_weighs_the_same(world):
    layers, _ = world
    stacked = stack_layers(layers)
    frames = np.concatenate([item.values for item in stacked])
    assert frames.shape == (12_000, 56)
    assert np.square(frames[:, :32]).sum(1).mean() == pytest.approx(1, rel=1e-4)
    assert np.square(frames[:, 32:]).sum(1).mean() == pytest.approx(1, rel=1e-4)
    assert stacked[0].features[0] == "early/h0"
    assert [(layer.name, layer.width) for layer in layers_of(stacked[1])] == [("early", 32), ("late", 24)]


def test_the_coder_remembers_its_layers_and_gives_them_back(world, coder):
    layers, _ = world
    one = {name: items[1] for name, items in layers.items()}
    features = crosscode(coder, dict(reversed(one.items())))  # in any order
    assert features.axis == one["early"].axis
    assert set(layer_scales(coder)) == set(one)
    parts = split_reconstruction(coder, coder.decode(features.values))
    for name, item in one.items():
        error = np.square(parts[name] - item.values).sum()
        assert error < 0.35 * np.square(item.values - item.values.mean(0)).sum()


def test_shared_causes_become_shared_features(world, coder):
    """Where a cause lives is read off the decoder norms of the feature that found it."""
    _, directions = world
    scales = layer_scales(coder)
    both = np.hstack([directions["early"] * scales["early"] * 30.0, directions["late"] * scales["late"] * 0.2])
    unit = both / np.linalg.norm(both, axis=1, keepdims=True)
    cosine = unit @ (coder.W_dec / np.linalg.norm(coder.W_dec, axis=1, keepdims=True)).T
    found = cosine.max(axis=1) > 0.8
    assert found.mean() > 0.7
    norms = decoder_norms(coder)[cosine.argmax(axis=1)]
    share = norms[:, 0] / norms.sum(axis=1)
    assert np.abs(share[:N_SHARED][found[:N_SHARED]] - 0.5).max() < 0.25
    assert share[20:40][found[20:40]].min() > 0.75
    assert share[40:][found[40:]].max() < 0.25


def test_inference_form_is_the_trained_coder(world, coder):
    """Summed decoder norms are 1, mean sparsity is k, and a frame needs no other frame."""
    stacked = stack_layers(world[0], scales=layer_scales(coder))
    np.testing.assert_allclose(decoder_norms(coder).sum(axis=1), 1, rtol=1e-4)
    quality = measure_sae(coder, stacked)
    assert quality.l0 == pytest.approx(4, rel=1e-3)
    assert quality.explained_variance > 0.7
    x = stacked[0].values[:50]
    alone = np.vstack([coder.encode(x[i : i + 1]).toarray() for i in range(50)])
    np.testing.assert_array_equal(alone, coder.encode(x).toarray())


def test_layers_that_do_not_belong_together_are_refused(world, coder):
    layers, _ = world
    early, late = layers["early"], layers["late"]
    with pytest.raises(ShapeMismatch, match="3 of 'early', 2 of 'late'"):
        stack_layers({"early": early, "late": late[:2]})
    shifted = [replace(late[0], axis=replace(late[0].axis, t0=0)), *late[1:]]
    with pytest.raises(GridMismatch):
        stack_layers({"early": early, "late": shifted})
    with pytest.raises(ValueProblem, match="nothing to stack"):
        stack_layers({"early": [], "late": []})
    with pytest.raises(ValueProblem, match="exactly its own layers"):
        crosscode(coder, {"early": early[0]})
    with pytest.raises(ValueProblem, match="no scale"):
        stack_layers(layers, scales={"early": 1.0})
    with pytest.raises(ShapeMismatch, match="this layer has 32 dense features"):
        stack_layers({"early": [early[0], late[1]], "late": late[:2]}, scales={"early": 1.0, "late": 1.0})
    with pytest.raises(ShapeMismatch, match=r"\(n, 56\)"):
        split_reconstruction(coder, np.zeros((3, 32)))


def test_frames_that_are_not_stacked_and_coders_that_are_no_crosscoders_are_refused(make_coder, rng):
    recipe = SaeTraining(k=2, n_steps=2, n_batch=8, variant="crosscoder")
    plain = as_trajectory(rng.standard_normal((20, 6)))
    with pytest.raises(ValueProblem, match="made by nothing known"):
        train_sae([plain], recipe, seed=0)
    encoded = replace(plain, provenance=Provenance().then("encode", layer=3))
    with pytest.raises(ValueProblem, match="made by encode"):
        train_sae([encoded], recipe, seed=0)
    coder: SparseCoder = make_coder()
    with pytest.raises(ValueProblem, match="architecture 'batchtopk'"):
        coder_layers(coder)
