"""Does a real browser show the page whole, under its own policy, on wide and on narrow screens?"""

import numpy as np
import pytest
from matplotlib.figure import Figure

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
    write_page,
)
from tests.report.browser import POLICY, look, needs_browser

pytestmark = needs_browser


def drawing(n: int) -> Figure:
    figure = Figure(figsize=(180 / 25.4, 60 / 25.4))
    figure.subplots().plot(np.sin(np.arange(n)))
    return figure


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with every kind of block, three pictures, and a table wider than a telephone."""
    columns = [Column(f"c{i}", f"Column number {i}", kind="number") for i in range(14)]
    table = Table(tuple({f"c{i}": i * row for i in range(14)} for row in range(30)), tuple(columns), caption="Wide")
    pictures = tuple(Picture(drawing(n), alt=f"a wave of {n} points", caption="A wave.") for n in (10, 50))
    hidden = Details("More", (Listing("x" * 400), Picture(drawing(99), alt="one more wave")))
    whole = Page(
        "Features & <brains>",
        "A page to look at.",
        (
            Section("The answer", (Text("In short.", lead=True), Facts((Fact("5 of 5", "found", "of all"),)))),
            Section("Pictures", pictures),
            Section("Numbers", (table, Note("A note."))),
            Section("Numbers", (hidden,)),
        ),
        "Seed 0.",
    )
    return write_page(whole, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def seen(page, tmp_path_factory):
    return look(page, tmp_path_factory.mktemp("browser"))


def test_the_console_has_nothing_to_say(seen):
    assert seen.complaints == []


def test_every_picture_is_shown_even_a_folded_one(seen):
    assert (seen.pictures, seen.shown) == (3, 3)


def test_every_link_leads_somewhere_and_the_style_is_applied(seen):
    assert seen.broken == 0
    assert seen.sheets == 1
    assert seen.background != "rgba(0, 0, 0, 0)"
    assert seen.title == "Features & <brains>"


def test_nothing_hangs_over_the_edge_of_a_narrow_screen(page, tmp_path):
    seen = look(page, tmp_path, width=500)
    assert seen.width <= seen.room


def test_the_policy_stops_what_would_come_from_elsewhere(page, tmp_path):
    """Were there a script or a foreign picture in a page, this is how these tests would know."""
    html = page.read_text(encoding="utf-8")
    assert POLICY.search(html)
    spoilt = tmp_path / "spoilt.html"
    extra = '<script>console.log("ran")</script><img src="http://127.0.0.1:9/x.png" alt="foreign">'
    spoilt.write_text(html.replace("</main>", f"{extra}</main>"), encoding="utf-8")
    seen = look(spoilt, tmp_path)
    assert len([line for line in seen.complaints if "Content Security Policy" in line]) >= 2
    assert not any('"ran"' in line for line in seen.complaints)
    assert (seen.pictures, seen.shown) == (4, 3)
