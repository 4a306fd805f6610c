"""Windows in batches: as many as the memory holds, the same frames, and no causal bit moved."""

from dataclasses import replace

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import ValueProblem
from brainalign.encoders.budget import MOST_AT_ONCE, default_memory, together, window_bytes
from brainalign.encoders.causal import Causal
from brainalign.encoders.frames import clock_of_convolutions
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.windows import Windowing, plan_windows
from tests.encoders.small import CONFIGS, write_small

CLOCK = clock_of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 16_000)
# Of values whose standard deviation is about 1.
TOLERANCE = 2e-5


def test_a_cpu_is_given_small_batches(encoder):
    """Larger ones were measured to be slower there."""
    assert encoder.memory == default_memory("cpu") == "100MB"
    assert default_memory("cuda") == default_memory("mps") == "2GB"


def test_a_budget_that_is_none_is_refused_at_once(encoder):
    with pytest.raises(ValueProblem, match="an amount of bytes"):
        replace(encoder, memory="much")


@given(st.integers(400, 16_000 * 90), st.integers(1, 5))
def test_batches_hold_the_same_windows_in_the_same_order(n_samples, n_at_once):
    windows = plan_windows(n_samples, CLOCK, windowing=Windowing(8, 2))
    batches = list(together([(w,) for w in windows], n_samples, CLOCK, n_at_once=lambda *_: n_at_once))
    assert tuple(w for batch in batches for w in batch) == windows
    for batch in batches:
        assert len(batch) <= n_at_once
        assert len({w.samples(CLOCK, n_samples).stop - w.samples(CLOCK, n_samples).start for w in batch}) == 1
    # Only the last window may hold other numbers of samples, so only the last two batches may be short.
    assert all(len(batch) == n_at_once for batch in batches[:-2])


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_batch_gives_the_frames_of_its_windows_one_by_one(tmp_path, sound, kind):
    write_small(tmp_path, kind)
    rich = load_encoder(tmp_path, windowing=Windowing(6, 2))
    poor = replace(rich, memory=1)
    stimulus, wanted = sound(13.3, seed=2), [("residual", 3), ("mlp", 2)]
    sizes = [[len(batch) for batch in e._batches(stimulus)] for e in (rich, poor)]
    assert max(sizes[0]) > 1 and set(sizes[1]) == {1} and sum(sizes[0]) == sum(sizes[1])
    for key, expected in poor.encode_sites(stimulus, wanted).items():
        found = rich.encode_sites(stimulus, wanted)[key]
        np.testing.assert_allclose(found.values, expected.values, atol=TOLERANCE * expected.values.std())
        assert found.provenance == expected.provenance


def test_batches_do_not_depend_on_what_is_asked_for(encoder, sound):
    """So that a layer's bits are the same alone and in company."""
    windowed = replace(encoder, windowing=Windowing(6, 2), memory="100MB")
    stimulus = sound(20)
    assert max(len(batch) for batch in windowed._batches(stimulus)) > 1
    alone, company = windowed.encode(stimulus, [1])[1], windowed.encode(stimulus, [0, 1, 2, 3, 4])[1]
    np.testing.assert_array_equal(alone.values, company.values)


def test_memory_changes_no_bit_of_a_causal_frame(untrained, sound):
    causal = load_encoder(untrained, windowing=Causal(0.2, n_at_once=4))
    stimulus = sound(0.6)
    one, other = (replace(causal, memory=m).encode(stimulus, [2])[2].values for m in (1, "8GB"))
    np.testing.assert_array_equal(one, other)


def test_twice_the_memory_holds_twice_the_windows(encoder, sound):
    stimulus = sound(100)
    windowed = replace(encoder, windowing=Windowing(6, 2))
    first = {m: len(next(iter(replace(windowed, memory=m)._batches(stimulus)))) for m in ("100MB", "200MB", "400MB")}
    assert first["100MB"] >= 2
    assert first["200MB"] in (2 * first["100MB"], 2 * first["100MB"] + 1)
    assert first["400MB"] in (2 * first["200MB"], 2 * first["200MB"] + 1)
    assert len(next(iter(replace(windowed, memory="9TB")._batches(sound(300))))) <= MOST_AT_ONCE


def test_the_bytes_of_a_window_by_hand():
    """HuBERT-base, 1 s: the first convolution's 512 x 3200 numbers four times, and 13 states of 49 x 768."""
    config = transformers.HubertConfig()
    expected = 4 * (4 * 512 * 3200 + 13 * 49 * 768)
    assert window_bytes(config, n_samples=16_000, n_tokens=49, item=4, maps=False) == expected
    assert window_bytes(config, n_samples=16_000, n_tokens=49, item=2, maps=False) == expected / 2
    # For 40 s with maps, those are largest: 12 heads.
    long = window_bytes(config, n_samples=640_000, n_tokens=1999, item=4, maps=True)
    assert long > 4 * 4 * 12 * 1999**2
    assert window_bytes(object(), n_samples=1, n_tokens=1, item=4, maps=False) == 0


def test_one_whole_window_is_handed_over_as_the_model_made_it(encoder, sound):
    """No copy: the trajectory stands on the tensor that a hook saw."""
    seen = []
    handle = encoder.blocks[1].register_forward_hook(lambda *args: seen.append(args[2]))
    states = encoder.encode(sound(1), [2])[2]
    handle.remove()
    tensor = seen[0] if not isinstance(seen[0], tuple) else seen[0][0]
    assert np.shares_memory(states.values, tensor.numpy())


def test_a_part_of_a_window_does_not_keep_the_rest_in_memory(tmp_path, sound):
    """Whisper's pass is 8 s here, the sound 1 s."""
    write_small(tmp_path, "whisper")
    states = load_encoder(tmp_path).encode(sound(1), [2])[2].values
    while isinstance(states.base, np.ndarray):
        states = states.base
    assert states.nbytes == 50 * 32 * 4
