"""As much DER as certificates need: a bounded reader of tag, length, value.

Why not `cryptography.x509`: it refuses whole certificates for defects that no
MTA minds (a negative serial, one odd SAN entry, a duplicate extension that
nobody reads), and re-encodes public keys, while a TLSA record with selector
SPKI(1) is about the octets as they were sent (RFC 6698 §1.2).  Keys and
signatures are `cryptography`'s business all the same (`keys`).
"""

from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31


class Malformed(ValueError):
    """These octets are not the DER that was expected; `offset` is where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class Element(NamedTuple):
    """One tag-length-value: where it begins, where its contents begin and end."""

    data: bytes
    tag: int
    start: int
    inner: int
    end: int

    @property
    def contents(self) -> bytes:
        return self.data[self.inner : self.end]

    @property
    def encoded(self) -> bytes:
        """With tag and length, exactly as it came."""
        return self.data[self.start : self.end]


def read(data: bytes, start: int, limit: int, tag: int | None = None, what: str = "element") -> Element:
    """The element at `start`; raises `Malformed` if it is another than `tag` or leaves `limit`."""
    if start + 2 > limit:
        raise Malformed(f"the {what} is missing or cut off", min(start, limit))
    found = data[start]
    if tag is not None and found != tag:
        raise Malformed(f"not the {what}: tag 0x{found:02x}, expected 0x{tag:02x}", start)
    if found & 0x1F == 0x1F:
        raise Malformed("a tag of several octets, which certificates do not have", start)
    length = data[start + 1]
    inner = start + 2
    if length & 0x80:
        octets = length & 0x7F
        # 0x80 is BER's indefinite length; and nothing here is longer than 16 MiB.
        if not 1 <= octets <= 3 or inner + octets > limit:
            raise Malformed(f"the length of the {what} is not acceptable", start + 1)
        length = int.from_bytes(data[inner : inner + octets])
        inner += octets
    end = inner + length
    if end > limit:
        raise Malformed(f"the {what} is longer than what it is in", start)
    return Element(data, found, start, inner, end)


def children(parent: Element, at_most: int = 1000) -> list[Element]:
    """The elements within a constructed one."""
    found: list[Element] = []
    position = parent.inner
    while position < parent.end:
        if len(found) >= at_most:
            raise Malformed(f"more than {at_most} elements in one", parent.start)
        element = read(parent.data, position, parent.end)
        found.append(element)
        position = element.end
    return found


def whole(data: bytes, tag: int, what: str) -> Element:
    """The element that is all of `data`."""
    element = read(data, 0, len(data), tag, what)
    if element.end != len(data):
        raise Malformed(f"octets behind the end of the {what}", element.end)
    return element


def integer(element: Element) -> int:
    if element.tag != INTEGER or element.inner == element.end:
        raise Malformed("not an integer", element.start)
    return int.from_bytes(element.contents, signed=True)


def bits(element: Element) -> bytes:
    """The octets of a bit string that has no unused bits, as keys and signatures are."""
    if element.tag != BIT_STRING or element.inner == element.end or element.data[element.inner]:
        raise Malformed("not a bit string of whole octets", element.start)
    return element.data[element.inner + 1 : element.end]


def oid(element: Element) -> str:
    """An object identifier in dotted decimal."""
    octets = element.contents
    if element.tag != OBJECT_IDENTIFIER or not octets or len(octets) > 60 or octets[-1] & 0x80:
        raise Malformed("not an object identifier", element.start)
    arcs: list[int] = []
    value = 0
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
