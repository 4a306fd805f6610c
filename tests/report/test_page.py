import base64
import re
import struct
import zlib
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from brainalign.core.errors import StoreProblem, ValueProblem
from brainalign.report.blocks import png_bytes, png_size
from brainalign.report.look import CSS
from brainalign.report.page import (
    Column,
    Details,
    Fact,
    Facts,
    Listing,
    Note,
    Page,
    Picture,
    Section,
    Table,
    Text,
    anchors,
    render,
    write_page,
)

VOID = {"meta", "link", "img", "br", "hr", "input"}
NASTY = '<script>alert("x")</script> & \'"'


def png(width, height):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\xff" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Outline(HTMLParser):
    """Collects tags, and insists that each is closed by its own end."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def sample(word="plain"):
    table = Table(({"name": word, "p": 1 / 501},), (Column("name", word), Column("p", "p", kind="p")), word, word)
    blocks = (
        Text(f"{word}\n\nAgain with `{word}`.", lead=True),
        Facts((Fact(word, word, word), Fact("1", "one"))),
        Picture(png(40, 20), alt=word, caption=word),
        table,
        Note(word),
        Details(word, (Text(word), Listing(word), Details(word, (table,)))),
    )
    return Page(word, word, (Section(word, blocks), Section(word, (Text(word),)), Section("?", ())), word)


def test_page_is_valid_where_it_matters():
    html = render(sample())
    outline = Outline(html)
    assert html.startswith("<!DOCTYPE html>\n")
    assert outline.all("html") == [{"lang": "en"}]
    assert {"charset": "utf-8"} in outline.all("meta")
    assert any(meta.get("name") == "viewport" for meta in outline.all("meta"))
    assert [len(outline.all(tag)) for tag in ("title", "h1", "main", "header", "footer", "nav")] == [1] * 6


def test_same_page_same_text():
    assert render(sample()) == render(sample())


def test_nothing_is_loaded_from_elsewhere():
    html = render(sample())
    assert not re.search(r"https?://", html)
    assert "url(" not in html
    assert "@import" not in html
    outline = Outline(html)
    for _, attrs in outline.tags:
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:"))
    assert not outline.all("script")
    policy = next(meta for meta in outline.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_no_text_becomes_markup():
    html = render(sample(NASTY))
    outline = Outline(html)
    assert not outline.all("script")
    assert outline.text.count('<script>alert("x")</script>') == html.count("&lt;script&gt;") - _in_attributes(outline)


def _in_attributes(outline):
    return sum("<script>" in (value or "") for _, attrs in outline.tags for value in attrs.values())


def test_every_image_says_what_it_shows_and_has_its_size():
    (image,) = Outline(render(sample("Two peaks"))).all("img")
    assert image["alt"] == "Two peaks"
    # Forty image pixels are twenty on the page.
    assert (image["width"], image["height"]) == ("20", "10")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == png(40, 20)


def test_contents_lead_to_sections():
    outline = Outline(render(sample("Held-out scores")))
    targets = [a["href"].removeprefix("#") for a in outline.all("a") if a["href"] != "#content"]
    assert targets == ["held-out-scores", "held-out-scores-2", "section"]
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(targets) <= set(ids)
    for section in outline.all("section"):
        assert section["aria-labelledby"] in ids


def test_anchors_never_meet():
    names = anchors(["a", "a-2", "a", "a", "content", "Content"])
    assert len(set(names)) == 6
    assert "content" not in names


def test_headings_of_tables_have_a_scope():
    assert {heading["scope"] for heading in Outline(render(sample())).all("th")} == {"col", "row"}


def test_words_survive_as_written():
    text = Outline(render(Page("\u00b5V \u2264 5 %", sections=(Section("s", (Text("a  b\nc\n\n\nd 5 %"),)),)))).text
    assert "\u00b5V \u2264 5 %" in text
    assert "a b c\nd 5\u00a0%" in text


def test_a_page_without_sections_has_no_contents():
    outline = Outline(render(Page("Empty")))
    assert not outline.all("nav")
    assert not outline.all("footer")


def test_figures_are_drawn_at_twice_their_size():
    figure = Figure(figsize=(85 / 25.4, 40 / 25.4))
    figure.subplots().plot([1, 2])
    page = Page("t", sections=(Section("s", (Picture(figure, alt="a line"),)),))
    (image,) = Outline(render(page)).all("img")
    width, height = png_size(png_bytes(figure))
    assert abs(width - 2 * int(image["width"])) <= 1
    assert abs(height - 2 * int(image["height"])) <= 1
    assert abs(int(image["width"]) - 448) <= 1
    assert png_bytes(figure) == png_bytes(figure)


def test_page_is_written_as_it_is_rendered(tmp_path):
    path = write_page(sample(), tmp_path / "deep" / "report.html")
    assert path.read_bytes() == render(sample()).encode("utf-8")


def test_a_folder_in_the_way_is_reported(tmp_path):
    with pytest.raises(StoreProblem, match="a report cannot be written"):
        write_page(sample(), tmp_path)


def test_wrong_blocks_are_refused():
    with pytest.raises(ValueProblem, match="cannot see it"):
        Picture(png(2, 2), alt=" ")
    with pytest.raises(ValueProblem, match="must be a PNG"):
        render(Page("t", sections=(Section("s", (Picture(b"GIF89a", alt="x"),)),)))
    with pytest.raises(ValueProblem, match="needs a title"):
        Page(" ")


def luminance(colour):
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "print"])
@pytest.mark.parametrize("behind", ["paper", "panel"])
def test_text_stands_out(scheme, behind):
    block = re.findall(r":root \{(.*?)\}", CSS, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block))
    for name in ("ink", "muted", "accent", "truth"):
        light, dark = sorted((luminance(colours[name]), luminance(colours[behind])), reverse=True)
        # WCAG 2.2, level AA for text.
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_style_sheet_is_whole():
    assert CSS.count("{") == CSS.count("}")
    assert "</" not in CSS
