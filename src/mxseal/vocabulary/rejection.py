"""Why a text was not accepted: which rule, where, and who says so."""

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

    def __str__(self) -> str:
        """One line, for logs and findings."""
        place = f" at character {self.start + 1}" if self.text else ""
        source = f" ({self.section})" if self.section else ""
        return f"{self.message}{place}{source}"

    def with_caret(self, width: int = 100) -> str:
        """The message with the line in question below, and carets under the place.

        Characters that are not printable are shown as escapes, so that hostile
        text cannot act on a terminal; long lines are cut around the place.
        """
        line_start = self.text.rfind("\n", 0, self.start) + 1
        line_end = self.text.find("\n", self.start)
        line = self.text[line_start : line_end if line_end >= 0 else len(self.text)].rstrip("\r")
        start = min(self.start - line_start, len(line))
        end = max(min(self.end - line_start, len(line)), start)
        first = max(0, start - width // 2)
        shown = line[first : first + width]
        before = "".join(map(_printable, shown[: start - first]))
        marked = "".join(map(_printable, shown[start - first : end - first]))
        after = "".join(map(_printable, shown[end - first :]))
        lead = "…" if first else ""
        trail = "…" if first + width < len(line) else ""
        number = self.text.count("\n", 0, self.start) + 1
        where = f"line {number}, column {start + 1}"
        rule = f", rule {self.rule}" if self.rule else ""
        section = f" ({self.section}{rule})" if self.section else ""
        return (
            f"{self.message}{section}\n"
            f"  {where}:\n"
            f"    {lead}{before}{marked}{after}{trail}\n"
            f"    {' ' * (len(lead) + len(before))}{'^' * max(1, len(marked))}"
        )


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def printable(text: str, limit: int = 500) -> str:
    """Text from outside, made safe for a terminal, a log line or a page: one line, bounded."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return "".join(map(_printable, cut))
