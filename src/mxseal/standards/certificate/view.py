"""`Certificate`: a certificate as it was sent, read where it is looked at.

Reading takes two steps.  `parse_certificate` reads the frame that every
certificate has (RFC 5280 §4.1) and rejects what lacks it.  Extensions are read
when asked for; a broken one is no reason to reject the certificate, because
somebody who pins it by DANE-EE(3) does not look at any.
"""

from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from mxseal.standards.certificate import der, keys
from mxseal.vocabulary.rejection import Rejection, printable

MAX_SIZE: Final = 64 * 1024
"""Octets of one certificate; real ones have 1 to 3 thousand."""

MAX_REMEMBERED: Final = 8 * 1024
"""Octets up to which a view is kept for the next time, so that nobody fills the memory with large ones."""

MAX_NAMES: Final = 2000
"""Names in one subjectAltName; public CAs stop at 100 to 250."""

SUBJECT_ALT_NAME: Final = "2.5.29.17"
BASIC_CONSTRAINTS: Final = "2.5.29.19"
KEY_USAGE: Final = "2.5.29.15"
NAME_CONSTRAINTS: Final = "2.5.29.30"
EXTENDED_KEY_USAGE: Final = "2.5.29.37"
AUTHORITY_KEY_IDENTIFIER: Final = "2.5.29.35"
SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"

_ATTRIBUTES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
}
_STRINGS: Final = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}
"""RFC 5280 §4.1.2.4; T61 strings are read as Latin-1, as everybody does."""

DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT, KEY_CERT_SIGN = 0, 2, 4, 5
"""Bits of keyUsage, RFC 5280 §4.2.1.3."""


class Extension(NamedTuple):
    oid: str
    critical: bool
    value: bytes


class BasicConstraints(NamedTuple):
    ca: bool
    path_length: int | None


class GeneralName(NamedTuple):
    """RFC 5280 §4.2.1.6: `tag` is the context tag (2 dNSName, 4 directoryName, 7 iPAddress, …)."""

    tag: int
    value: bytes


