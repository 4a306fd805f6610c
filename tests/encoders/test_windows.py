"""Windows tile a sound exactly: same frames, same times, as one pass would give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import ValueProblem
from brainalign.encoders.frames import clock_of_convolutions
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.windows import OnePass, Windowing, longest_windowing, plan_windows

CLOCK = clock_of_convolutions((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 16_000)
SHORT = Windowing(max_seconds=8, seam_seconds=2)


@given(st.integers(400, 16_000 * 60), st.floats(6.5, 20), st.sampled_from([2.0, 2.01]))
def test_kept_frames_tile_the_sound(n_samples, max_seconds, seam_seconds):
    windowing = Windowing(max_seconds=max_seconds, seam_seconds=seam_seconds)
    windows = plan_windows(n_samples, CLOCK, windowing=windowing)
    frames = [i for w in windows for i in range(w.keep_start, w.keep_stop)]
    assert frames == list(range(CLOCK.n_frames(n_samples)))
    seam = seam_seconds * CLOCK.rate
    for window in windows:
        samples = window.samples(CLOCK, n_samples)
        assert samples.start % CLOCK.stride == 0
        assert CLOCK.n_frames(samples.stop - samples.start) == window.stop - window.start
        assert window.start == 0 or window.keep_start - window.start >= seam
        assert window.stop == len(frames) or window.stop - window.keep_stop >= seam
        assert len(windows) == 1 or window.stop - window.start == windows[0].stop


def test_a_short_sound_is_one_window_over_every_sample():
    (window,) = plan_windows(16_123, CLOCK, windowing=SHORT)
    assert window.samples(CLOCK, 16_123) == slice(0, 16_123)


@pytest.fixture(scope="module")
def windowed(untrained):
    return load_encoder(untrained, windowing=SHORT)


@pytest.mark.parametrize("n_samples", [128_399, 128_400, 128_719, 200_001, 320_000, 323_456])
def test_frame_counts_and_times_are_those_of_one_pass(windowed, encoder, sound, n_samples):
    stimulus = sound(n_samples / 16_000)
    in_windows = windowed.encode(stimulus, [0])[0]
    assert in_windows.axis == encoder.clock.axis(n_samples)
    assert in_windows.values.shape == (encoder.clock.n_frames(n_samples), 64)


def test_values_are_nearly_those_of_one_pass(windowed, encoder, sound):
    """Below attention the seams leave nothing: the front end is local and the positions reach 0.3 s.

    Attention sees 8 s instead of 30, so block outputs differ, by a few per cent at most.
    """
    stimulus = sound(30, seed=3)
    cut, whole = windowed.encode(stimulus, [0, 2]), encoder.encode(stimulus, [0, 2])
    assert cut[0].provenance.steps[-1].parameters["windows"] == 7
    np.testing.assert_allclose(cut[0].values, whole[0].values, atol=2e-5)
    error = np.linalg.norm(cut[2].values - whole[2].values) / np.linalg.norm(whole[2].values - whole[2].values.mean(0))
    assert 0 < error < 0.1


def test_seams_that_are_too_short_are_refused():
    with pytest.raises(ValueProblem, match=r"at least 2 s of context[\s\S]*seam_seconds=1"):
        Windowing(max_seconds=30, seam_seconds=1)
    with pytest.raises(ValueProblem, match="at least three seams long"):
        Windowing(max_seconds=5, seam_seconds=2)


def test_the_longest_windows_that_a_model_can_run():
    """Whisper's 30 s, AST's 10.1 s with shorter seams, a model of 1.2 s never cut, and a type's own limit."""
    mel = clock_of_convolutions((399, 3, 3), (160, 1, 2), 16_000, paddings=(199, 1, 1))
    patches = clock_of_convolutions((400, 16), (160, 10), 16_000)
    assert longest_windowing(mel, max_seconds=120, n_most=1500) == Windowing(30.0, 4.0)
    assert longest_windowing(patches, max_seconds=120, n_most=101) == Windowing(10.1, 2.0)
    assert longest_windowing(patches, max_seconds=120, n_most=12) == OnePass(12)
    assert longest_windowing(CLOCK, max_seconds=40, n_most=None) == Windowing(40, 4.0)
    assert len(plan_windows(161_599, patches, windowing=Windowing(10.1, 2.0))) == 1
    assert len(plan_windows(164_400, patches, windowing=Windowing(10.1, 2.0))) == 2


@given(st.integers(1, 16_000 * 100), st.sampled_from([Windowing(30, 4), Windowing(8, 2)]))
def test_kept_frames_tile_the_sound_under_padding_too(n_samples, windowing):
    clock = clock_of_convolutions((399, 3, 3), (160, 1, 2), 16_000, paddings=(199, 1, 1))
    windows = plan_windows(n_samples, clock, windowing=windowing)
    frames = [i for w in windows for i in range(w.keep_start, w.keep_stop)]
    assert frames == list(range(clock.n_frames(n_samples)))
    for window in windows:
        samples = window.samples(clock, n_samples)
        assert samples.start == 320 * window.start
        # All that the last kept frame sees, or all there is.
        assert samples.stop >= min(n_samples, clock.reach(window.keep_stop - 1))
