"""Why a text was not accepted: which rule, where, and who says so."""

import unicodedata
from typing import Final

import msgspec


class Rejection(msgspec.Struct, frozen=True):
    """A text from outside that breaks a rule.

    Parsers return it instead of raising, because a wrong text of the other
    side is an observation.  `start` and `end` are character offsets into
    `text`; `start == end` points between two characters.
    """

    text: str
    start: int
    end: int
    message: str
    """One sentence without a final full stop: what is wrong, and what would be right."""
    rule: str = ""
    """The rule as the RFC names it, for instance ``sts-id``."""
    section: str = ""
    """For instance ``RFC 8461 §3.1``."""

    @property
    def line(self) -> int:
        """The line in which the place is, counted from 1."""
        return self.text.count("\n", 0, self.start) + 1

    @property
    def column(self) -> int:
        """The place in its line, in characters, counted from 1."""
        return min(self.start, len(self.text)) - self._line_start + 1

    @property
    def _line_start(self) -> int:
        return self.text.rfind("\n", 0, self.start) + 1

    def __str__(self) -> str:
        """One line, for logs and findings."""
        place = f" at character {self.start + 1}" if self.text else ""
        if "\n" in self.text:
            place = f" in line {self.line}, character {self.column}"
        source = f" ({self.section})" if self.section else ""
        return f"{_escaped(self.message)}{place}{source}"

    def with_caret(self, width: int = 100) -> str:
        """The message with the line in question below, and carets under the place.

        Characters that are not printable are shown as escapes, so that hostile
        text cannot act on a terminal; long lines are cut around the place.
        """
        line_start = self._line_start
        line_end = self.text.find("\n", line_start)
        line = self.text[line_start : line_end if line_end >= 0 else len(self.text)].rstrip("\r")
        start = min(self.start - line_start, len(line))
        end = max(min(self.end - line_start, len(line)), start)
        first = max(0, start - width // 2)
        cut = line[first : first + width]
        lead = "…" if first else ""
        trail = "…" if first + width < len(line) else ""
        before = lead + _escaped(cut[: start - first])
        marked = _escaped(cut[start - first : end - first])
        after = _escaped(cut[end - first :]) + trail
        rule = f", rule {self.rule}" if self.rule else ""
        section = f" ({self.section}{rule})" if self.section else ""
        return (
            f"{_escaped(self.message)}{_escaped(section)}\n"
            f"  line {self.line}, column {self.column}:\n"
            f"    {before}{marked}{after}\n"
            f"    {' ' * _columns(before)}{'^' * max(1, _columns(marked))}"
        )


_NO_WIDTH: Final = ("Mn", "Me")
"""Marks that stand on the character before them; not all have a combining class (U+0901 for one)."""


def _columns(text: str) -> int:
    """How many columns a terminal takes for a printable text."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in _NO_WIDTH else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def printable(text: str, limit: int = 500) -> str:
    """Text from outside, made safe for a terminal, a log line or a page: one line, bounded."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return _escaped(cut)