class Certificate:
    """A view over the DER of one certificate; equal if the octets are.

    Attributes `spki`, `subject_der` and `issuer_der` are the octets as sent,
    `signature_algorithm` is the object identifier, dotted.
    Made by `parse_certificate` only.
    """

    def __init__(self, octets: bytes) -> None:
        """Read the frame; raises `der.Malformed` (callers use `parse_certificate`)."""
        self.der = octets
        outer = der.whole(octets, der.SEQUENCE, "Certificate")
        tbs = der.read(octets, outer.inner, outer.end, der.SEQUENCE, "tbsCertificate")
        algorithm = der.read(octets, tbs.end, outer.end, der.SEQUENCE, "signatureAlgorithm")
        signature = der.read(octets, algorithm.end, outer.end, der.BIT_STRING, "signature")
        self.signed = tbs.encoded
        self.signature = der.bits(signature)
        self.signature_algorithm = der.oid(der.read(octets, algorithm.inner, algorithm.end))
        fields = der.children(tbs, at_most=12)
        self.version = 1
        if fields and fields[0].tag == 0xA0:
            self.version = der.integer(der.read(octets, fields[0].inner, fields[0].end)) + 1
            del fields[0]
        expected = (der.INTEGER, *(der.SEQUENCE,) * 5)
        if tuple(field.tag for field in fields[:6]) != expected:
            raise der.Malformed("the fields of the certificate are not those of RFC 5280", tbs.inner)
        serial, inner_algorithm, issuer, validity, subject, spki = fields[:6]
        self.serial = der.integer(serial)
        # RFC 5280 §4.1.1.2: the algorithm is stated twice, and must be the same.
        self.algorithms_agree = inner_algorithm.encoded == algorithm.encoded
        self.issuer_der = issuer.encoded
        self.subject_der = subject.encoded
        self.spki = spki.encoded
        times = der.children(validity, at_most=2)
        if len(times) != 2:
            raise der.Malformed("a validity has two times", validity.start)
        self.not_before, self.not_after = _time(times[0]), _time(times[1])
        self._extensions = next((field for field in fields[6:] if field.tag == 0xA3), None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<Certificate {self.subject} sha256:{self.sha256[:12]}>"

    # --- names and dates ---

    @cached_property
    def subject(self) -> str:
        """For people, printable: ``CN=mx.example.com, O=Example``."""
        return name_text(self.subject_der)

    @cached_property
    def issuer(self) -> str:
        return name_text(self.issuer_der)

    @cached_property
    def subject_key(self) -> bytes:
        """The subject in a form in which equal names are equal octets (RFC 5280 §7.1)."""
        return canonical_name(self.subject_der)

    @cached_property
    def issuer_key(self) -> bytes:
        return canonical_name(self.issuer_der)

    @property
    def is_self_issued(self) -> bool:
        """Subject and issuer are the same name (RFC 5280 §3.2)."""
        return self.subject_key == self.issuer_key

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS-IDs as they stand in the subjectAltName (RFC 5280 §4.2.1.6), bounded."""
        return tuple(name.value.decode("latin-1") for name in self.alternative_names or () if name.tag == 2)

    @cached_property
    def common_name(self) -> str:
        """The last CN of the subject, which names no server any more; for messages only."""
        return next((value for key, value in reversed(_attributes(self.subject_der)) if key == "2.5.4.3"), "")

    # --- key and digests ---

    @cached_property
    def public_key(self) -> PublicKeyTypes | None:
        """None if it is broken or of a kind that `cryptography` does not know."""
        return keys.load_key(self.spki)

    @property
    def key_kind(self) -> str:
        """``RSA``, ``ECDSA``, ``Ed25519``, ``Ed448``, ``DSA`` or ``unknown``."""
        return keys.key_kind(self.public_key)

    @property
    def key_size(self) -> int:
        """Bits; 0 for an unknown kind."""
        return keys.key_size(self.public_key)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal, over the whole certificate."""
        return sha256(self.der).hexdigest()

    def is_signed_by(self, issuer_key: PublicKeyTypes | None) -> bool:
        """Whether the signature on this certificate is of that key; one signature check."""
        return self.algorithms_agree and keys.signed_by(
            issuer_key, self.signature_algorithm, self.signature, self.signed, self.der
        )

    # --- extensions ---

    @cached_property
    def extensions(self) -> tuple[Extension, ...] | None:
        """All of them, unread; None if they are broken."""
        if self._extensions is None:
            return ()
        try:
            wrapper = self._extensions
            sequence = der.read(self.der, wrapper.inner, wrapper.end, der.SEQUENCE, "extensions")
            return tuple(map(_extension, der.children(sequence, at_most=100)))
        except der.Malformed:
            return None

    def extension(self, oid: str) -> bytes | None:
        """The value of the first extension with this identifier."""
        return next((found.value for found in self.extensions or () if found.oid == oid), None)

    @cached_property
    def defects(self) -> tuple[str, ...]:
        """What is broken in its extensions; empty for most."""
        found: list[str] = []
        if self.extensions is None:
            return ("its extensions are broken",)
        seen = [extension.oid for extension in self.extensions]
        # RFC 5280 §4.2: not more than one instance of an extension.
        found += [f"extension {oid} occurs twice" for oid in sorted(set(seen)) if seen.count(oid) > 1]
        checked = {
            "subjectAltName": (SUBJECT_ALT_NAME, self.alternative_names),
            "basicConstraints": (BASIC_CONSTRAINTS, self.basic_constraints),
            "keyUsage": (KEY_USAGE, self.key_usage),
            "extKeyUsage": (EXTENDED_KEY_USAGE, self.extended_key_usage),
        }
        found += [
            f"its {name} is broken" for name, (oid, value) in checked.items() if oid in seen and value is None
        ]
        return tuple(found)

    @cached_property
    def alternative_names(self) -> tuple[GeneralName, ...] | None:
        """Of the subjectAltName; None if there is none, or it is broken."""
        value = self.extension(SUBJECT_ALT_NAME)
        return None if value is None else _general_names(value)

    @cached_property
    def basic_constraints(self) -> BasicConstraints | None:
        """RFC 5280 §4.2.1.9; None if there are none, or they are broken."""
        value = self.extension(BASIC_CONSTRAINTS)
        if value is None:
            return None
        try:
            parts = der.children(der.whole(value, der.SEQUENCE, "basicConstraints"), at_most=2)
            ca, length = False, None
            if parts and parts[0].tag == der.BOOLEAN:
                ca = parts.pop(0).contents != b"\0"
            if parts:
                length = der.integer(parts[0])
        except der.Malformed:
            return None
        return None if length is not None and length < 0 else BasicConstraints(ca, length)

    @cached_property
    def key_usage(self) -> frozenset[int] | None:
        """The bits that are set (RFC 5280 §4.2.1.3); None if there is none, or it is broken."""
        value = self.extension(KEY_USAGE)
        if value is None:
            return None
        try:
            octets = der.whole(value, der.BIT_STRING, "keyUsage").contents[1:]
        except der.Malformed:
            return None
        return frozenset(
            number for number in range(min(len(octets), 2) * 8) if octets[number // 8] & 0x80 >> number % 8
        )

    @cached_property
    def extended_key_usage(self) -> frozenset[str] | None:
        """The purposes, dotted (RFC 5280 §4.2.1.12); None if there is none, or it is broken."""
        value = self.extension(EXTENDED_KEY_USAGE)
        if value is None:
            return None
        try:
            parts = der.children(der.whole(value, der.SEQUENCE, "extKeyUsage"), at_most=100)
            return frozenset(map(der.oid, parts))
        except der.Malformed:
            return None

    @property
    def is_ca(self) -> bool:
        """Whether it says that it is a certification authority (RFC 5280 §4.2.1.9)."""
        return self.basic_constraints is not None and self.basic_constraints.ca

    @cached_property
    def subject_key_identifier(self) -> bytes | None:
        value = self.extension(SUBJECT_KEY_IDENTIFIER)
        try:
            return (
                None if value is None else der.whole(value, der.OCTET_STRING, "subjectKeyIdentifier").contents
            )
        except der.Malformed:
            return None

    @cached_property
    def authority_key_identifier(self) -> bytes | None:
        """The keyIdentifier of its issuer (RFC 5280 §4.2.1.1), a hint for path building."""
        value = self.extension(AUTHORITY_KEY_IDENTIFIER)
        if value is None:
            return None
        try:
            parts = der.children(der.whole(value, der.SEQUENCE, "authorityKeyIdentifier"), at_most=3)
        except der.Malformed:
            return None
        return next((part.contents for part in parts if part.tag == 0x80), None)


def parse_certificate(octets: bytes) -> Certificate | Rejection:
    """Read a certificate in DER; a `Rejection`'s offsets count octets, its text is empty."""
    if len(octets) > MAX_SIZE:
        return _rejection(f"a certificate of {len(octets)} octets, more than {MAX_SIZE}", MAX_SIZE)
    return _remembered(octets) if len(octets) <= MAX_REMEMBERED else _read(octets)


def _read(octets: bytes) -> Certificate | Rejection:
    try:
        return Certificate(octets)
    except der.Malformed as error:
        return _rejection(f"not a certificate: {error.message}, at octet {error.offset}", error.offset)


# Reading is pure, and issuers come again and again in a survey.
_remembered: Final = lru_cache(maxsize=1024)(_read)


def _rejection(message: str, offset: int) -> Rejection:
    return Rejection("", offset, offset, message, "Certificate", "RFC 5280 §4.1")


def _time(element: der.Element) -> datetime:
    """RFC 5280 §4.1.2.5: UTCTime with the century by 50, or GeneralizedTime; both end in Z."""
    text = element.contents.decode("latin-1")
    if element.tag == der.UTC_TIME and len(text) == 13:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif element.tag != der.GENERALIZED_TIME or len(text) != 15:
        raise der.Malformed("a time that is neither UTCTime nor GeneralizedTime", element.start)
    if not (text.endswith("Z") and text[:-1].isascii() and text[:-1].isdigit()):
        raise der.Malformed("a time that is not in UTC", element.start)
    try:
        # Several times as fast as strptime.
        month, day, hour, minute, second = (int(text[place : place + 2]) for place in range(4, 14, 2))
        return datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise der.Malformed("a time that does not exist", element.start) from None


def _extension(element: der.Element) -> Extension:
    parts = der.children(element, at_most=3)
    if element.tag != der.SEQUENCE or len(parts) < 2 or parts[-1].tag != der.OCTET_STRING:
        raise der.Malformed("not an extension", element.start)
    critical = len(parts) == 3 and parts[1].contents != b"\0"
    return Extension(der.oid(parts[0]), critical, parts[-1].contents)


def _general_names(value: bytes) -> tuple[GeneralName, ...] | None:
    try:
        names = der.children(der.whole(value, der.SEQUENCE, "GeneralNames"), at_most=MAX_NAMES)
    except der.Malformed:
        return None
    return tuple(GeneralName(name.tag & 0x1F, name.contents) for name in names)


def _attributes(name: bytes) -> list[tuple[str, str]]:
    """The attributes of a distinguished name, as (dotted type, text)."""
    return [(kind, text) for group in relative_names(name) for kind, text in group]


def relative_names(name: bytes) -> list[list[tuple[str, str]]]:
    """The RDNs of a distinguished name, each as (dotted type, text); ends where it is broken."""
    found: list[list[tuple[str, str]]] = []
    try:
        for rdn in der.children(der.whole(name, der.SEQUENCE, "Name"), at_most=100):
            group: list[tuple[str, str]] = []
            for attribute in der.children(rdn, at_most=20):
                kind, value = der.children(attribute, at_most=2)
                encoding = _STRINGS.get(value.tag, "")
                text = value.contents.decode(encoding, "replace") if encoding else f"#{value.encoded.hex()}"
                group.append((der.oid(kind), text))
            found.append(group)
    except (der.Malformed, ValueError):
        return found
    return found


def name_text(name: bytes) -> str:
    """A distinguished name for people: printable, bounded, in the order in which it is written."""
    parts = [f"{_ATTRIBUTES.get(kind, kind)}={printable(text, 100)}" for kind, text in _attributes(name)]
    return printable(", ".join(parts), 400) or "(empty name)"


def canonical_name(name: bytes) -> bytes:
    """Octets that are equal where the names are (RFC 5280 §7.1).

    Case and runs of blanks do not count, nor which string type was chosen.  A
    name that cannot be read whole compares by its octets.
    """
    if not is_whole_name(name):
        return name
    folded = [
        sorted((kind, " ".join(text.split()).lower()) for kind, text in group)
        for group in relative_names(name)
    ]
    return repr(folded).encode()


def is_whole_name(name: bytes) -> bool:
    """Whether `relative_names` can read all of a distinguished name."""
    try:
        return len(relative_names(name)) == len(der.children(der.whole(name, der.SEQUENCE, "Name")))
    except der.Malformed:
        return False
