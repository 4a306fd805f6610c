"""One mono waveform on an exact clock."""

import numpy as np
import pytest

from brainalign.core.errors import NotFinite, ShapeMismatch, ValueProblem
from brainalign.core.stimulus import Stimulus
from brainalign.core.time import TimeAxis


def test_the_callers_waveform_is_neither_changed_nor_frozen(rng):
    mine = rng.normal(size=8).astype(np.float32)
    before = mine.copy()
    stimulus = Stimulus("a", mine, TimeAxis(16_000, 8))
    assert mine.flags.writeable
    assert not stimulus.waveform.flags.writeable
    np.testing.assert_array_equal(mine, before)


def test_one_sound_under_two_names_has_one_content(rng):
    waveform, axis = rng.normal(size=8), TimeAxis(16_000, 8)
    assert Stimulus("a", waveform, axis).content == Stimulus("b", waveform.copy(), axis).content


def test_content_knows_samples_rate_and_origin(rng):
    waveform, axis = rng.normal(size=8), TimeAxis(16_000, 8)
    sounds = [
        Stimulus("a", waveform, axis),
        Stimulus("a", -waveform, axis),
        Stimulus("a", waveform, TimeAxis("44100/3", 8)),
        Stimulus("a", waveform, axis.moved("1/7")),
    ]
    contents = {sound.content for sound in sounds}
    assert len(contents) == 4
    assert all(len(content) == 64 and content.isalnum() for content in contents)


def test_bad_waveforms_are_refused():
    axis = TimeAxis(16_000, 3)
    with pytest.raises(ShapeMismatch, match=r"(?s)waveform of 'a' must have shape \(3,\).*got: \(3, 1\)"):
        Stimulus("a", np.zeros((3, 1)), axis)
    with pytest.raises(NotFinite, match=r"(?s)waveform of 'a'.*1 of 3, the first at \(1,\)"):
        Stimulus("a", np.array([0, np.nan, 0]), axis)
    with pytest.raises(ValueProblem, match="stimulus 'a' is empty"):
        Stimulus("a", np.zeros(0), TimeAxis(16_000, 0))
