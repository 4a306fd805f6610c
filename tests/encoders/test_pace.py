"""Progress in words: sound done, how fast, how long yet; and when an encoder tells of it."""

from fractions import Fraction

import pytest

from brainalign.encoders.pace import Pace


class Watch:
    """A clock that is set by hand."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


@pytest.mark.parametrize(
    ("n_before", "expected"),
    [(0, "5.0 of 60.0 min of sound, 5 times real time, 11 min left"), (9000, "8.0 of 60.0 min of sound, 5 times")],
)
def test_a_pace_is_sound_per_time_and_what_was_there_before_does_not_count(n_before, expected):
    watch, told = Watch(), []
    pace = Pace(Fraction(50), told.append, now=watch)
    pace(n_before, 180_000)
    watch.time += 60
    pace(n_before + 15_000, 180_000)
    assert told[0] == f"{n_before / 3000:.1f} of 60.0 min of sound"
    assert told[1].startswith(expected)


def test_the_end_says_no_time_left_and_short_times_are_seconds():
    watch = Watch()
    pace = Pace(Fraction(50), now=watch)
    pace.told(0, 6000)
    watch.time += 2
    assert pace.told(3000, 6000).endswith("30 times real time, 2 s left")
    watch.time += 2
    assert pace.told(6000, 6000) == "2.0 of 2.0 min of sound, 30 times real time"


def test_an_encoder_tells_at_the_beginning_and_after_each_batch(encoder, sound):
    told = []
    stimulus = sound(1.0)
    encoder.encode_sites(stimulus, [("residual", 1)], progress=lambda *n: told.append(n))
    n = encoder.axis(stimulus).n
    assert told == [(0, n), (n, n)]
