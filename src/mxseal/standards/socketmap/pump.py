"""Octets in, requests out."""

from typing import Final

import msgspec

from mxseal.vocabulary.rejection import Rejection

MAX_REQUEST_OCTETS: Final = 10_256
"""Of a request without its frame: a key of 10,000 octets, Postfix' limit, and a map's name."""
MAX_REPLY_OCTETS: Final = 100_000
"""Of a reply without its frame: Postfix' socketmap_max_reply_size; it defers mail where a reply is longer."""

_MAX_DIGITS: Final = 10
"""Of a length, leading zeros included: Postfix' netstring reader takes no more."""
_SECTION: Final = "socketmap_table(5)"
_TOO_LONG: Final = b"TEMP the answer is longer than socketmap allows"
_COLON, _COMMA = b":"[0], b","[0]


class Request(msgspec.Struct, frozen=True):
    """One question."""

    map_name: str
    key: str
    """As the client wrote it: its case is its own, and octets that are no UTF-8 are lone surrogates (PEP 383)."""

    @property
    def frame(self) -> bytes:
        """The request as it came, or would have without leading zeros."""
        return netstring(f"{self.map_name} {self.key}".encode(errors="surrogateescape"))


class Pump:
    """Collects octets until requests are whole; one for each connection.

    `receive` gives what became whole, in order.  What is framed rightly and is no
    request is a `Rejection`, and the next request is read all the same.  Where
    the framing itself is wrong, the `Rejection` is the last event there will be,
    and `broken` is true.
    """

    __slots__ = ("_buffer", "broken")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.broken = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request is waiting for its rest."""
        return not self._buffer

    def receive(self, octets: bytes) -> list[Request | Rejection]:
        """Takes octets as they come, in pieces of any size."""
        events: list[Request | Rejection] = []
        if self.broken:
            return events
        buffer = self._buffer
        buffer += octets
        position = 0
        while True:
            span = _frame(buffer, position)
            if span is None:
                break
            if isinstance(span, Rejection):
                self.broken = True
                events.append(span)
                buffer.clear()
                return events
            start, end = span
            events.append(parse_request(bytes(buffer[start:end])))
            position = end + 1
        del buffer[:position]
        return events


def parse_request(payload: bytes) -> Request | Rejection:
    """Read what is inside of the frame: the map's name, a blank, and the key."""
    text = payload.decode(errors="surrogateescape")
    name, blank, key = text.partition(" ")
    if not blank:
        what = "a map's name, a blank and a key make a request"
        return Rejection(text, len(text), len(text), what, "request", _SECTION)
    if not name:
        return Rejection(text, 0, 1, "the map's name is missing", "request", _SECTION)
    if not key:
        return Rejection(text, len(text), len(text), "the key is missing", "request", _SECTION)
    return Request(name, key)


def netstring(payload: bytes) -> bytes:
    """Octets in their frame."""
    return b"%d:%b," % (len(payload), payload)


def reply(text: str) -> bytes:
    """A framed reply; ``TEMP`` where it would be longer than `MAX_REPLY_OCTETS`.

    Mail waits then, since any part of an answer would mean something else.
    """
    payload = text.encode()
    return netstring(payload if len(payload) <= MAX_REPLY_OCTETS else _TOO_LONG)


def _frame(buffer: bytearray, at: int) -> tuple[int, int] | Rejection | None:
    """Where the payload of the netstring at `at` begins and ends; None: it is not whole yet."""
    colon = buffer.find(_COLON, at, at + _MAX_DIGITS + 1)
    digits = bytes(buffer[at : at + _MAX_DIGITS + 1 if colon < 0 else colon])
    if (digits or colon == at) and not digits.isdigit():
        return _broken(buffer, at, "a request begins with its length in decimal digits and a colon")
    if colon < 0:
        if len(digits) > _MAX_DIGITS:
            return _broken(buffer, at, f"a length has at most {_MAX_DIGITS} digits")
        return None
    length = int(digits)
    if length > MAX_REQUEST_OCTETS:
        return _broken(buffer, at, f"a request has at most {MAX_REQUEST_OCTETS} octets")
    end = colon + 1 + length
    if end >= len(buffer):
        return None
    if buffer[end] != _COMMA:
        return _broken(buffer, end, "a comma must follow the octets of a request")
    return colon + 1, end


def _broken(buffer: bytearray, at: int, message: str) -> Rejection:
    first = max(0, at - 40)
    shown = bytes(buffer[first : at + 40]).decode("latin-1")
    return Rejection(shown, at - first, at - first + 1, message, "netstring", _SECTION)
