"""TextGrids and tables: read to the last digit, whatever their form, or refused with what to do."""

from fractions import Fraction

import numpy as np
import pytest

from brainalign.audio.annotations import Events, read_table, read_textgrid
from brainalign.audio.textgrid import read_tiers
from brainalign.core.errors import MissingFile, UnknownName, UnreadableFile, ValueProblem

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.7000000001
            text = "say ""ja"" 12"
        intervals [3]:
            xmin = 0.7000000001
            xmax = 1.25
            text = "größe"
        intervals [4]:
            xmin = 1.25
            xmax = 2.5
            text = "SIL"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 2.5
        points: size = 2
        points [1]:
            number = 0.3
            mark = "a
b"
        points [2]:
            number = 1e-3
            mark = "2.5"
    item [3]:
        class = "IntervalTier"
        name = "empty"
        xmin = 0
        xmax = 2.5
        intervals: size = 0
"""

SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
3
"IntervalTier"
"words"
0
2.5
4
0
0.1
""
0.1
0.7000000001
"say ""ja"" 12"
0.7000000001
1.25
"größe"
1.25
2.5
"SIL"
"TextTier"
"clicks"
0
2.5
2
0.3
"a
b"
1e-3
"2.5"
"IntervalTier"
"empty"
0
2.5
0
"""


def _write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("text", [LONG, SHORT, LONG.replace("\n", "\r\n"), SHORT + "! a comment 7\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be with mark"])
def test_long_and_short_in_every_encoding(tmp_path, text, encoding):
    if encoding.endswith("mark"):
        text, encoding = "\ufeff" + text, "utf-16-be"
    path = _write(tmp_path / "a.TextGrid", text, encoding)
    words = read_textgrid(path, tier="words")
    assert words.labels == ('say "ja" 12', "größe")
    assert words.onsets == (Fraction(1, 10), Fraction("0.7000000001"))
    assert words.columns["offset"] == ("0.7000000001", "1.25")
    np.testing.assert_allclose(words.heights("duration"), [0.6000000001, 0.5499999999])
    clicks = read_textgrid(path, tier="clicks")
    assert clicks.onsets == (Fraction(3, 10), Fraction(1, 1000))
    assert clicks.labels[1] == "2.5" and clicks.labels[0].split() == ["a", "b"]
    assert read_textgrid(path, tier="empty").n == 0


def test_silences_are_no_events_unless_wanted(tmp_path):
    path = _write(tmp_path / "a.TextGrid", LONG)
    assert read_textgrid(path, tier="words", silences=()).labels == ("", 'say "ja" 12', "größe", "SIL")
    assert read_textgrid(path, tier="words", silences=["größe"]).labels == ("", 'say "ja" 12', "SIL")


def test_which_tier(tmp_path):
    path = _write(tmp_path / "a.TextGrid", LONG)
    with pytest.raises(ValueProblem, match=r"several tiers[\s\S]*words, clicks, empty[\s\S]*tier="):
        read_textgrid(path)
    with pytest.raises(UnknownName, match=r"tier in a.TextGrid[\s\S]*did you mean 'words'"):
        read_textgrid(path, tier="word")
    twice = _write(tmp_path / "b.TextGrid", LONG.replace('"clicks"', '"words"'))
    with pytest.raises(ValueProblem, match=r"not unique[\s\S]*'words' twice"):
        read_textgrid(twice, tier="words")
    alone = _write(tmp_path / "c.TextGrid", SHORT.replace("<exists>\n3", "<exists>\n1"))
    assert read_textgrid(alone).name == "words"
    assert read_tiers(_write(tmp_path / "d.TextGrid", SHORT.replace("<exists>", "<absent>"))) == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2], r"the file ends before its last (number|string)"),
        (lambda text: text.replace('"TextGrid"', '"Sound"'), "does not begin as a TextGrid"),
        (lambda text: "", "the file ends before its last string"),
        (lambda text: text.replace('"IntervalTier"', '"PitchTier"'), "'PitchTier' is no kind of tier"),
        (lambda text: text.replace("size = 4", "size = 4.5"), "a count is 4.5"),
        (lambda text: text.replace("xmax = 1.25", "xmax = 0.25"), r"ends before it starts \(0.7 to 0.25 s\)"),
        (lambda text: text.replace("xmin = 0.1", "xmin = zero"), "where a number should be"),
        (lambda text: text.replace("größe", "\0"), "binary, or UTF-16 without its mark"),
    ],
)
def test_damaged_textgrids_are_refused(tmp_path, change, says):
    path = _write(tmp_path / "a.TextGrid", change(LONG))
    with pytest.raises(UnreadableFile, match=r"a.TextGrid[\s\S]*fix: save it"):
        read_textgrid(path, tier="words")
    with pytest.raises(UnreadableFile, match=says):
        read_textgrid(path, tier="words")


