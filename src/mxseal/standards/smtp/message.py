"""The mail data: a message as DATA sends it (RFC 5321 §4.5.2, RFC 5322 §2.1)."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from mxseal.vocabulary.rejection import Rejection

MAX_HOPS: Final = 100
"""Received fields that a message may have; with more it goes round in circles (RFC 5321 §6.3)."""

_PIECE: Final = 64 * 1024
_STRAY: Final = re.compile(rb"\r(?!\n)")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_LEADING_DOT: Final = re.compile(rb"^\.", re.MULTILINE)
_HEADER_END: Final = re.compile(rb"^\r\n", re.MULTILINE)
_RECEIVED: Final = re.compile(rb"^received[ \t]*:", re.MULTILINE | re.IGNORECASE)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Header and body with CRLF as line end everywhere, and what a sender needs to know of them."""

    octets: bytes
    eight_bit: bool
    """Whether it has octets above 127, so that it needs 8BITMIME (RFC 6152 §2)."""
    utf8_header: bool
    """Whether its header has them as UTF-8, so that it needs SMTPUTF8 (RFC 6531 §3.4)."""
    hops: int = 0
    """How many Received fields it has."""

    def pieces(self) -> Iterator[bytes]:
        """The message with leading dots doubled, in pieces of bounded size, without the final dot."""
        start, octets = 0, self.octets
        while start < len(octets):
            end = start + _PIECE
            if end < len(octets):
                # Each piece begins at a line, so that dots are doubled at lines only.  A line that is
                # longer than a piece makes a long piece.
                newline = octets.rfind(b"\n", start, end)
                end = (octets.find(b"\n", end) if newline < 0 else newline) + 1 or len(octets)
            yield _LEADING_DOT.sub(b"..", octets[start:end])
            start = end


def read_message(octets: bytes) -> Message | Rejection:
    """Make a message fit for DATA.

    A line ends with CRLF on the wire and with nothing else (RFC 5321 §2.3.8), because
    servers that see the end of a mail behind a bare CR or LF can be made to take what
    follows for another mail.  So bare LF, the line end of files, becomes CRLF; a CR that
    ends no line becomes a space, as Postfix makes it; and the last line gets its end.
    Long lines stay as they are, since a cut would break signatures.
    """
    nul = octets.find(b"\0")
    if nul >= 0:
        return Rejection(
            "", 0, 0, f"octet {nul + 1} of the message is NUL, which mail cannot carry", "", "RFC 2045 §2.8"
        )
    octets = _BARE_LF.sub(b"\r\n", _STRAY.sub(b" ", octets))
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    end = _HEADER_END.search(octets)
    header = octets[: end.start()] if end else octets
    return Message(
        octets=octets,
        eight_bit=not octets.isascii(),
        utf8_header=not header.isascii() and _is_utf8(header),
        hops=len(_RECEIVED.findall(header)),
    )


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
