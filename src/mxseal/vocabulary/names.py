"""Host names, addresses and next-hops in one canonical form each.

`HostName` and `Address` are strings whose constructor admits nothing that is
not canonical, so that two of them are equal exactly if they mean the same, and
so that no text from outside reaches a query, a file name or an answer to an
MTA unchecked.
"""

import ipaddress
import re
from typing import Final, NoReturn, Self

import idna
import msgspec

from mxseal.vocabulary.rejection import Rejection

# RFC 1123 §2.1, RFC 5321 §2.3.5: letters, digits and hyphens; and the underscore,
# which MX hosts in the wild use and Postfix accepts.  Whoever needs the strict form
# (RFC 8461 §3.2) asks `HostName.is_strict`.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}\Z")
_STRICT: Final = re.compile(r"[a-z0-9.-]+\Z")
_ALL_NUMERIC: Final = re.compile(r"[0-9.]+\Z")
_ADDRESS_LIKE: Final = re.compile(r"[0-9]+(?:\.[0-9]+){3}\Z")


class InvalidName(ValueError):
    """A text is no host name, address or next-hop; `rejection` says where and why."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection


class HostName(str):
    """A fully qualified domain name: A-labels, lower case, no trailing dot.

    `HostName("Bücher.Example.")` is ``xn--bcher-kva.example`` (RFC 5891 with the
    mapping of UTS 46, as mail clients apply it).  Raises `InvalidName`.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if type(text) is cls:
            return text
        if _HOST_NAME.match(text) and "xn--" not in text and not _ALL_NUMERIC.match(text):
            return super().__new__(cls, text)
        return super().__new__(cls, _canonical(text))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.split("."))

    @property
    def parent(self) -> "HostName | None":
        """The name without its first label; None for a top-level domain."""
        _, dot, rest = self.partition(".")
        return HostName(rest) if dot else None

    @property
    def is_strict(self) -> bool:
        """Whether it is a host name in the letter of RFC 1123 §2.1, without underscores."""
        return bool(_STRICT.match(self))

    @property
    def unicode(self) -> str:
        """For people: the name with U-labels, or as it is where that is not reversible."""
        if "xn--" not in self:
            return str(self)
        try:
            return idna.decode(self)
        except idna.IDNAError:
            return str(self)

    def is_within(self, ancestor: str) -> bool:
        """Whether this name is `ancestor` or below it."""
        return self == ancestor or self.endswith("." + ancestor)


def parse_host_name(text: str) -> HostName | Rejection:
    """Like `HostName(text)`, for texts of the other side: gives the reason as a value."""
    try:
        return HostName(text)
    except InvalidName as error:
        return error.rejection


def _canonical(text: str) -> str:
    def refuse(
        message: str, start: int = 0, end: int | None = None, section: str = "RFC 1123 §2.1"
    ) -> NoReturn:
        raise InvalidName(
            Rejection(text, start, len(text) if end is None else end, message, "host name", section)
        )

    name = text.removesuffix(".")
    if not name:
        refuse("an empty text is no host name")
    if len(name) > 1000:
        refuse("a host name has at most 253 characters", 253)
    if name.isascii():
        name = name.lower()
    else:
        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
        except idna.IDNAError as error:
            refuse(f"not an internationalized domain name: {str(error)[:120]}", section="RFC 5891 §4")
    position = 0
    for label in name.split("."):
        if not label:
            refuse("a label is empty (two dots, or a leading dot)", position, position + 1)
        if len(label) > 63:
            refuse("a label has at most 63 characters", position, position + len(label))
        if not re.fullmatch(_LABEL, label):
            bad = re.search(r"[^a-z0-9_-]", label)
            at = position + (bad.start() if bad else 0 if label[0] == "-" else len(label) - 1)
            what = "a character that no host name has" if bad else "a label begins or ends with a hyphen"
            refuse(what, min(at, len(text)), min(at + 1, len(text)))
        if label.startswith("xn--"):
            try:
                idna.ulabel(label)
            except idna.IDNAError:
                refuse(
                    "an A-label that no U-label stands behind",
                    position,
                    position + len(label),
                    "RFC 5890 §2.3.2.1",
                )
        position += len(label) + 1
    if len(name) > 253:
        refuse("a host name has at most 253 characters", 0)
    if _ALL_NUMERIC.match(name):
        what = "an IP address" if _ADDRESS_LIKE.match(name) else "a number"
        refuse(f"{what} is no host name")
    return name


