"""The untrained encoder: same seed, same bytes, and hidden states worth decomposing."""

import numpy as np
import torch

from brainalign.encoders.builtin import write_untrained_hubert
from brainalign.encoders.hugging import load_encoder

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    before = torch.random.get_rng_state()
    one, other, third = (write_untrained_hubert(tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4)))
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert (one / FILES[1]).read_bytes() != (third / FILES[1]).read_bytes()
    assert sorted(p.name for p in one.iterdir()) == list(FILES)
    assert torch.equal(before, torch.random.get_rng_state())


def test_it_may_be_written_over_an_older_one(tmp_path):
    write_untrained_hubert(tmp_path, seed=1)
    assert load_encoder(write_untrained_hubert(tmp_path, seed=2)).n_layers == 4


def _spread(values):
    """Return the participation ratio of the covariance, and the constant vector's share of the power."""
    mean = values.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(np.cov(values.T, bias=True))
    return eigenvalues.sum() ** 2 / np.sum(eigenvalues**2), mean @ mean / (mean @ mean + eigenvalues.sum())


def test_hidden_states_are_rich_and_vary(tmp_path, sound):
    for seed in range(3):
        encoder = load_encoder(write_untrained_hubert(tmp_path / str(seed), seed=seed))
        for states in encoder.encode(sound(20, seed=seed), [1, 2, 4]).values():
            dimensions, constant = _spread(states.values.astype(float))
            assert dimensions > 6
            assert constant < 0.7


def test_loudness_can_be_read_from_the_hidden_states(encoder, sound):
    """Layer norms in the front end would hide it, were it not for the biases."""
    stimulus = sound(30, seed=8)
    states = encoder.encode(stimulus, [2])[2]
    starts = np.arange(states.axis.n) * 320
    level = np.log([np.std(stimulus.waveform[i : i + 400]) + 1e-4 for i in starts])
    x, half = np.column_stack([states.values, np.ones(states.axis.n)]), states.axis.n // 2
    weights = np.linalg.lstsq(x[:half], level[:half], rcond=None)[0]
    assert np.corrcoef(x[half:] @ weights, level[half:])[0, 1] > 0.6
