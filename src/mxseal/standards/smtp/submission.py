"""Making a text from an author into a message that may travel (RFC 5322 §3.6).

An MTA passes mail on as it came.  Who is the first to send it has to see to it
that date, author and an identification are there, and that what was meant for
the sender alone is not.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

# RFC 5322 §2.2: field-name = 1*ftext; ftext = %d33-57 / %d59-126.  Blanks before the colon are
# its obsolete syntax (§4.5), which old programs write.
_FIELD: Final = re.compile(rb"(?P<name>[!-9;-~]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*")
_MBOX: Final = re.compile(rb"From [^\n]*\n")
_PRIVATE: Final = frozenset({b"bcc", b"resent-bcc", b"return-path"})
"""RFC 5322 §3.6.3: blind recipients are nobody else's business; RFC 5321 §4.4: who delivers adds Return-Path."""


def finish(octets: bytes, missing: Mapping[str, str]) -> bytes:
    """Take private fields out of the header, and put in what is missing.

    Args:
        octets: a message with CRLF as line end (`read_message`); a text without a header counts as a body.
        missing: fields to add where there is none of that name, for instance ``Date``; ASCII.
    """
    fields, body = _split(octets)
    present = {name for name, _ in fields}
    added = [
        f"{name}: {value}\r\n".encode("ascii")
        for name, value in missing.items()
        if name.lower().encode() not in present
    ]
    kept = [field for name, field in fields if name not in _PRIVATE]
    return b"".join((*added, *kept, b"\r\n", body))


def field_names(octets: bytes) -> frozenset[str]:
    """The names of the header's fields, in lower case."""
    return frozenset(name.decode("ascii") for name, _ in _split(octets)[0])


def _split(octets: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The fields, each with its name in lower case, and the body."""
    # The line that begins a mail in an mbox file is no field.
    start = found.end() if (found := _MBOX.match(octets)) else 0
    fields = []
    for field in _fields(octets, start):
        fields.append((field["name"].lower(), field[0]))
        start = field.end()
    # RFC 5322 §2.1: an empty line ends the header.  Any other line that is no field ends it, too.
    return fields, octets[start + 2 if octets.startswith(b"\r\n", start) else start :]


def _fields(octets: bytes, start: int) -> Iterator[re.Match[bytes]]:
    while (field := _FIELD.match(octets, start)) is not None:
        yield field
        start = field.end()