class Address(str):
    """An IPv4 or IPv6 address in canonical text (RFC 5952 §4).  Raises `InvalidName`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if type(text) is cls:
            return text
        try:
            return super().__new__(cls, str(ipaddress.ip_address(text)))
        except ValueError:
            raise InvalidName(
                Rejection(text, 0, len(text), "not an IPv4 or IPv6 address", "", "RFC 5952 §4")
            ) from None

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(str(self))

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self else 4

    @property
    def is_global(self) -> bool:
        """Whether it is a public unicast address: neither private, loopback, link-local nor multicast.

        An IPv4 address inside of IPv6 (mapped, 6to4, NAT64) counts as the IPv4 address.
        """
        ip = self.ip
        if isinstance(ip, ipaddress.IPv6Address):
            embedded = ip.ipv4_mapped or ip.sixtofour or _nat64(ip)
            if embedded is not None:
                return Address(str(embedded)).is_global
        return ip.is_global and not ip.is_multicast


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address within the well-known prefix of RFC 6052 §2.1."""
    return ipaddress.IPv4Address(ip.packed[12:]) if ip in _NAT64 else None


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class NextHop(msgspec.Struct, frozen=True):
    """What an MTA asks about: the right side of an address, or a relay host.

    ======================  =================================================
    ``example.com``         a domain: its MX hosts are looked up
    ``example.com:587``     the same, with a port other than 25
    ``[mx.example.com]``    this host itself, no MX lookup
    ``[192.0.2.1]:587``     an address (also ``[IPv6:2001:db8::1]``)
    ``.example.com``        Postfix asking for the parents of a domain
    ======================  =================================================

    The forms are those of Postfix' `smtp_tls_policy_maps` (postconf(5)) and of
    the address literals of RFC 5321 §4.1.3.
    """

    host: HostName | None = None
    address: Address | None = None
    port: int | None = None
    uses_mx: bool = True
    is_parent: bool = False

    def __str__(self) -> str:
        """The canonical form, which parses to an equal value."""
        if self.address is not None:
            inner = f"IPv6:{self.address}" if self.address.version == 6 else str(self.address)
        else:
            inner = str(self.host)
        text = inner if self.uses_mx else f"[{inner}]"
        if self.is_parent:
            text = f".{text}"
        return text if self.port is None else f"{text}:{self.port}"


def parse_next_hop(text: str) -> NextHop | Rejection:
    """Read a next-hop; see `NextHop` for the forms."""

    def reject(message: str, start: int, end: int) -> Rejection:
        return Rejection(text, start, end, message, "next-hop", "postconf(5) smtp_tls_policy_maps")

    rest, port = text, None
    head, colon, tail = text.rpartition(":")
    if colon and (text.startswith("[") == head.endswith("]")) and ":" not in head.partition("]")[2]:
        if not (tail.isascii() and tail.isdigit() and len(tail) <= 5 and 0 < int(tail) < 65536):
            return reject("a port is a number from 1 to 65535", len(head) + 1, len(text))
        rest, port = head, int(tail)
    if rest.startswith("["):
        if not rest.endswith("]"):
            return reject("a closing bracket is missing", len(rest), len(rest))
        inner = rest[1:-1]
        literal = inner[5:] if inner[:5].lower() == "ipv6:" else inner
        try:
            return NextHop(address=Address(literal), port=port, uses_mx=False)
        except InvalidName:
            if literal is not inner or _ADDRESS_LIKE.match(inner):
                return reject("not an address", 1, 1 + len(inner))
        host = parse_host_name(inner)
        if isinstance(host, Rejection):
            return reject(host.message, 1 + host.start, 1 + host.end)
        return NextHop(host=host, port=port, uses_mx=False)
    parent = rest.startswith(".")
    host = parse_host_name(rest[1:] if parent else rest)
    if isinstance(host, Rejection):
        return reject(host.message, host.start + parent, host.end + parent)
    return NextHop(host=host, port=port, is_parent=parent)
