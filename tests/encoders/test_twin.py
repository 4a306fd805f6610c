"""The untrained twin: same clock, same architecture, other weights, nothing else touched."""

import numpy as np
import torch

from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.twin import untrained_twin


def test_a_twin_has_the_same_clock_and_other_states(encoder, sound):
    sound, twin = sound(1), untrained_twin(encoder, seed=1)
    states, own = twin.encode(sound, [2])[2], encoder.encode(sound, [2])[2]
    assert states.axis == own.axis
    assert states.values.shape == own.values.shape
    assert np.abs(np.corrcoef(states.values.ravel(), own.values.ravel())[0, 1]) < 0.5
    assert "untrained twin" in twin.name
    assert states.provenance.to_json() != own.provenance.to_json()


def test_one_seed_gives_one_twin_and_leaves_torch_and_the_model_alone(encoder, sound, untrained):
    sound = sound(1)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = (untrained_twin(encoder, seed=seed).encode(sound, [1])[1].values for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    fresh = load_encoder(untrained).encode(sound, [1])[1].values
    np.testing.assert_array_equal(encoder.encode(sound, [1])[1].values, fresh)
