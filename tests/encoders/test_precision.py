"""Half the bits: the same frames to so many per cent, told by provenance, or refused."""

import numpy as np
import pytest
import torch

from brainalign.core.errors import NotFinite, UnknownName, ValueProblem
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.precision import PRECISIONS, checked_dtype, named
from brainalign.encoders.twin import untrained_twin
from tests.encoders.small import CONFIGS, write_small

WANTED = [("residual", 0), ("residual", 3), ("mlp", 2)]
# Root mean square of the difference, in standard deviations.
WORST = {"bfloat16": 0.03, "float16": 0.005}


def error_of(values, expected):
    return float(np.sqrt(np.square(values - expected).mean() / expected.var()))


@pytest.mark.parametrize("kind", CONFIGS)
def test_half_precision_is_near_and_not_the_same(tmp_path, sound, kind):
    write_small(tmp_path, kind)
    stimulus = sound(2, seed=3)
    exact = load_encoder(tmp_path).encode_sites(stimulus, WANTED)
    for dtype, worst in WORST.items():
        half = load_encoder(tmp_path, dtype=dtype)
        assert {p.dtype for p in half.model.parameters()} == {PRECISIONS[dtype]}
        for key, states in half.encode_sites(stimulus, WANTED).items():
            assert states.values.dtype == np.float32
            assert states.provenance.steps[-1].parameters["dtype"] == dtype
            assert states.axis == exact[key].axis
            assert 1e-5 < error_of(states.values, exact[key].values) < worst, (dtype, key)


def test_single_precision_is_what_was_not_asked_for(encoder, untrained, sound):
    stimulus = sound(1)
    one, other = (e.encode(stimulus, [2])[2] for e in (encoder, load_encoder(untrained, dtype="float32")))
    np.testing.assert_array_equal(one.values, other.values)
    assert one.provenance == other.provenance
    assert one.provenance.steps[-1].parameters["dtype"] == "float32"


def test_a_twin_has_its_models_precision(untrained):
    assert untrained_twin(load_encoder(untrained, dtype="bfloat16"), seed=1).dtype == torch.bfloat16


def test_maps_of_a_model_in_half_precision_are_float32(untrained, sound):
    maps = load_encoder(untrained, dtype="bfloat16", attention="eager").attention_maps(sound(0.5), [2])[2]
    assert maps.values.dtype == np.float32
    np.testing.assert_allclose(maps.values.sum(axis=-1), 1, atol=0.02)


def test_numbers_too_large_for_half_precision_are_told(untrained, sound):
    encoder = load_encoder(untrained, dtype="float16")
    encoder.blocks[0].final_layer_norm.weight.data.fill_(60_000)
    with pytest.raises(NotFinite, match=r"leaves the range[\s\S]*residual 1 in float16[\s\S]*bfloat16"):
        encoder.encode(sound(1), [1])


def test_what_is_not_known_or_cannot_be_done_is_refused(untrained, monkeypatch):
    with pytest.raises(UnknownName, match="precision"):
        load_encoder(untrained, dtype="float8")

    def fails(*_):
        raise RuntimeError("not implemented for 'Half'\nat all")

    monkeypatch.setattr(torch.nn.functional, "conv1d", fails)
    with pytest.raises(ValueProblem, match=r"cannot compute in float16[\s\S]*not implemented for 'Half'[\s\S]*float32"):
        checked_dtype("float16", torch.device("cpu"))


def test_names():
    assert [named(dtype) for dtype in PRECISIONS.values()] == list(PRECISIONS)
