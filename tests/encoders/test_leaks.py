"""What of the future reaches the past in one pass: the table of docs/encoders.md, measured.

The last half second of two is made louder. What is compared is the first second: at the front
end, where only normalisation can have carried anything so far, and in the first block.
"""

import numpy as np
import pytest

from brainalign.core.stimulus import Stimulus
from brainalign.encoders.hugging import load_encoder
from tests.encoders.small import CONFIGS, write_small

CALM = {"do_normalize": False}
# Type, changes to the model, settings, and whether the front end's past knows of the future.
CASES = [
    ("wav2vec2", {"feat_extract_norm": "layer"}, CALM, False),
    ("wav2vec2", {"feat_extract_norm": "group"}, CALM, True),
    ("wav2vec2", {"feat_extract_norm": "layer"}, {"do_normalize": True}, True),
    ("data2vec-audio", {}, CALM, False),
    ("wav2vec2-bert", {}, {}, True),
    ("whisper", {}, {}, True),
    ("audio-spectrogram-transformer", {}, {}, False),
]
NAMES = ["layer norm", "group norm", "z-score", "data2vec", "band z-score", "clamp", "fixed scale"]


def _change(encoder, sound, site):
    """Return how much the first second differs, relative to its spread."""
    quiet = sound(2, seed=1)
    waveform = quiet.waveform.copy()
    waveform[24_000:] *= 50
    loud = Stimulus("loud", waveform, quiet.axis)
    n = int(encoder.clock.rate)
    one, other = (encoder.encode_sites(s, [site])[site].values[: n - 2] for s in (quiet, loud))
    return np.linalg.norm(other - one) / np.linalg.norm(one - one.mean(axis=0))


@pytest.mark.parametrize(("kind", "changes", "settings", "leaks"), CASES, ids=NAMES)
def test_what_normalisation_carries_to_the_front_end(tmp_path, sound, kind, changes, settings, leaks):
    write_small(tmp_path, kind, settings=settings, **changes)
    change = _change(load_encoder(tmp_path), sound, ("front", 0))
    assert change > 0.01 if leaks else change == 0


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_every_block_carries_the_future_to_the_past(tmp_path, sound, kind):
    """The negative control of the causal context: without one, no type is causal."""
    settings = CALM if "conv_kernel" in CONFIGS[kind][1] else {}
    write_small(tmp_path, kind, settings=settings)
    assert _change(load_encoder(tmp_path), sound, ("residual", 2)) > 1e-6


@pytest.mark.parametrize(("kind", "reach"), [("hubert", 16), ("data2vec-audio", 5 * 9)])
def test_positions_made_by_convolution_reach_this_far(tmp_path, sound, kind, reach):
    """What goes into block 1 has already heard half the positional convolution's width on each side."""
    changes = {"feat_extract_norm": "layer"} if kind == "hubert" else {"num_conv_pos_embeddings": 5}
    write_small(tmp_path, kind, settings=CALM, **changes)
    encoder = load_encoder(tmp_path)
    quiet = sound(3, seed=2)
    waveform = quiet.waveform.copy()
    waveform[24_000] += 1
    one, other = (encoder.encode(Stimulus("x", w, quiet.axis), [0])[0].values for w in (quiet.waveform, waveform))
    moved = np.flatnonzero(np.abs(one - other).max(axis=1))
    struck = [i for i in range(len(one)) if 0 <= 24_000 - 320 * i < 400]
    assert 0.5 * reach <= min(struck) - moved.min() <= reach
