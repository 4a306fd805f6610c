"""What can stand on a page? Text, figures, tables, key numbers, and details that fold away."""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol, Union, runtime_checkable

from brainalign.core.errors import ValueProblem
from brainalign.report.tables import Column, html_table

DENSITY = 2.0
"""Image pixels per CSS pixel."""
FIGURE_DPI = 268
"""Dots per inch for figures: 174 mm (two printed columns) become 918 CSS pixels."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@runtime_checkable
class Drawable(Protocol):
    """A figure that can write itself (as Matplotlib's does)."""

    @property
    def savefig(self) -> Callable[..., Any]:
        """Write the figure into a stream."""
        ...


@dataclass(frozen=True)
class Text:
    """Paragraphs, parted by blank lines; ``code`` between backticks.

    Parameters
    ----------
    text
        Plain text; everything in it is escaped.
    lead
        Whether it is set larger, as a section's first words.
    """

    text: str
    lead: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings (see `brainalign.report.tables`); `emphasise` is the key of a bool that sets rows off."""

    rows: tuple[Mapping[str, Any], ...]
    columns: tuple[Column, ...]
    caption: str = ""
    note: str = ""
    emphasise: str = ""


@dataclass(frozen=True)
class Picture:
    """An image with the words that stand in for it.

    Parameters
    ----------
    image
        A Matplotlib figure, or the bytes of a PNG at twice its size on the page.
    alt
        What the picture shows, for those who cannot see it.
    caption
        Written below.
    """

    image: Drawable | bytes
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueProblem(
                "a picture needs words for those who cannot see it", got="an empty alt", fix="say what it shows"
            )


@dataclass(frozen=True)
class Fact:
    """One key number: its value as people read it, what it is, and a remark."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Key numbers side by side."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Listing:
    """Text shown as it is, letter by letter (a configuration, a log)."""

    text: str


@dataclass(frozen=True)
class Note:
    """A remark set off from the text, such as a limit of the data."""

    text: str


@dataclass(frozen=True)
class Details:
    """Blocks that fold away under a summary."""

    summary: str
    blocks: tuple[Block, ...]


Block = Union[Text, Table, Picture, Facts, Listing, Note, Details]  # noqa: UP007 (recursive, so it must be a string inside Details)


def block_html(block: Block) -> str:
    """Return a block as HTML."""
    return WRITERS[type(block)](block)


def typeset(text: str) -> str:
    """Escape text and keep a number and its per-cent sign on one line."""
    return re.sub(r"(?<=\d) %", "\u00a0%", escape(text))


def paragraphs(text: str) -> str:
    """Turn plain text into paragraphs, escaped, with ``code`` between backticks.

    >>> paragraphs("a < b")
    '<p>a &lt; b</p>'
    """
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
    marked = (re.sub(r"`([^`]+)`", r"<code>\1</code>", typeset(part)) for part in parts)
    return "\n".join(f"<p>{part}</p>" for part in marked)


def _text(block: Text) -> str:
    kind = "text lead" if block.lead else "text"
    return f'<div class="{kind}">\n{paragraphs(block.text)}\n</div>'


def _table(block: Table) -> str:
    table = html_table(
        block.rows, columns=block.columns, caption=block.caption, note=block.note, emphasise=block.emphasise
    )
    return f'<div class="table">\n{table}\n</div>'


def _picture(block: Picture) -> str:
    png = png_bytes(block.image)
    width, height = (round(side / DENSITY) for side in png_size(png))
    source = base64.b64encode(png).decode("ascii")
    caption = f"\n<figcaption>{paragraphs(block.caption)}</figcaption>" if block.caption else ""
    size = "wide" if width > 704 else "middle" if width > 480 else "small"
    return (
        f'<figure>\n<div class="card" tabindex="0"><img class="{size}" src="data:image/png;base64,{source}" '
        f'width="{width}" height="{height}" alt="{escape(block.alt, quote=True)}"></div>{caption}\n</figure>'
    )


def png_bytes(image: Drawable | bytes) -> bytes:
    """Return an image as PNG bytes, drawing it without a date or a software name if it is a figure."""
    if isinstance(image, bytes):
        return image
    stream = io.BytesIO()
    image.savefig(stream, format="png", dpi=FIGURE_DPI, metadata={"Software": None})
    return stream.getvalue()


def png_size(png: bytes) -> tuple[int, int]:
    """Read width and height in pixels from a PNG's header.

    Raises
    ------
    ValueProblem
        If the bytes are not a PNG.
    """
    if len(png) < 24 or not png.startswith(PNG_SIGNATURE):
        raise ValueProblem("a picture must be a PNG", got=repr(png[:8]), fix="save the figure with format='png'")
    return struct.unpack(">II", png[16:24])


def _facts(block: Facts) -> str:
    inside = "\n".join(map(_fact, block.facts))
    return f'<dl class="facts">\n{inside}\n</dl>'


def _fact(fact: Fact) -> str:
    note = f'<dd class="remark">{typeset(fact.note)}</dd>' if fact.note else ""
    return f'<div><dt>{typeset(fact.label)}</dt><dd class="value">{typeset(fact.value)}</dd>{note}</div>'


def _listing(block: Listing) -> str:
    return f'<pre tabindex="0"><code>{escape(block.text)}</code></pre>'


def _note(block: Note) -> str:
    return f'<aside class="text remark-box">\n{paragraphs(block.text)}\n</aside>'


def _details(block: Details) -> str:
    inside = "\n".join(map(block_html, block.blocks))
    return f"<details>\n<summary>{escape(block.summary)}</summary>\n{inside}\n</details>"


WRITERS: dict[type, Callable[[Any], str]] = {
    Text: _text,
    Table: _table,
    Picture: _picture,
    Facts: _facts,
    Listing: _listing,
    Note: _note,
    Details: _details,
}
