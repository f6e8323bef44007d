"""Host names, addresses and next-hops in one canonical form each.

`HostName` and `Address` are strings whose constructor admits nothing that is
not canonical, so that two of them are equal exactly if they mean the same, and
so that no text from outside reaches a query, a file name or an answer to an
MTA unchecked.
"""

import ipaddress
import re
from typing import Final, Self

import idna
import msgspec

from mxseal.vocabulary.rejection import Rejection, printable

# RFC 1123 §2.1, RFC 5321 §2.3.5: letters, digits and hyphens; and the underscore,
# which MX hosts in the wild use and Postfix accepts.  Whoever needs the strict form
# (RFC 8461 §3.2) asks `HostName.is_strict`.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}\Z")
_STRICT: Final = re.compile(r"[a-z0-9.-]+\Z")
_NOT_IN_LABEL: Final = re.compile(r"[^a-z0-9_-]")
_ONE_LABEL: Final = re.compile(rf"{_LABEL}\Z")
# UTS 46 §2.3: the full stops that separate labels.
_DOTS: Final = ".\u3002\uff0e\uff61"
_DOT: Final = re.compile(f"[{_DOTS}]")
_TOO_LONG: Final = "a host name has at most 253 characters"
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
    """The canonical form of a name that the fast path did not take; raises `InvalidName`."""
    if not text or text in _DOTS:
        raise _refusal(text, 0, len(text), "an empty text is no host name")
    if len(text) > 1000:
        raise _refusal(text, 253, len(text), _TOO_LONG)
    end = len(text) - (text[-1] in _DOTS)
    # Label by label, so that places in the text stay right whatever the mapping does to a label's length.
    labels: list[str] = []
    start = 0
    for dot in _DOT.finditer(text, 0, end):
        labels.append(_canonical_label(text, start, dot.start()))
        start = dot.end()
    labels.append(_canonical_label(text, start, end))
    name = ".".join(labels)
    if len(name) > 253:
        raise _refusal(text, min(253, len(text)), len(text), _TOO_LONG)
    if _ALL_NUMERIC.match(name):
        what = "an IP address" if _ADDRESS_LIKE.match(name) else "a number"
        raise _refusal(text, 0, len(text), f"{what} is no host name")
    return name


def _canonical_label(text: str, start: int, end: int) -> str:
    label = text[start:end]
    if not label:
        raise _refusal(text, start, start + 1, "a label is empty (two dots, or a leading dot)")
    if label.isascii():
        label = label.lower()
        bad = _NOT_IN_LABEL.search(label)
        if bad is not None:
            at = start + bad.start()
            raise _refusal(text, at, at + 1, "a character that no host name has")
        if label[0] == "-" or label[-1] == "-":
            at = start if label[0] == "-" else end - 1
            raise _refusal(text, at, at + 1, "a label begins or ends with a hyphen")
    else:
        try:
            label = idna.encode(label, uts46=True, transitional=False).decode("ascii")
        except idna.IDNAError as error:
            what = f"not an internationalized label: {printable(str(error), 120)}"
            raise _refusal(text, start, end, what, "RFC 5891 §4") from None
        # The mapping of UTS 46 knows characters that turn into a dot and more (U+2488 is "1.").
        if not _ONE_LABEL.match(label):
            raise _refusal(text, start, end, "not an internationalized label", "RFC 5891 §4")
    if len(label) > 63:
        raise _refusal(text, start, end, "a label has at most 63 characters")
    if label.startswith("xn--") and not _is_punycode(label):
        what = "an A-label that no U-label stands behind"
        raise _refusal(text, start, end, what, "RFC 5890 §2.3.2.1")
    return label


def _is_punycode(label: str) -> bool:
    """Whether an A-label decodes to a text that encodes to it again (RFC 3492).

    The repertoire of RFC 5892 is not asked for: names from before it, with
    emoji for instance, are delegated and get mail.  `HostName.unicode` shows
    such names as they are.
    """
    encoded = label[4:].encode("ascii")
    try:
        decoded = encoded.decode("punycode")
        return not decoded.isascii() and decoded.encode("punycode") == encoded and bool(decoded.encode())
    except (UnicodeError, OverflowError, ValueError):
        return False


def _refusal(text: str, start: int, end: int, message: str, section: str = "RFC 1123 §2.1") -> InvalidName:
    return InvalidName(Rejection(text, start, end, message, "host name", section))


