"""How are numbers written down? Tables for pages and terminals that claim no more than was measured.

A permutation p-value cannot be smaller than ``1 / (1 + B)``: at that floor the tables say
``< 0.002`` (for B = 500) and never 0. Digits beyond the floor's are not printed, and
what is printed is never below the value itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from brainalign.core.errors import ValueProblem, unknown_name

Kind = Literal["text", "number", "integer", "percent", "p", "flag"]
MISSING = "\u2013"
# Cells with more than this get room to be read in.
LONG_CHARACTERS = 40
MINUS, NARROW_SPACE = "\u2212", "\u202f"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    key
        Which entry of a row it shows; a row without it shows a dash.
    label
        Its heading.
    unit
        Written after the heading, in brackets.
    kind
        How values are written: ``"percent"`` takes shares between 0 and 1, ``"flag"`` takes bools.
    digits
        Decimals of a number or a percentage.
    n_permutations
        For p-values: how many permutations stand behind them.
    """

    key: str
    label: str
    unit: str = ""
    kind: Kind = "text"
    digits: int = 3
    n_permutations: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in WRITERS:
            raise unknown_name(str(self.kind), among=WRITERS, kind="kind of column")

    @property
    def is_numeric(self) -> bool:
        """Whether the values line up on the right."""
        return self.kind not in ("text", "flag")

    @property
    def heading(self) -> str:
        """The label with its unit."""
        unit = self.unit or ("%" if self.kind == "percent" else "")
        return f"{self.label} ({unit})" if unit else self.label

    def write(self, row: Mapping[str, Any]) -> str:
        """Return the row's value as people read it."""
        value = row.get(self.key)
        return MISSING if value is None else WRITERS[self.kind](self, value)


def format_number(value: float, *, digits: int = 3) -> str:
    """Write a number with fixed decimals, a true minus sign and thin spaces between thousands.

    >>> format_number(-0.01234), format_number(12345.6, digits=1), format_number(float("nan"))
    ('\u22120.012', '12\u202f345.6', '\u2013')
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "\u221e" if value > 0 else f"{MINUS}\u221e"
    text = f"{abs(value):,.{digits}f}" if abs(value) >= 10_000 else f"{abs(value):.{digits}f}"
    is_zero = not any(letter in "123456789" for letter in text)
    sign = MINUS if value < 0 and not is_zero else ""
    return sign + text.replace(",", NARROW_SPACE)


def format_p(p: float, *, n_permutations: int | None = None) -> str:
    """Write a p-value no more precisely than its permutations allow, and never as 0.

    >>> format_p(1 / 501, n_permutations=500), format_p(0.0341, n_permutations=500)
    ('< 0.002', '0.035')
    >>> format_p(1 / 200, n_permutations=199)
    '\u2264 0.005'
    """
    if math.isnan(p):
        return MISSING
    if not 0 < p <= 1:
        raise ValueProblem("a p-value lies above 0 and up to 1", got=p, fix="count the identity among the permutations")
    floor = 1 / (1 + n_permutations) if n_permutations else 0.001
    decimals = max(3, math.ceil(-math.log10(floor) - 0.1))
    at_floor = p <= floor * (1 + 1e-9) if n_permutations else p < floor
    if at_floor:
        bound = _ceiling(floor, decimals=decimals)
        sign = "<" if bound > p * (1 + 1e-9) else "\u2264"
        return f"{sign} {bound:.{decimals}f}"
    return f"{_ceiling(p, decimals=decimals):.{decimals}f}"


def _ceiling(value: float, *, decimals: int) -> float:
    """Round up, so that what is printed never claims more than was found (1e-9 forgives binary fractions)."""
    scale = float(10**decimals)
    return math.ceil(value * scale - 1e-9) / scale


WRITERS: dict[str, Callable[[Column, Any], str]] = {
    "text": lambda column, value: str(value),
    "number": lambda column, value: format_number(float(value), digits=column.digits),
    "integer": lambda column, value: format_number(float(value), digits=0),
    "percent": lambda column, value: format_number(100 * float(value), digits=column.digits),
    "p": lambda column, value: format_p(float(value), n_permutations=column.n_permutations),
    "flag": lambda column, value: "yes" if value else "no",
}


def html_table(
    rows: Sequence[Mapping[str, Any]],
    *,
    columns: Sequence[Column],
    caption: str = "",
    note: str = "",
    emphasise: str = "",
) -> str:
    """Return an accessible HTML table: caption, headings with scope, numbers on the right, all text escaped.

    Parameters
    ----------
    rows
        Values by column key.
    columns
        The columns, in order; the first names the row.
    caption, note
        Written above and below.
    emphasise
        Key of a bool that sets a row off.
    """
    head = "".join(_cell("th", column, escape(column.heading), extra=' scope="col"') for column in columns)
    body = "\n".join(_row(row, columns=columns, strong=bool(emphasise and row.get(emphasise))) for row in rows)
    title = f"<caption>{escape(caption)}</caption>\n" if caption else ""
    below = f'\n<p class="note">{escape(note)}</p>' if note else ""
    label = escape(caption or "table", quote=True)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">\n<table>\n{title}'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>{below}"
    )


def _row(row: Mapping[str, Any], *, columns: Sequence[Column], strong: bool) -> str:
    first, *others = columns
    cells = [_cell("th", first, escape(first.write(row)), extra=' scope="row"')]
    cells += [_cell("td", column, escape(column.write(row))) for column in others]
    start = '<tr class="strong">' if strong else "<tr>"
    return f"{start}{''.join(cells)}</tr>"


def _cell(tag: str, column: Column, content: str, *, extra: str = "") -> str:
    kind = "number" if column.is_numeric else "long" if tag == "td" and len(content) > LONG_CHARACTERS else ""
    side = f' class="{kind}"' if kind else ""
    return f"<{tag}{extra}{side}>{content}</{tag}>"


def text_table(rows: Sequence[Mapping[str, Any]], *, columns: Sequence[Column]) -> str:
    """Return the same table as lines of text, columns two spaces apart, for a terminal.

    >>> print(text_table([{"name": "a", "r": 0.5}], columns=[Column("name", "unit"), Column("r", "r", kind="number")]))
    unit      r
    ----  -----
    a     0.500
    """
    grid = [[column.heading for column in columns], *([column.write(row) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in grid) for i in range(len(columns))]
    rule = ["-" * width for width in widths]
    lines = [grid[0], rule, *grid[1:]]
    return "\n".join("  ".join(_padded(line, columns=columns, widths=widths)).rstrip() for line in lines)


def _padded(line: Sequence[str], *, columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    entries = zip(line, columns, widths, strict=True)
    return [text.rjust(width) if column.is_numeric else text.ljust(width) for text, column, width in entries]
