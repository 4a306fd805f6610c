"""Twins: same clock, same architecture, other weights or weights elsewhere, nothing else touched."""

import numpy as np
import pytest
import torch

from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.twin import shuffled_twin, untrained_twin
from tests.encoders.small import CONFIGS, write_small


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


class TestShuffled:
    """The trained numbers, in another order."""

    def test_every_learnt_tensor_keeps_its_values_and_loses_their_places(self, encoder):
        own, twin = encoder.model.state_dict(), shuffled_twin(encoder, seed=1).model.state_dict()
        assert own.keys() == twin.keys()
        moved = []
        for name, tensor in own.items():
            assert torch.equal(tensor.flatten().sort().values, twin[name].flatten().sort().values), name
            if not torch.equal(tensor, twin[name]):
                moved.append(name)
        varied = [name for name, tensor in own.items() if tensor.unique().numel() > 1]
        assert moved == varied
        assert any("bias" in name for name in moved) or not any("bias" in name for name in varied)

    def test_norms_and_biases_move_too(self, tmp_path):
        write_small(tmp_path, "hubert")
        encoder = load_encoder(tmp_path)
        own, twin = encoder.model.state_dict(), shuffled_twin(encoder, seed=1).model.state_dict()
        for name in ("encoder.layer_norm.weight", "encoder.layers.1.attention.k_proj.bias"):
            assert not torch.equal(own[name], twin[name])

    @pytest.mark.parametrize("kind", CONFIGS)
    def test_every_type_has_one(self, kind, tmp_path, sound):
        write_small(tmp_path, kind)
        encoder = load_encoder(tmp_path)
        twin = shuffled_twin(encoder, seed=0)
        # What two sounds make of them: positions, which Whisper's twin shares, fall out.
        sounds = [sound(0.6, seed=seed) for seed in (0, 1)]
        own, other = ([one.encode(item, [2])[2] for item in sounds] for one in (encoder, twin))
        assert other[0].axis == own[0].axis
        assert np.isfinite(other[0].values).all()
        one, two = (pair[0].values - pair[1].values for pair in (own, other))
        assert np.linalg.norm(two) > 0
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.3
        fixed = [name for name in encoder.model.state_dict() if name.endswith(("embed_positions.weight", "inv_freq"))]
        if kind == "whisper":
            assert fixed, "Whisper's sinusoids are a parameter that is never trained"
        for name in fixed:
            assert torch.equal(twin.model.state_dict()[name], encoder.model.state_dict()[name]), name

    def test_statistics_of_batch_norms_move(self, tmp_path):
        write_small(tmp_path, "wav2vec2-conformer")
        encoder = load_encoder(tmp_path)
        state = encoder.model.state_dict()
        names = [name for name in state if "running_" in name]
        assert names
        for name in names:
            state[name].copy_(torch.rand(state[name].shape) + 0.5)
        twin = shuffled_twin(encoder, seed=3).model.state_dict()
        for name in names:
            assert not torch.equal(twin[name], state[name])
            assert torch.equal(twin[name].sort().values, state[name].sort().values)

    def test_one_seed_gives_one_twin_and_leaves_torch_and_the_model_alone(self, encoder, sound):
        torch.manual_seed(7)
        before, own = torch.get_rng_state(), encoder.encode(sound(1), [1])[1].values
        one, same, other = (shuffled_twin(encoder, seed=seed).encode(sound(1), [1])[1].values for seed in (1, 1, 2))
        assert torch.equal(before, torch.get_rng_state())
        assert one.tobytes() == same.tobytes()
        assert not np.array_equal(one, other)
        np.testing.assert_array_equal(encoder.encode(sound(1), [1])[1].values, own)

    def test_what_it_gives_says_so(self, encoder, sound):
        twin = shuffled_twin(encoder, seed=1)
        assert twin.name == f"shuffled twin of {encoder.name}"
        told = twin.encode(sound(1), [1])[1].provenance.to_json()
        assert told != encoder.encode(sound(1), [1])[1].provenance.to_json()
        assert told != shuffled_twin(encoder, seed=2).encode(sound(1), [1])[1].provenance.to_json()