class Address(str):
    """An IPv4 or IPv6 address in canonical text (RFC 5952 §4).  Raises `InvalidName`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if type(text) is cls:
            return text
        try:
            ip = ipaddress.ip_address(text)
        except ValueError:
            refusal = Rejection(text, 0, len(text), "not an IPv4 or IPv6 address", "", "RFC 5952 §4")
            raise InvalidName(refusal) from None
        # A zone (fe80::1%eth0) means something on one machine only, and may hold any character.
        if "%" in text:
            at = text.index("%")
            raise InvalidName(Rejection(text, at, len(text), "an address has no zone", "", "RFC 4007 §11"))
        return super().__new__(cls, str(ip))

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(str(self))

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self else 4

    @property
    def is_elsewhere(self) -> bool:
        """Whether it can be another machine's, be that in a private network: not loopback, link-local, multicast, …

        An IPv4 address inside of IPv6 counts as the IPv4 address.
        """
        ip = self.ip
        if isinstance(ip, ipaddress.IPv6Address) and (embedded := ip.ipv4_mapped or _nat64(ip)):
            ip = embedded
        here = ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.is_multicast or ip in _BROADCAST
        return not (here or ip in _THIS_NETWORK)

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
            if ip not in _GLOBAL_UNICAST:
                return False
        return ip.is_global and not ip.is_multicast


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address within the well-known prefix of RFC 6052 §2.1."""
    return ipaddress.IPv4Address(ip.packed[12:]) if ip in _NAT64 else None


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_BROADCAST: Final = ipaddress.IPv4Network("255.255.255.255/32")
_THIS_NETWORK: Final = ipaddress.IPv4Network("0.0.0.0/8")
"""Linux takes 0.0.0.0 for 127.0.0.1; the rest is nobody's."""
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that IANA has given out so far; `ipaddress` counts much that is unassigned or deprecated as global."""


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
    found = _NEXT_HOP.fullmatch(text)
    if found is None:
        return _not_a_next_hop(text)
    port = None
    if found["port"] is not None:
        port = int(found["port"]) if _PORT.fullmatch(found["port"]) else 0
        if not 0 < port < 65536:
            return _reject(text, *found.span("port"), "a port is a number from 1 to 65535")
    if found["literal"] is not None:
        return _literal(text, *found.span("literal"), port)
    start, end = found.span("name")
    parent = text.startswith(".")
    host = parse_host_name(text[start + parent : end])
    if isinstance(host, Rejection):
        offset = start + parent
        return _reject(text, offset + host.start, offset + host.end, host.message)
    return NextHop(host=host, port=port, is_parent=parent)


_NEXT_HOP: Final = re.compile(
    r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[^:\[\]]*))?", re.DOTALL
)
_PORT: Final = re.compile(r"[0-9]{1,5}")


def _reject(text: str, start: int, end: int, message: str) -> Rejection:
    return Rejection(text, start, end, message, "next-hop", "postconf(5) smtp_tls_policy_maps")


def _literal(text: str, start: int, end: int, port: int | None) -> NextHop | Rejection:
    """What is between brackets: an address, or a host whose MX records are not looked up."""
    inner = text[start:end]
    tagged = inner[:5].lower() == "ipv6:"  # RFC 5321 §4.1.3
    try:
        address = Address(inner[5:] if tagged else inner)
    except InvalidName:
        if tagged or ":" in inner or _ADDRESS_LIKE.match(inner):
            return _reject(text, start, end, "not an address")
    else:
        if tagged and address.version != 6:
            return _reject(text, start, end, "'IPv6:' and an IPv4 address behind it")
        return NextHop(address=address, port=port, uses_mx=False)
    host = parse_host_name(inner)
    if isinstance(host, Rejection):
        return _reject(text, start + host.start, start + host.end, host.message)
    return NextHop(host=host, port=port, uses_mx=False)


def _not_a_next_hop(text: str) -> Rejection:
    try:
        address = Address(text)
    except InvalidName:
        pass
    else:
        return _reject(text, 0, len(text), f"an address is written in brackets: '[{address}]'")
    if text.startswith("["):
        close = text.find("]")
        if close < 0:
            return _reject(text, len(text), len(text), "a closing bracket is missing")
        return _reject(text, close + 1, len(text), "only ':' and a port may follow the bracket")
    bad = re.search(r"[\[\]]", text) or re.search(r":(?=.*:)", text, re.DOTALL)
    at = bad.start() if bad else 0
    return _reject(text, at, at + 1, "a character that no host name has")
