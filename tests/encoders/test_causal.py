"""Causal context: whatever comes later, the frames of the past keep every bit."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.causal import Causal, look_ahead
from brainalign.encoders.frames import clock_of_convolutions
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.windows import Windowing
from tests.encoders.small import CONFIGS, PADDED, write_small

CLOCK = clock_of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 16_000)
PADDED_CLOCK = clock_of_convolutions((399, 3, 3), (160, 1, 2), 16_000, paddings=(199, 1, 1))


@given(
    st.sampled_from([CLOCK, PADDED_CLOCK]),
    st.integers(400, 40_000),
    st.floats(0.07, 1.0),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_windows_end_with_their_frame_and_hold_no_more_than_the_context(clock, n_samples, context, stride, n_at_once):
    causal = Causal(context, stride_frames=stride, n_at_once=n_at_once)
    batches = list(causal.batches(n_samples, clock))
    kept = [i for batch in batches for w in batch for i in range(w.keep_start, w.keep_stop)]
    assert kept == list(range(0, clock.n_frames(n_samples), stride))
    axis = causal.axis(n_samples, clock)
    assert [axis.time(i) for i in range(axis.n)] == [clock.axis(n_samples).time(i) for i in kept]
    for batch in batches:
        assert len({w.stop - w.start for w in batch}) == 1
        assert len(batch) in (1, n_at_once)
        for window in batch:
            samples = window.samples(clock, n_samples)
            assert samples.stop == min(n_samples, clock.reach(window.stop - 1))
            assert samples.stop - samples.start <= Fraction(repr(context)) * 16_000
            # One frame more would be too much, or there is none before it.
            longer = clock.reach(window.stop - 1) - (window.start - 1) * clock.stride
            assert window.start == 0 or longer > Fraction(repr(context)) * 16_000


def test_look_ahead_is_half_the_front_ends_span():
    assert look_ahead(CLOCK) == Fraction(401, 32_000)
    assert look_ahead(PADDED_CLOCK) == Fraction(520, 16_000)


# Filterbanks of AST: 100 ms between frames, so fewer frames and windows.
CONTEXT = {"audio-spectrogram-transformer": 1.0}


@pytest.fixture(scope="module", params=list(CONFIGS))
def causal(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_small(folder, request.param)
    return load_encoder(folder, windowing=Causal(CONTEXT.get(request.param, 0.3), n_at_once=4))


def test_another_future_and_a_longer_one_change_no_bit_of_the_past(causal, sound):
    """Group norm over time, utterance statistics, Whisper's clamp and attention included."""
    n_past, rate = 12_000, 16_000
    past = sound(0.75, seed=1).waveform
    futures = [np.zeros(4_000), 30 * sound(0.25, seed=2).waveform, sound(0.45, seed=3).waveform]
    wanted = [("residual", 3), ("mlp", 2), ("residual", 0)]
    found = []
    for i, future in enumerate(futures):
        stimulus = Stimulus(str(i), np.concatenate([past, future]), TimeAxis(rate, n_past + future.size))
        found.append(causal.encode_sites(stimulus, wanted))
    n_frames = sum(causal.clock.reach(i) <= n_past for i in range(100))
    assert n_frames >= 5
    for key in wanted:
        one, other, longer = (item[key].values for item in found)
        np.testing.assert_array_equal(one[:n_frames], other[:n_frames])
        np.testing.assert_array_equal(one[:n_frames], longer[:n_frames])
        # The first frame that hears some of the future does not stay as it was.
        assert not np.array_equal(one[n_frames], other[n_frames])


def test_a_frame_is_the_last_of_its_own_window(causal, sound):
    """Each frame equals that of a sound which ends where the window ends."""
    stimulus = sound(1.2, seed=4)
    states = causal.encode(stimulus, [2])[2]
    clock = causal.clock
    n_context = int(Fraction(repr(causal.windowing.context_seconds)) * 16_000)
    for frame in (0, 3, states.axis.n - 2):
        stop = clock.reach(frame)
        start = max(0, -(-(stop - n_context) // clock.stride)) * clock.stride
        cut = Stimulus("cut", stimulus.waveform[start:stop], TimeAxis(16_000, stop - start))
        whole = load_like(causal).encode(cut, [2])[2]
        np.testing.assert_allclose(states.values[frame], whole.values[frame - start // clock.stride], atol=2e-5)


def load_like(causal):
    """The same encoder in one pass."""
    from dataclasses import replace

    return replace(causal, windowing=Windowing(6, 2))


def test_fewer_frames_are_some_of_all(untrained, sound):
    stimulus = sound(0.9)
    every = load_encoder(untrained, windowing=Causal(0.4)).encode(stimulus, [1])[1]
    third = load_encoder(untrained, windowing=Causal(0.4, stride_frames=3)).encode(stimulus, [1])[1]
    assert third.axis == TimeAxis(Fraction(50, 3), -(-every.axis.n // 3), every.axis.t0)
    np.testing.assert_array_equal(third.values, every.values[::3])


def test_given_statistics_keep_loudness_and_own_ones_do_not(untrained, sound):
    quiet = sound(0.6)
    loud = Stimulus("loud", 4 * quiet.waveform, quiet.axis)
    own = load_encoder(untrained, windowing=Causal(0.3))
    one, other = (own.encode(s, [0])[0].values for s in (quiet, loud))
    np.testing.assert_allclose(one, other, atol=1e-2)
    statistics = own.inputs.statistics(sound(3, seed=9).waveform)
    fixed = load_encoder(untrained, windowing=Causal(0.3, statistics=statistics))
    one, other = (fixed.encode(s, [0])[0].values for s in (quiet, loud))
    assert np.abs(one - other).max() > 0.1
    steps = [e.encode(quiet, [0])[0].provenance.steps[-1].parameters for e in (own, fixed)]
    assert steps[0]["statistics"] == "each window's own"
    assert steps[1]["statistics"] == [float(item) for item in statistics]
    assert steps[0]["causal_seconds"] == 0.3


def test_contexts_that_make_no_sense_are_refused(untrained, tmp_path):
    with pytest.raises(ValueProblem, match=r"causal context needs[\s\S]*stride_frames=0"):
        Causal(1, stride_frames=0)
    with pytest.raises(ValueProblem, match=r"at least one frame[\s\S]*0.02 s[\s\S]*0.0250"):
        load_encoder(untrained, windowing=Causal(0.02))
    write_small(tmp_path / "w", "whisper")
    with pytest.raises(ValueProblem, match=r"fit into one pass[\s\S]*8.5 s[\s\S]*at most 8 s"):
        load_encoder(tmp_path / "w", windowing=Causal(8.5))
    with pytest.raises(ValueProblem, match=r"a window must fit into one pass[\s\S]*max_seconds=30"):
        load_encoder(tmp_path / "w", windowing=Windowing(30, 4))
    with pytest.raises(ValueProblem, match=r"does not normalise[\s\S]*leave statistics out"):
        load_encoder(tmp_path / "w", windowing=Causal(1, statistics=(0.0, 1.0)))


def test_a_pass_too_short_to_be_overlapped_takes_no_longer_sound(tmp_path, sound):
    write_small(tmp_path, "audio-spectrogram-transformer", settings=PADDED | {"max_length": 128}, max_length=128)
    short = load_encoder(tmp_path)
    assert short.encode(sound(1.25), [1])[1].axis.n == 11
    with pytest.raises(ValueProblem, match=r"too long for this model[\s\S]*19 frames of at most 12[\s\S]*Causal"):
        short.encode(sound(2), [1])
