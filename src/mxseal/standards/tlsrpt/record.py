"""The TXT record that asks for reports, and the destinations in it (RFC 8460 §3)."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from mxseal.vocabulary.fields import Field, Grammar, meant_texts, read_fields, select_text
from mxseal.vocabulary.names import Address, HostName, InvalidName, parse_host_name
from mxseal.vocabulary.observations import TextData
from mxseal.vocabulary.rejection import Rejection

MAX_DESTINATIONS: Final = 10
"""How many destinations are used; a record with a thousand must not make a thousand mails."""
MAX_URI_LENGTH: Final = 2_000

# tlsrpt-record  = tlsrpt-version 1*(field-delim tlsrpt-field) [field-delim]
# tlsrpt-field   = tlsrpt-rua / tlsrpt-extension    ; tlsrpt-rua is required
# field-delim    = *WSP ";" *WSP
# tlsrpt-version = %s"v=TLSRPTv1"
# tlsrpt-rua     = %s"rua=" tlsrpt-uri *(*WSP "," *WSP tlsrpt-uri)
# tlsrpt-uri     = URI    ; of RFC 3986; "," "!" ";" MUST be encoded
_GRAMMAR: Final = Grammar(
    version="v=TLSRPTv1",
    prefix="tlsrpt-",
    record="tlsrpt-record",
    delimiter="field-delim",
    section="RFC 8460 §3",
    needed="'; rua=' and a mailto: or https: URI",
    meant=re.compile(rb"[\s\"']*v\s*=\s*TLSRPTv?1(?![0-9])", re.IGNORECASE),
    lists=frozenset({"rua"}),
)
_URI: Final = "tlsrpt-uri"
# RFC 3986 §2, §3.1: a scheme, a colon, and unreserved, reserved or percent-encoded octets,
# without those three that RFC 8460 §3 wants encoded.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_NOT_URI: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~:/?#\[\]@$&'()*+=%-]")
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
# RFC 5322 §3.2.3, §3.2.4, with RFC 6532: the local part of a mail address.
_LOCAL_PART: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+)*"
    r"|\"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*\""
)
_AUTHORITY: Final = re.compile(r"//([^/?#]*)")
_PORT: Final = re.compile(r"[0-9]{1,5}\Z")


class MailDestination(msgspec.Struct, frozen=True, tag="mailto"):
    """A ``mailto:`` URI, decoded."""

    uri: str
    address: str
    """One mail address, without octets that could act on a header."""
    domain: HostName


class HttpsDestination(msgspec.Struct, frozen=True, tag="https"):
    """An ``https:`` URI."""

    uri: str
    host: HostName | Address
    port: int


class UnknownDestination(msgspec.Struct, frozen=True, tag="unknown"):
    """A URI of a scheme that RFC 8460 does not define; to be passed over."""

    uri: str


Destination = MailDestination | HttpsDestination | UnknownDestination


class Record(msgspec.Struct, frozen=True):
    """A valid record: reports are wanted, at each of `rua`."""

    rua: tuple[str, ...]
    """URIs of usable destinations, at most `MAX_DESTINATIONS`, each once, in order."""
    extensions: tuple[tuple[str, str], ...] = ()
    """Fields that RFC 8460 does not define, in order; to be ignored."""
    text: str = ""
    """As received, its character-strings joined."""
    passed_over: tuple[str, ...] = ()
    """URIs with a scheme that RFC 8460 does not define, those that no report can go to, and those beyond the bound."""

    def __str__(self) -> str:
        """The canonical text, which parses to an equal value but for `text`."""
        fields = "".join(f" {name}={value};" for name, value in self.extensions)
        return f"{_GRAMMAR.version}; rua={','.join(self.rua + self.passed_over)};{fields}"


class NoRecord(msgspec.Struct, frozen=True):
    """No TXT record begins with ``v=TLSRPTv1;``."""

    discarded: int
    """How many TXT records were there that are not about TLSRPT."""
    near: tuple[Rejection, ...] = ()
    """What is wrong with those among them that look as if they were meant to be one."""


def record_name(domain: HostName) -> str:
    """Where the record is: ``_smtp._tls.`` and the policy domain."""
    return f"_smtp._tls.{domain}"


def select_record(texts: Iterable[TextData]) -> Record | NoRecord | Rejection:
    """The record among all TXT records at `record_name`.

    Unrelated ones are discarded; if more than one remains, the domain does
    not implement TLSRPT, as far as senders go (RFC 8460 §3).
    """
    texts = tuple(texts)
    selected = select_text(texts, _GRAMMAR)
    if selected is None:
        meant = map(parse_record, meant_texts(texts, _GRAMMAR))
        return NoRecord(len(texts), tuple(read for read in meant if isinstance(read, Rejection)))
    return selected if isinstance(selected, Rejection) else parse_record(selected)


def parse_record(text: str) -> Record | Rejection:
    """Read one record, its character-strings joined already.

    What is no URI at all makes the record invalid.  A URI that no report can go to
    does not, as long as there is another one: the grammar asks for a URI and no more,
    and a syntactically valid record MUST be accepted (RFC 8460 §3).
    """
    fields = read_fields(text, _GRAMMAR)
    if isinstance(fields, Rejection):
        return fields
    usable: dict[str, None] = {}
    passed_over: dict[str, None] = {}
    extensions: list[tuple[str, str]] = []
    useless: Rejection | None = None
    for field in fields:
        if field.name != "rua":
            extensions.append((field.name, field.value))
            continue
        # The grammar lets rua be there several times, and nothing says that one of them does not count.
        for start, uri in _uris(field):
            destination = parse_destination(uri)
            if isinstance(destination, Rejection):
                moved = _moved(destination, text, start)
                if destination.rule == _URI:
                    return moved
                useless = useless or moved
            known = not isinstance(destination, UnknownDestination | Rejection)
            fits = known and (uri in usable or len(usable) < MAX_DESTINATIONS)
            (usable if fits else passed_over)[uri] = None
    if not usable and useless is not None:
        return useless
    if not usable:
        place = next((field.start for field in fields if field.name == "rua"), len(text))
        what = "a destination is missing: 'rua=' and a mailto: or https: URI"
        return Rejection(text, place, len(text), what, "tlsrpt-rua", _GRAMMAR.section)
    return Record(tuple(usable), tuple(extensions), text, tuple(passed_over))


def parse_destination(uri: str) -> Destination | Rejection:
    """Read one URI of a ``rua`` field.

    ``mailto:`` must hold exactly one plausible address and no header fields
    (RFC 6068 would allow ``?cc=…``, which lets a record address mail to
    others); ``https:`` a host, and no user name.  The rejection's rule is
    ``mailtoURI`` or ``https-URI`` where the text is a URI, but no such destination,
    else ``tlsrpt-uri``.
    """

    def reject(message: str, start: int, end: int, section: str = _GRAMMAR.section) -> Rejection:
        return Rejection(uri, start, end, message, _URI, section)

    if not uri:
        return reject("a URI is missing", 0, 0)
    if len(uri) > MAX_URI_LENGTH:
        return reject(f"a URI has at most {MAX_URI_LENGTH} characters", MAX_URI_LENGTH, len(uri))
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return reject("a URI begins with 'mailto:' or 'https:'", 0, len(uri), "RFC 3986 §3.1")
    bad = _NOT_URI.search(uri)
    if bad is not None:
        what = "in a URI this is written percent-encoded"
        if bad[0] in "!;":
            what = f"'{bad[0]}' must be written '%{ord(bad[0]):02X}'"
        elif bad[0] == "%":
            what = "two hexadecimal digits must follow '%'"
        return reject(what, bad.start(), bad.end())
    name = scheme[1].lower()
    if name == "mailto":
        return _mail(uri, scheme.end())
    if name == "https":
        return _https(uri, scheme.end())
    return UnknownDestination(uri)


def _mail(uri: str, start: int) -> MailDestination | Rejection:
    def reject(message: str, at: int, end: int) -> Rejection:
        return Rejection(uri, at, end, message, "mailtoURI", "RFC 6068 §2")

    extra = re.compile(r"[?#]").search(uri, start)
    if extra is not None:
        what = "a report's destination is an address, without header fields"
        return reject(what, extra.start(), len(uri))
    octets = _ENCODED.sub(lambda found: bytes.fromhex(found[1].decode()), uri[start:].encode())
    try:
        address = octets.decode()
    except UnicodeDecodeError:
        return reject("the address is not UTF-8 when decoded", start, len(uri))
    local, at, domain = address.rpartition("@")
    if not at:
        return reject("a mail address has an '@'", start, len(uri))
    if not (_LOCAL_PART.fullmatch(local) and local.isprintable()) or len(local.encode()) > 64:
        what = "not the local part of one mail address"
        return reject(what, start, max(start, uri.rfind("@")))
    host = parse_host_name(domain)
    if isinstance(host, Rejection):
        return reject(f"not the domain of a mail address: {host.message}", uri.rfind("@") + 1, len(uri))
    return MailDestination(uri, f"{local}@{host}", host)


def _https(uri: str, start: int) -> HttpsDestination | Rejection:
    def reject(message: str, at: int, end: int) -> Rejection:
        return Rejection(uri, at, end, message, "https-URI", "RFC 9110 §4.2.2")

    authority = _AUTHORITY.match(uri, start)
    if authority is None or not authority[1]:
        return reject("'//' and a host must follow 'https:'", start, start)
    begin, end = authority.span(1)
    inner = authority[1]
    if "@" in inner:
        return reject("a URI without user name", begin, begin + inner.rindex("@") + 1)
    bracket = inner.rfind("]") + 1
    if inner.startswith("[") and not bracket:
        return reject("a closing bracket is missing", end, end)
    name, colon, digits = inner[bracket:].partition(":")
    name = inner[:bracket] + name
    port = int(digits) if _PORT.match(digits) else 0 if digits else 443
    if colon and not 0 < port < 65536:
        return reject("a port is a number from 1 to 65535", end - len(digits), end)
    host = _host_or_address(name)
    if host is None:
        return reject("not a host name", begin, begin + len(name))
    return HttpsDestination(uri, host, port)


def _host_or_address(name: str) -> HostName | Address | None:
    try:
        return Address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except InvalidName:
        host = parse_host_name(name)
        return None if isinstance(host, Rejection) else host


def _uris(field: Field) -> list[tuple[int, str]]:
    """The parts of the list, each with its place in the record."""
    parts: list[tuple[int, str]] = []
    start = field.start
    # Not by an expression for "blanks, comma, blanks": that tries a long run of blanks at each of its places.
    for part in field.value.split(","):
        uri = part.lstrip(" \t")
        parts.append((start + len(part) - len(uri), uri.rstrip(" \t")))
        start += len(part) + 1
    return parts


def _moved(inner: Rejection, text: str, offset: int) -> Rejection:
    return msgspec.structs.replace(inner, text=text, start=offset + inner.start, end=offset + inner.end)
