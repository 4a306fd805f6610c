"""How do results reach a reader? One HTML file that needs nothing else: no network, no folder beside it.

Its own content policy forbids the browser to load anything from elsewhere, so a page that
was sent on shows what it showed when it was written. The same page gives the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from brainalign.core.errors import StoreProblem, ValueProblem
from brainalign.report.blocks import (
    Block,
    Details,
    Fact,
    Facts,
    Listing,
    Note,
    Picture,
    Table,
    Text,
    block_html,
    paragraphs,
)
from brainalign.report.look import CSS, icon
from brainalign.report.tables import Column

__all__ = [
    "Block",
    "Column",
    "Details",
    "Fact",
    "Facts",
    "Listing",
    "Note",
    "Page",
    "Picture",
    "Section",
    "Table",
    "Text",
    "render",
    "write_page",
]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole report.

    Parameters
    ----------
    title, subtitle
        What it is about, and the question it answers.
    sections
        In reading order.
    footer
        Paragraphs at the end, such as versions and seeds. No date: the same results give the same page.
    """

    title: str
    subtitle: str = ""
    sections: tuple[Section, ...] = ()
    footer: str = ""

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ValueProblem("a page needs a title", got=repr(self.title), fix="say what the page is about")


def render(page: Page) -> str:
    """Return the page as one self-contained HTML document."""
    names = anchors([section.title for section in page.sections])
    sections = "\n".join(_section(section, name) for section, name in zip(page.sections, names, strict=True))
    subtitle = f"\n{paragraphs(page.subtitle)}" if page.subtitle else ""
    footer = f"\n<footer>\n{paragraphs(page.footer)}\n</footer>" if page.footer else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(page.title)}</title>
<link rel="icon" href="{icon()}">
<style>{CSS}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<div class="layout">
<header>
<h1>{escape(page.title)}</h1>{subtitle}
</header>
{_contents(page.sections, names)}
<main id="content">
{sections}
</main>{footer}
</div>
</body>
</html>
"""


def write_page(page: Page, path: Path) -> Path:
    """Write the page to a file and return its path; its folder is made if need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(page), encoding="utf-8", newline="\n")
    except OSError as error:
        raise StoreProblem(
            "a report cannot be written", got=f"{path}: {error.strerror or error}", fix="pick a writable folder"
        ) from error
    return path


def anchors(titles: list[str]) -> list[str]:
    """Turn titles into the names that links point at, each one once.

    >>> anchors(["Held-out scores", "Held-out scores", "?"])
    ['held-out-scores', 'held-out-scores-2', 'section']
    """
    names: list[str] = []
    for title in titles:
        base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        # "content" names the main element.
        candidates = [base, *(f"{base}-{number}" for number in range(2, len(titles) + 3))]
        names.append(next(name for name in candidates if name not in (*names, "content")))
    return names


def _section(section: Section, name: str) -> str:
    inside = "\n".join(map(block_html, section.blocks))
    start = f'<section id="{name}" aria-labelledby="{name}-title">'
    return f'{start}\n<h2 id="{name}-title">{escape(section.title)}</h2>\n{inside}\n</section>'


def _contents(sections: tuple[Section, ...], names: list[str]) -> str:
    if not sections:
        return ""
    links = "\n".join(
        f'<li><a href="#{name}">{escape(section.title)}</a></li>' for section, name in zip(sections, names, strict=True)
    )
    return f'<nav aria-label="Contents">\n<div>\n<p>Contents</p>\n<ol>\n{links}\n</ol>\n</div>\n</nav>'
