"""Replies to the commands of a mail transaction, and their enhanced status codes (RFC 3463, RFC 2034)."""

import re
from typing import Final, Protocol

import msgspec

# RFC 3463 §2:  status-code = class "." subject "." detail
#               class = "2"/"4"/"5";  subject = 1*3digit;  detail = 1*3digit
_STATUS: Final = re.compile(r"(?P<status>(?P<class>[245])\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]|\Z)")
_MAX_TEXT: Final = 500


class ServerReply(Protocol):
    """A whole reply, as `standards.starttls.Reply` is one."""

    @property
    def code(self) -> int: ...

    @property
    def lines(self) -> tuple[str, ...]:
        """Without code and line end, printable."""
        ...


class Said(msgspec.Struct, frozen=True):
    """What a server said: code, enhanced status code and text."""

    code: int
    status: str = ""
    """For instance ``5.1.1``; empty where the server gives none."""
    text: str = ""
    """One bounded line, printable, without the status."""

    @property
    def is_permanent(self) -> bool:
        """5yz: trying again does not help (RFC 5321 §4.2.1)."""
        return self.code >= 500

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.status, self.text)))


def read_reply(reply: ServerReply) -> Said:
    """Read a reply; a status whose class contradicts the code is part of the text (RFC 2034 §4)."""
    status, texts = "", []
    for line in reply.lines:
        found = _STATUS.match(line)
        if found is not None and found["class"] == str(reply.code)[0]:
            # RFC 2034 §4: each line of a reply has it, and the same one.
            status = status or found["status"]
            line = line[found.end() :].lstrip()  # noqa: PLW2901 - what is left of it
        texts.append(line)
    text = " ".join(filter(None, texts))
    return Said(reply.code, status, text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…")
