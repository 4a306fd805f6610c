"""Clicks against clocks: for every type, the frames that a click moves are those the clock says, to the sample.

A frame's receptive field is measured on the front end itself, before anything mixes frames: one
sample is changed, and the frames that move are counted. The first and the last sample that move
a frame are found sample by sample; the middle between them is the frame's centre. What a type
learns from the whole sound is held still meanwhile: statistics are the undisturbed sound's, group
norm over time is left out, and Whisper's clamp is out of reach.
"""

from fractions import Fraction

import numpy as np
import pytest
import torch

from brainalign.encoders.causal import look_ahead
from brainalign.encoders.hooks import Site, captured
from brainalign.encoders.hugging import load_encoder
from brainalign.encoders.sites import as_frames, find_site
from tests.encoders.small import CONFIGS, write_small

RATE, SECONDS = 16_000, 2
# Ten places, none of them alike with respect to frames of 20, 40 or 100 ms.
CLICKS = [4_000 + 1_777 * i for i in range(10)]
FIRST_CENTRES = {
    "wav2vec2-bert": Fraction(559, 2 * RATE),
    "whisper": Fraction(0),
    "audio-spectrogram-transformer": Fraction(2799, 2 * RATE),
    "sew": Fraction(719, 2 * RATE),
}
RATES = {"audio-spectrogram-transformer": 10, "sew": 25}


@pytest.fixture(scope="module", params=list(CONFIGS))
def listening(request, tmp_path_factory):
    """A type's encoder, and its front end as a function of a waveform."""
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    changes = (
        {} if kind in ("whisper", "wav2vec2-bert", "audio-spectrogram-transformer") else {"feat_extract_norm": "layer"}
    )
    write_small(folder, kind, **changes)
    encoder = load_encoder(folder)
    quiet = 0.1 * np.random.default_rng(0).standard_normal(SECONDS * RATE).astype(np.float32)
    statistics = encoder.inputs.statistics(quiet)
    grid = encoder.inputs.n_bands, encoder.inputs.n_most or 0

    def front(waveform):
        if kind == "sew":
            # Its front end is twice as fast as its blocks: the averaging that follows is listened to.
            sites, layout = {0: Site(encoder.model.encoder.pool)}, "channels"
        else:
            site, layout = find_site(encoder.model, encoder.blocks, ("front", 0), encoder.family)
            sites = {0: site}
        given = torch.from_numpy(encoder.inputs.given(waveform, statistics))[None]
        with torch.inference_mode(), captured(sites) as found:
            encoder.model(given)
        frames = as_frames(found[0], layout, grid=grid, apart=True)[0].numpy()
        return frames[: encoder.clock.n_frames(waveform.size)]

    return kind, encoder, front, quiet


def _moved(front, quiet, at, *, size):
    struck = quiet.copy()
    struck[at] += size
    return np.linalg.norm(front(struck) - front(quiet), axis=1)


def test_the_clock_is_the_one_that_was_worked_out(listening):
    kind, encoder, _, _ = listening
    assert encoder.clock.first_centre == FIRST_CENTRES.get(kind, Fraction(399, 2 * RATE))
    assert encoder.clock.rate == RATES.get(kind, 50)


def test_a_click_moves_the_frames_that_see_it_and_no_other(listening):
    _, encoder, front, quiet = listening
    axis = encoder.clock.axis(quiet.size)
    half = Fraction(encoder.clock.span - 1, 2 * RATE)
    for at in CLICKS:
        moved = _moved(front, quiet, at, size=2.0) > 0
        assert moved.size == axis.n
        sees = [abs(axis.time(i) - Fraction(at, RATE)) <= half for i in range(axis.n)]
        np.testing.assert_array_equal(moved, sees)


def test_a_frames_centre_is_in_the_middle_of_what_moves_it_to_the_sample(listening):
    """The first and last sample that move a frame: neither one more nor one less."""
    _, encoder, front, quiet = listening
    clock = encoder.clock
    frame = clock.n_frames(quiet.size) // 2
    first = frame * clock.stride - clock.lead
    last = first + clock.span - 1
    # Windows begin and end near zero: a click has to be loud to be heard at a frame's very edge.
    reached = {at: _moved(front, quiet, at, size=100.0)[frame] > 0 for at in (first - 1, first, last, last + 1)}
    assert reached == {first - 1: False, first: True, last: True, last + 1: False}
    assert clock.axis(quiet.size).time(frame) == Fraction(first + last, 2 * RATE)
    assert clock.reach(frame) == last + 1
    assert look_ahead(clock) == Fraction(last + 1, RATE) - clock.axis(quiet.size).time(frame)


def test_a_click_is_answered_most_near_the_frame_whose_time_it_has(listening):
    """The strongest answer is in the nearest frame or, where frames overlap much, next to it."""
    _, encoder, front, quiet = listening
    axis = encoder.clock.axis(quiet.size)
    peaks = [int(np.argmax(_moved(front, quiet, at, size=1.0))) for at in CLICKS]
    nearest = [axis.index(Fraction(at, RATE)) for at in CLICKS]
    assert np.max(np.abs(np.subtract(peaks, nearest))) <= 1


def test_no_frame_lies_beyond_the_sound(listening):
    _, encoder, _, _ = listening
    for n_samples in (2_800, 2_801, 3_199, 3_200, 9_999, 32_000):
        axis = encoder.clock.axis(n_samples)
        assert axis.n and axis.time(axis.n - 1) <= Fraction(n_samples - 1, RATE)
        # One frame more would see what is not there, or be centred on it.
        assert encoder.clock.n_samples(axis.n + 1) > n_samples
