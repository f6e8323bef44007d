"""SMTP replies: lines put together within bounds (RFC 5321 §4.2)."""

import re
from typing import Final

import msgspec

from mxseal.vocabulary.rejection import printable

MAX_LINE: Final = 2048
"""Octets of one reply line, line end included.

RFC 5321 §4.5.3.1.5 allows 512.  Servers in the wild send longer ones (a URL in
a refusal, a long AUTH list), and Postfix as a client takes 2048 (its
`line_length_limit`), so nothing that Postfix would deliver to fails here.
"""

MAX_LINES: Final = 100
"""Lines of one reply.  The longest honest EHLO reply has some thirty."""

MAX_REPLY: Final = 64 * 1024
"""Octets of one reply, all lines together."""

# RFC 5321 §4.2:
#   Reply-line     =  *( Reply-code "-" [ textstring ] CRLF )
#                     Reply-code [ SP textstring ] CRLF
#   Reply-code     =  %x32-35 %x30-35 %x30-39
# The second digit is taken up to 9: codes like 571 and 590 are out there, and a client
# decides by the first digit anyway (RFC 5321 §4.2.1, last paragraphs).
# textstring is HTAB and printable ASCII; whatever else comes is kept and shown escaped.
_REPLY_LINE: Final = re.compile(
    rb"(?P<code>[2-5][0-9][0-9])(?:(?P<separator>[ -])(?P<textstring>.*))?\Z", re.DOTALL
)


class Reply(msgspec.Struct, frozen=True):
    """One whole reply.  `lines` come without code and line end, made printable."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines as one."""
        return " ".join(line for line in self.lines if line)

    @property
    def is_positive(self) -> bool:
        """Positive completion, 2yz (RFC 5321 §4.2.1)."""
        return 200 <= self.code <= 299

    def __str__(self) -> str:
        """One bounded line for people."""
        return printable(f"{self.code} {self.text}".rstrip(), 500)


class BrokenReply(msgspec.Struct, frozen=True):
    """What came is no reply, or an endless one; nothing behind it can be trusted."""

    detail: str


class ReplyReader:
    """Octets in, replies out; how the network cut the octets makes no difference.

    `receive` takes octets; `next_reply` gives the next whole reply, None while
    octets are missing, or a `BrokenReply`, after which it gives the same again.
    The caller reads no more than it asks for, so whoever feeds it without ever
    calling `next_reply` bounds `waiting` himself.

    Bare LF ends a line like CRLF, as in Postfix; that is safe here, because octets
    behind the reply that precedes TLS are refused whatever they look like.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._lines: list[str] = []
        self._code = b""
        self._octets = 0
        self._broken: BrokenReply | None = None

    @property
    def waiting(self) -> int:
        """How many octets lie here that belong to no reply yet given out."""
        return self._octets + len(self._buffer)

    def receive(self, data: bytes) -> None:
        """Take octets from the peer."""
        if self._broken is None:
            self._buffer += data

    def next_reply(self) -> Reply | BrokenReply | None:
        """The next reply; see the class."""
        while self._broken is None:
            line = self._next_line()
            if line is None:
                return self._broken
            reply = self._take(line)
            if reply is not None:
                return reply
        return self._broken

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched, MAX_LINE)
        if end < 0:
            self._searched = min(len(self._buffer), MAX_LINE)
            if len(self._buffer) >= MAX_LINE:
                self._break(f"a reply line of more than {MAX_LINE} octets")
            elif self._octets + len(self._buffer) > MAX_REPLY:
                self._break(f"a reply of more than {MAX_REPLY} octets")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        self._octets += end + 1
        return line.removesuffix(b"\r")

    def _take(self, line: bytes) -> Reply | None:
        """Add a line to the reply; the reply, if it was the last line."""
        found = _REPLY_LINE.match(line)
        if found is None:
            self._break(f"not an SMTP reply: {_shown(line, 80)!r}")
            return None
        code = found["code"]
        if self._lines and code != self._code:
            # RFC 5321 §4.2.1: "the reply code on each of the lines MUST be the same".
            self._break(f"the code changes within a reply, from {self._code.decode()} to {code.decode()}")
            return None
        if self._octets > MAX_REPLY:
            self._break(f"a reply of more than {MAX_REPLY} octets")
            return None
        self._code = code
        self._lines.append(_shown(found["textstring"] or b""))
        if found["separator"] != b"-":
            reply = Reply(int(code), tuple(self._lines))
            self._lines, self._octets = [], 0
            return reply
        if len(self._lines) >= MAX_LINES:
            self._break(f"a reply of more than {MAX_LINES} lines")
        return None

    def _break(self, detail: str) -> None:
        self._broken = BrokenReply(detail)
        self._buffer.clear()
        self._lines.clear()


def _shown(text: bytes, limit: int = MAX_LINE) -> str:
    """Octets of the peer as printable text: UTF-8 where it is (RFC 6531 §3.7.4), else escapes."""
    return printable(text.decode("utf-8", "backslashreplace"), limit)
