"""Words reach the recording by the clock of their sound: to the exact fraction of a sample, drift included."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainalign.align.build import align
from brainalign.align.clock import ListeningClock
from brainalign.align.events import check_events, heard, with_events
from brainalign.align.sound import find_sound
from brainalign.audio.annotations import Events
from brainalign.audio.impulses import impulses
from brainalign.audio.synth import synthesise_speech
from brainalign.audio.words import read_words
from brainalign.core.errors import GridMismatch
from brainalign.core.recording import Recording
from brainalign.core.time import TimeAxis
from brainalign.eeg.simulate_faults import PlayedSound, record_sound

PPM50 = Fraction(50, 1_000_000)
CLOCK = ListeningClock("12.3456", PPM50)


def words(*times: str, offsets: tuple[str, ...] = ()) -> Events:
    columns = {"offset": offsets, "duration": ("0.5",) * len(offsets)} if offsets else {}
    return Events("words", tuple(Fraction(time) for time in times), tuple("abcdefgh"[: len(times)]), columns)


def recording(*, rate: int = 512, seconds: int = 60, **more: object) -> Recording:
    axis = TimeAxis(rate, rate * seconds)
    return Recording(np.zeros((axis.n, 1)), axis, ("Cz",), ("eeg",), np.full((1, 3), np.nan), **more)


@given(
    times=st.lists(st.fractions(0, 40), min_size=1, max_size=8),
    onset=st.fractions(0, 10),
    ppm=st.integers(-200, 200),
)
def test_impulses_stand_at_the_exact_fraction_of_a_sample(times, onset, ppm):
    clock = ListeningClock(onset, Fraction(ppm, 1_000_000))
    axis = recording().axis
    for time in times:
        told = Events("words", (time,), ("a",))
        values = impulses(heard(told, clock), axis=axis, place="shared").values[:, 0].astype(float)
        expected = onset + time + Fraction(ppm, 1_000_000) * time
        where = values @ axis.times
        assert values.sum() == pytest.approx(1, abs=1e-6)
        # float32 weights: a hundred-thousandth of a sample
        assert where == pytest.approx(float(expected), abs=1e-5 / 512 + 60 * 2e-7)
        assert heard(told, clock).onsets == (expected,)


def test_fifty_parts_per_million_are_a_sample_and_a_half_after_a_minute():
    moved = heard(words("60"), CLOCK).onsets[0]
    assert (moved - Fraction("72.3456")) * 512 == Fraction("1.536")


def test_the_same_place_as_the_features_of_the_sound():
    """An impulse at a frame's centre, aligned as a feature, and the word heard at that time: one moment."""
    frames = TimeAxis(50, 2000, "0.0125")
    told = words(str(frames.time(700)), str(frames.time(1999)))
    feature = impulses(told, axis=frames)
    trial = align({"story": feature}, recording(), onset={"story": CLOCK.onset}, drift=CLOCK.drift).trials[0]
    rows = np.flatnonzero(trial.x.values[:, 0])
    there = CLOCK.on_recording(trial.x.axis)
    assert tuple(there.time(int(row)) for row in rows) == heard(told, CLOCK).onsets


def test_ends_and_lengths_go_along():
    moved = heard(words("10", "20", offsets=("10.5", "")), ListeningClock(5, "1/100"))
    assert moved.columns["offset"] == ("15.605", "")
    assert moved.columns["duration"][0] == "0.505"
    assert moved.provenance.steps[-1].name == "heard"


def test_words_follow_the_sound_that_was_found_in_the_audio_channel():
    """Onset and drift are measured, not told: the words then stand within a millisecond of where they were played."""
    sound = synthesise_speech("story", seconds=45, seed=3)
    how = PlayedSound(onset="5.43217", drift=PPM50)
    axis = TimeAxis(512, 512 * 55)
    channel = record_sound(sound, how, clock=axis, seed=1)
    heard_by = Recording(channel[:, None], axis, ("Erg1",), ("misc",), np.full((1, 3), np.nan))
    told = words("0.5", "20.25", "44")
    found = heard(told, find_sound(sound, heard_by, channel="Erg1").clock)
    truth = heard(told, ListeningClock("5.43217", PPM50))
    late = [float(one - other) for one, other in zip(found.onsets, truth.onsets, strict=True)]
    assert np.abs(late).max() < 1e-4


class TestAsMarks:
    def test_they_join_the_recordings_onsets(self):
        before = recording(onsets={"story": (Fraction(1),)})
        marked = with_events(before, heard(words("1", "2"), CLOCK))
        assert marked.onsets["words"] == (CLOCK.recording_time(1), CLOCK.recording_time(2))
        assert marked.onsets["story"] == (1,) and "words" not in before.onsets
        named = with_events(before, heard(words("1", "2"), CLOCK), by_label=True)
        assert set(named.onsets) == {"story", "words/a", "words/b"}
        assert len(named.to_mne().annotations) == 3

    def test_stimulus_time_is_not_the_recordings(self):
        late = replace(recording(), axis=TimeAxis(512, 512 * 60, 100))
        with pytest.raises(GridMismatch, match=r"not all heard within[\s\S]*2 of 2[\s\S]*heard\(events, clock\)"):
            with_events(late, words("1", "2"))


class TestChecks:
    def found(self, events: Events, seconds: float) -> dict:
        return {item.what: item for item in check_events(events, seconds=seconds, stimulus="story")}

    def test_all_is_well(self):
        assert all(item.fits for item in self.found(words("0", "1", "2", offsets=("1", "2", "3")), 3).values())
        assert all(item.fits for item in self.found(words("0", "1"), 3).values())

    def test_what_is_not(self):
        found = self.found(words("2", "0", "9", "1", offsets=("3", "1.2", "10.5", "1")), 8)
        assert found["end"].seconds == pytest.approx(2.5) and "1 of 4 begin after" in found["end"].told
        assert found["order"].seconds == pytest.approx(8) and "2 steps" in found["order"].told
        assert found["overlap"].seconds == pytest.approx(0.2) and not found["overlap"].fits
        assert "1 of 4 have no length" in found["length"].told

    def test_the_real_table_of_alice_runs_over(self, root):
        """In seven of its twelve segments words reach into the next by one time, another one for each segment."""
        path = root.parent / "shared" / "data" / "alice_word_annotations" / "AliceChapterOne-EEG.csv"
        if not path.exists():
            pytest.skip("the table of Alice's words is not here")
        table = read_words(path, unit="s", name="words")
        found = self.found(table.where("Segment", "1"), 58)
        assert found["overlap"].seconds == pytest.approx(0.046, abs=0.002)
        assert "157 reach the next: half of them by 0.046 s" in found["overlap"].told
        assert found["end"].fits and found["order"].fits
        overlaps = [self.found(table.where("Segment", str(i)), 75)["overlap"].seconds for i in range(1, 13)]
        assert sum(seconds > 0.002 for seconds in overlaps) == 7 and max(overlaps) == overlaps[0]
        assert not self.found(table, 58)["order"].fits
