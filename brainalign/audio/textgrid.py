"""What does a TextGrid say? Praat's text format, long and short, read as Praat reads it.

Praat takes free-standing numbers, quoted strings and flags in angle brackets, in order, and
skips everything else; the long form is the short form with words in between. So one reader
serves both.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from brainalign.core.errors import UnreadableFile
from brainalign.core.time import exact

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(<[^>\s]*>)|![^\n]*|(\S+)')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Mark:
    """An interval, or a point (which stops where it starts), in exact seconds."""

    start: Fraction
    stop: Fraction
    label: str


@dataclass(frozen=True)
class Tier:
    """A tier: its name, whether it holds intervals, and its marks in the file's order."""

    name: str
    is_intervals: bool
    marks: tuple[Mark, ...]


def decode(path: Path) -> str:
    """Return a text file's text: UTF-16 or UTF-8 by its mark, UTF-8 without one."""
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    if encoding != "utf-16" and b"\0" in content:
        raise UnreadableFile(
            "a file is binary, or UTF-16 without its mark", got=path.name, fix="save it as text in UTF-8"
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            "a text file is not in a known encoding", got=f"{path.name}: {error}", fix="save it as UTF-8"
        ) from error


def read_tiers(path: Path) -> tuple[Tier, ...]:
    """Read all tiers of a TextGrid."""
    reader = _Reader(path)
    if "ooTextFile" not in reader.string() or reader.string() != "TextGrid":
        raise reader.damaged("it does not begin as a TextGrid")
    reader.number()
    reader.number()
    if reader.next(kind="flag") != "<exists>":
        return ()
    return tuple(_tier(reader) for _ in range(reader.count()))


def _tier(reader: _Reader) -> Tier:
    kind, name = reader.string(), reader.string()
    if kind not in ("IntervalTier", "TextTier"):
        raise reader.damaged(f"{kind!r} is no kind of tier")
    reader.number()
    reader.number()
    is_intervals = kind == "IntervalTier"
    return Tier(name, is_intervals, tuple(_mark(reader, is_intervals) for _ in range(reader.count())))


def _mark(reader: _Reader, is_interval: bool) -> Mark:
    start = reader.number()
    stop = reader.number() if is_interval else start
    if stop < start:
        raise reader.damaged(f"an interval ends before it starts ({float(start):g} to {float(stop):g} s)")
    return Mark(start, stop, reader.string())


class _Reader:
    """Hand out a file's values one after another, and say where it broke off.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = self._read(decode(path))

    def string(self) -> str:
        """Return the next value, a string."""
        return self.next(kind="string")

    def number(self) -> Fraction:
        """Return the next value, an exact number."""
        return exact(self.next(kind="number"))

    def count(self) -> int:
        """Return the next value, a whole number."""
        value = self.number()
        if value.denominator != 1 or value < 0:
            raise self.damaged(f"a count is {float(value):g}")
        return int(value)

    def next(self, *, kind: str) -> str:
        """Return the next value, which has to be of this kind."""
        found, value = next(self._values, ("end", "the file ends"))
        if found != kind:
            raise self.damaged(
                f"{value!r} where a {kind} should be" if found != "end" else f"{value} before its last {kind}"
            )
        return value

    def damaged(self, why: str) -> UnreadableFile:
        """Build the error for a file that is no proper TextGrid."""
        return UnreadableFile(
            "a TextGrid cannot be read", got=f"{self._path.name}: {why}", fix="save it again from Praat as a text file"
        )

    @staticmethod
    def _read(text: str) -> Iterator[tuple[str, str]]:
        for match in _TOKEN.finditer(text):
            string, flag, word = match.groups()
            if string is not None:
                yield "string", string.replace('""', '"')
            elif flag is not None:
                yield "flag", flag
            elif word is not None and _NUMBER.fullmatch(word):
                yield "number", word