def test_unknown_encodings_and_missing_files(tmp_path):
    with pytest.raises(UnreadableFile, match=r"known encoding[\s\S]*save it as UTF-8"):
        read_textgrid(_write(tmp_path / "a.TextGrid", LONG, "latin-1"), tier="words")
    with pytest.raises(UnreadableFile, match="UTF-16 without its mark"):
        read_textgrid(_write(tmp_path / "b.TextGrid", SHORT.replace("ö", "o"), "utf-16-le"), tier="words")
    for read in (read_textgrid, read_table):
        with pytest.raises(MissingFile, match=r"no annotation file here[\s\S]*check the path"):
            read(tmp_path / "none")


TABLE = "word,onset,surprisal,segment\nthe,0.1,2.5,1\nold,0.25,n/a,1\n\nman,0.7,7.25,2\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables(tmp_path, separator, encoding, newline):
    text = TABLE.replace(",", separator).replace("\n", newline)
    words = read_table(_write(tmp_path / "words.csv", text, encoding), label="word")
    assert words.name == "words" and words.labels == ("the", "old", "man")
    assert words.onsets == (Fraction(1, 10), Fraction(1, 4), Fraction(7, 10))
    assert words.where("segment", "1").labels == ("the", "old")
    np.testing.assert_array_equal(words.select([True, False, True]).heights("surprisal"), [2.5, 7.25])
    with pytest.raises(ValueProblem, match=r"'surprisal' of 'words' is not a number[\s\S]*'n/a' at event 2 \('old'\)"):
        words.heights("surprisal")


def test_quotes_and_units(tmp_path):
    path = _write(tmp_path / "a.csv", 'word,sample\n"yes, sir",8000\n"a ""b""",16001\n')
    events = read_table(path, onset="sample", label="word", unit="1/16000", name="words")
    assert events.labels == ("yes, sir", 'a "b"')
    assert events.onsets == (Fraction(1, 2), Fraction(16_001, 16_000))
    assert events.provenance.steps[0].parameters["unit"] == "1/16000"
    assert str(tmp_path) not in str(events.provenance.to_json())


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", UnreadableFile, "a table is empty"),
        ("word,start\na,1\n", UnknownName, r"column in t.csv[\s\S]*'onset'"),
        ("word,onset\na,early\n", ValueProblem, r"an onset is not a number[\s\S]*row 2: 'early'"),
        ("word,onset\na,1\nb,n/a\n", ValueProblem, r"row 3: 'n/a'"),
        ("word;onset\na;0,5\n", ValueProblem, r"row 2: '0,5'"),
        ("word,onset\na,inf\n", ValueProblem, r"row 2: 'inf'"),
        ("word,onset\na,b,1\n", UnreadableFile, r"row 2: 3 entries under 2 names[\s\S]*check the separator"),
        ("word,onset,word\na,1,b\n", UnreadableFile, "column names must differ"),
    ],
)
def test_tables_that_do_not_make_sense(tmp_path, text, error, says):
    with pytest.raises(error, match=says):
        read_table(_write(tmp_path / "t.csv", text), label="word")


def test_a_table_without_rows_has_no_events(tmp_path):
    assert read_table(_write(tmp_path / "t.csv", "word,onset\n")).n == 0


def test_selecting():
    events = Events("words", (Fraction(1), Fraction(2)), ("a", "b"), {"x": ("1", "2")})
    assert events.select(np.array([False, True])).columns == {"x": ("2",)}
    with pytest.raises(ValueProblem, match=r"one entry per event[\s\S]*3 for 2"):
        events.select([True] * 3)
    with pytest.raises(UnknownName, match="column of 'words'"):
        events.where("y", "1")


def test_real_textgrids(root):
    """Aligners' and Praat's own files, short, long and in UTF-16: words that lie in order within their sound."""
    folder = root.parent / "shared" / "data" / "speech_aligned_small"
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".textgrid")
    if not paths:
        pytest.skip("the aligned speech is not here")
    for path in paths:
        for tier in read_tiers(path):
            starts = [mark.start for mark in tier.marks]
            assert starts == sorted(starts)
    words = read_textgrid(folder / "mfa" / "textgrid" / "acoustic_corpus.TextGrid", tier="words")
    assert words.labels[:4] == ("this", "is", "the", "acoustic") and words.onsets[0] == Fraction("1.05")


def test_the_real_table_of_alice(root):
    path = root.parent / "shared" / "data" / "alice_word_annotations" / "AliceChapterOne-EEG.csv"
    if not path.exists():
        pytest.skip("the table of Alice's words is not here")
    words = read_table(path, label="Word", name="words")
    assert words.n == 2129 and words.labels[:3] == ("Alice", "was", "beginning")
    assert words.where("Segment", "1").onsets[1] == Fraction("0.562721")
    assert words.heights("NGRAM")[0] == 3.226499067
