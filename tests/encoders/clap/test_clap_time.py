"""Every stage of CLAP's audio tower on its own clock, and what its fixed ten seconds do to other sounds.

Where frames lie is worked out here once more, by counting samples, spectrogram frames and columns
one by one, and held against what moves in the model when one sample is changed.
"""

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
import transformers

from brainalign.core.errors import GridMismatch, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis
from brainalign.encoders.causal import Causal
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.windows import Windowing
from tests.encoders.tower import HOP, RATE, WIDTH, noise

STAGES = range(4)
# Ten places in ten seconds, in all four quarters, none of them alike with respect to frames.
CLICKS = [20_011 + 48_611 * i for i in range(10)]


@pytest.fixture(scope="module")
def still(encoder):
    """Some sound, the encoder with blocks that add nothing, so that a frame shows its own patches alone, and both."""
    model = transformers.ClapAudioModel(encoder.model.config).eval().requires_grad_(False)
    model.load_state_dict(encoder.model.state_dict())
    calm = replace(encoder, model=model)
    for block in calm.blocks:
        for last in (block.attention.output.dense, block.output.dense):
            last.weight.zero_()
            last.bias.zero_()
    quiet = noise(10, seed=3)
    return quiet, calm, calm.encode(quiet, [1, 3, 5, 7])


# --- clocks


def _columns(frame, stage):
    width = 4 * 2**stage
    return range(width * frame, width * (frame + 1))


def _spectrogram_frames(column):
    """Which of the 1,001 frames cubic interpolation takes for a column: two on each side, or one it lies on."""
    place = Fraction(column * 1000, 1023)
    taken = range(floor(place) - 1, floor(place) + 3) if place != floor(place) else [floor(place)]
    return {min(max(j, 0), 1000) for j in taken}


