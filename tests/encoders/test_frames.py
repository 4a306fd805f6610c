"""Frame clocks against the arithmetic, against torch's own convolutions, and against impulses in a model."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainalign.core.errors import ShapeMismatch, ValueProblem
from brainalign.core.time import TimeAxis
from brainalign.encoders.frames import clock_of_convolutions

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
HUBERT = clock_of_convolutions(KERNELS, STRIDES, 16_000)


def test_the_clock_of_hubert_is_exact():
    assert (HUBERT.rate, HUBERT.span, HUBERT.stride) == (50, 400, 320)
    assert HUBERT.first_centre == Fraction(399, 32_000)
    assert HUBERT.axis(160_000) == TimeAxis(50, 499, Fraction(399, 32_000))


@pytest.mark.parametrize(("seconds", "frames"), [(10, 499), (5, 249), (30, 1499)])
def test_published_frame_counts(seconds, frames):
    assert HUBERT.n_frames(16_000 * seconds) == frames


def test_a_sound_shorter_than_one_frame_has_none():
    assert [HUBERT.n_frames(n) for n in (0, 399, 400, 719, 720)] == [0, 0, 1, 1, 2]
    assert [HUBERT.n_samples(n) for n in (0, 1, 2)] == [0, 400, 720]


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 5)), min_size=1, max_size=5),
    st.integers(1, 4000),
)
def test_frame_counts_are_those_of_the_convolutions(layers, n_samples):
    """Floors of floors: layer by layer or all at once, the number of frames is the same."""
    kernels, strides = zip(*layers, strict=True)
    n = n_samples
    for kernel, stride in layers:
        n = (n - kernel) // stride + 1 if n >= kernel else 0
    clock = clock_of_convolutions(kernels, strides, 16_000)
    assert clock.n_frames(n_samples) == n
    assert clock.n_frames(clock.n_samples(7)) == 7 and clock.n_frames(clock.n_samples(7) - 1) == 6


@pytest.mark.parametrize("at", [0, 399, 1600, 8_123, 15_999])
def test_an_impulse_moves_exactly_the_frames_that_see_it(encoder, at):
    """The front end of a real model: a changed sample changes the frames whose span holds it, and no other."""
    front_end = encoder.model.feature_extractor
    quiet = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((1, 16_000))).float()
    struck = quiet.clone()
    struck[0, at] += 5.0
    with torch.inference_mode():
        moved = (front_end(struck) - front_end(quiet))[0].abs().amax(dim=0).numpy() > 0
    axis = encoder.clock.axis(16_000)
    assert axis.n == moved.size
    half = Fraction(encoder.clock.span - 1, 2 * 16_000)
    sees = [abs(axis.time(i) - Fraction(at, 16_000)) <= half for i in range(axis.n)]
    np.testing.assert_array_equal(moved, sees)


def test_a_config_that_makes_no_sense_is_refused():
    with pytest.raises(ShapeMismatch, match=r"one kernel and one stride[\s\S]*2 kernels, 1 strides"):
        clock_of_convolutions((3, 3), (2,), 16_000)
    with pytest.raises(ShapeMismatch, match="one kernel and one stride"):
        clock_of_convolutions((), (), 16_000)
    with pytest.raises(ValueProblem, match="must be positive"):
        clock_of_convolutions((3, 0), (2, 1), 16_000)