def _seen(stage):
    """Samples that every frame of a stage sees, as its first and its last, reflections left aside."""
    found = []
    for frame in range(256 // 2**stage):
        taken = set.union(*(_spectrogram_frames(c) for c in _columns(frame, stage)))
        # A Hann window of 1,024 begins with a zero.
        found.append((HOP * min(taken) - 511, HOP * max(taken) + 511))
    return found


def _struck(still, at, *, size, stages=STAGES):
    """How much every frame moves, after the first block of some stages, when one sample is changed."""
    calm, encoder, undisturbed = still
    waveform = calm.waveform.copy()
    waveform[at] += size
    struck = encoder.encode(Stimulus("x", waveform, calm.axis), [2 * s + 1 for s in stages])
    return [np.linalg.norm(state.values - undisturbed[k].values, axis=1) for k, state in struck.items()]


@pytest.mark.parametrize("stage", STAGES)
def test_the_clock_is_the_one_that_was_worked_out(encoder, stage):
    """1,024 columns in 10 s, the first at 0 s and the last at 10 s; frames of 4, 8, 16 and 32."""
    clock, width = encoder.at([("residual", 2 * stage + 1)]).clock, 4 * 2**stage
    assert clock.rate == Fraction(1023, 10 * width)
    assert clock.first_centre == Fraction(10, 1023) * Fraction(width - 1, 2)
    assert clock.stride / clock.rate.__class__(RATE) == 1 / clock.rate
    axis = clock.axis(10 * RATE)
    assert axis.n == 1024 // width
    # As far from the end as the first one is from the beginning.
    assert axis.time(axis.n - 1) == 10 - clock.first_centre


@pytest.mark.parametrize("at", CLICKS)
def test_a_click_moves_the_frames_that_see_it_and_no_other(still, at):
    for stage, moved in enumerate(_struck(still, at, size=100.0)):
        sees = [first <= at <= last for first, last in _seen(stage)]
        np.testing.assert_array_equal(moved > 0, sees)
        # What the clock says is the most that any frame sees.
        clock = still[1].at([("residual", 2 * stage + 1)]).clock
        axis = clock.axis(10 * RATE)
        bound = [abs(axis.time(i) - Fraction(at, RATE)) * RATE <= Fraction(clock.span, 2) for i in range(axis.n)]
        assert not np.any(np.array(sees) & ~np.array(bound))


@pytest.mark.parametrize("at", CLICKS)
def test_a_click_is_answered_most_near_the_frame_whose_time_it_has(still, at):
    for stage, moved in enumerate(_struck(still, at, size=1.0)):
        axis = still[1].at([("residual", 2 * stage + 1)]).clock.axis(10 * RATE)
        assert abs(int(np.argmax(moved)) - axis.index(Fraction(at, RATE))) <= 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_frames_ends_are_found_to_the_sample(still, stage):
    frame = 256 // 2**stage * 5 // 8
    first, last = _seen(stage)[frame]
    reached = {at: _struck(still, at, size=1e4)[stage][frame] > 0 for at in (first - 1, first + 1, last - 1, last + 1)}
    assert reached == {first - 1: False, first + 1: True, last - 1: True, last + 1: False}
    clock = still[1].at([("residual", 2 * stage + 1)]).clock
    assert last + 1 <= clock.reach(frame)
    # The stretch shifts what a frame sees by up to half a spectrogram frame against its time.
    middle = Fraction(first + last, 2 * RATE)
    assert abs(middle - clock.axis(10 * RATE).time(frame)) <= Fraction(HOP, 2 * RATE)


def test_columns_show_the_times_they_are_stamped_with(tower):
    """A spectrogram whose level is its time, stretched and folded: cubic interpolation errs by 0.48 ms at most."""
    ramp = torch.arange(1001.0)[None, None, :, None].expand(1, 1, 1001, 64)
    picture = tower.audio_encoder.reshape_mel2img(ramp)[0, 0].reshape(4, 64, 256)
    assert torch.equal(picture[:, 0], picture[:, 63])
    shown = picture[:, 0].flatten().numpy() * 0.01
    error = np.abs(shown - np.arange(1024) * 10 / 1023)
    assert 0.4e-3 < error.max() < 0.5e-3


def test_no_frame_lies_beyond_the_sound(encoder):
    for layer in (0, 4, 6, 8):
        clock = encoder.at([("residual", layer)]).clock
        for n_samples in (705, 7_274, 48_000, 479_999, 480_000, 1_234_567):
            axis = clock.axis(n_samples)
            assert axis.n == 0 or axis.time(axis.n - 1) <= Fraction(n_samples - 1, RATE)
            assert axis.t0 + axis.n * axis.step > Fraction(n_samples - 1, RATE) - Fraction(1, 2 * RATE)


# --- sounds of any length


def test_long_sounds_run_in_windows_that_are_a_ten_second_sounds_own_passes(encoder):
    """What is kept of a window is what the model makes of those ten seconds; its start is rounded to a sample."""
    stimulus = noise(23)
    for layer in (2, 7):
        at = encoder.at([("residual", layer)])
        found = encoder.encode(stimulus, [layer])[layer]
        windows = [window for batch in at._batches(stimulus) for window in batch]
        assert len(windows) == 4
        assert [w.keep_stop for w in windows[:-1]] == [w.keep_start for w in windows[1:]]
        assert (windows[0].keep_start, windows[-1].keep_stop) == (0, found.axis.n)
        for window in windows:
            exact_start = window.start * at.clock.stride
            start = round(float(exact_start))
            assert abs(start - exact_start) <= Fraction(1, 2)
            cut = stimulus.waveform[start : start + 10 * RATE]
            alone = encoder.encode(Stimulus("cut", cut, TimeAxis(RATE, cut.size)), [layer])[layer].values
            np.testing.assert_allclose(
                found.values[window.keep_start : window.keep_stop], alone[window.kept], atol=2e-5
            )
            # Silence is put behind the last window only, and less than one frame of the slowest stage.
            missing = Fraction(10 * RATE - cut.size, RATE)
            assert missing == 0 or (window is windows[-1] and missing < Fraction(320, 1023))
            seams = [window.keep_start - window.start] * (window.start > 0)
            assert min(seams, default=99) >= 2 * at.clock.rate


def test_frames_keep_the_clock_of_a_sound_that_begins_later(encoder):
    stimulus = noise(2)
    later = Stimulus("later", stimulus.waveform, stimulus.axis.moved("1/3"))
    ours = encoder.encode(later, [0, 8])
    assert ours[0].axis.t0 == Fraction(1, 3) + Fraction(15, 1023)
    assert ours[8].axis.t0 == Fraction(1, 3) + Fraction(155, 1023)


def test_what_is_behind_a_short_sound_does_not_reach_the_patches_and_reaches_the_blocks(encoder):
    """Four seconds, then silence or noise: patches are bitwise the same, blocks further and further not."""
    short, rest = noise(4).waveform, noise(6, seed=9).waveform
    with_silence = Stimulus("short", short, TimeAxis(RATE, short.size))
    with_noise = Stimulus("long", np.concatenate([short, rest]), TimeAxis(RATE, 10 * RATE))
    ours, other = (encoder.encode(s, [0, 1, 2, 8]) for s in (with_silence, with_noise))
    n = ours[0].axis.n
    assert n == 102
    moved = {k: np.abs(ours[k].values - other[k].values[: len(ours[k].values)]).max(axis=1) for k in ours}
    inside = [i for i in range(n) if _seen(0)[i][1] < short.size]
    assert n - len(inside) <= 2 and not moved[0][inside].any()
    # Block 1 attends in windows of eight frames of one quarter. Block 2's are shifted by four and join two quarters:
    # what is behind the sound, from frame 102 on, is above or below frames of up to a quarter earlier.
    assert not moved[1][: n - 1 - (n - 1) % 8].any()
    assert moved[2][:28].max() == 0 and (moved[2][28:] > 0).all()
    assert (moved[8] > 0).all()


def test_other_lengths_are_refused_or_defined(encoder):
    with pytest.raises(ValueProblem, match=r"shorter than one frame[\s\S]*700 samples[\s\S]*at least 705"):
        encoder.encode(noise(700 / RATE), [0])
    with pytest.raises(ValueProblem, match=r"shorter than one frame[\s\S]*at least 7274"):
        encoder.encode(noise(0.1), [0, 8])
    with pytest.raises(GridMismatch, match="not at the encoder's sampling rate"):
        encoder.encode(Stimulus("slow", np.zeros(16_000, dtype=np.float32), TimeAxis(16_000, 16_000)), [0])
    assert encoder.encode(noise(0.2), [8])[8].values.shape == (1, 8 * WIDTH)
    with pytest.raises(ValueProblem, match="must fit into one pass"):
        replace(encoder, windowing=Windowing(12, 2))
    assert np.isfinite(
        encoder.encode(Stimulus("x", np.zeros(RATE, np.float32), TimeAxis(RATE, RATE)), [8])[8].values
    ).all()


@pytest.mark.parametrize("layer", [2, 7])
def test_causal_frames_do_not_know_what_comes_later(folder, layer):
    causal = load_encoder(folder, windowing=Causal(0.7, stride_frames=3, n_at_once=2))
    stimulus = noise(1.9)
    found = causal.encode(stimulus, [layer])[layer]
    clock = causal.at([("residual", layer)]).clock
    assert found.axis.rate == clock.rate / 3 and found.axis.t0 == clock.first_centre
    change = int(1.2 * RATE)
    waveform = stimulus.waveform.copy()
    waveform[change:] = noise(1.9, seed=7).waveform[change:] * 30
    other = causal.encode(Stimulus("other", waveform, stimulus.axis), [layer])[layer]
    past = sum(clock.reach(3 * i) <= change for i in range(found.axis.n))
    assert 1 <= past < found.axis.n
    np.testing.assert_array_equal(found.values[:past], other.values[:past])
    assert np.abs(found.values[-1] - other.values[-1]).max() > 0
    with pytest.raises(
        ValueProblem, match=r"different clocks, and a causal window ends with one frame[\s\S]*one stage"
    ):
        causal.encode(stimulus, [0, 8])
    # With the future, the same moments are others.
    assert np.abs(load_encoder(folder).encode(stimulus, [layer])[layer].values[0] - found.values[0]).max() > 0
