"""Which TLSA records count: usability, digest agility, and making records.

A record that is not usable is as if it were not there, except that TLS stays
mandatory where none of a secure RRset is usable (RFC 7672 §2.2).
"""

import warnings
from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256, sha512
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mxseal.vocabulary.observations import TlsaData


class Usage(IntEnum):
    """Certificate usage (RFC 6698 §2.1.1, acronyms of RFC 7218)."""

    PKIX_TA = 0
    PKIX_EE = 1
    DANE_TA = 2
    DANE_EE = 3


class Selector(IntEnum):
    """What of the certificate is meant (RFC 6698 §2.1.2)."""

    CERT = 0
    SPKI = 1


class MatchingType(IntEnum):
    """How it is given (RFC 6698 §2.1.3)."""

    FULL = 0
    SHA2_256 = 1
    SHA2_512 = 2


DIGEST_LENGTHS: Final = {MatchingType.SHA2_256: 32, MatchingType.SHA2_512: 64}


class Usability(msgspec.Struct, frozen=True):
    """An RRset, parted; each unusable record with the reason, one clause."""

    usable: tuple[TlsaData, ...]
    unusable: tuple[tuple[TlsaData, str], ...]


def classify(records: Sequence[TlsaData]) -> Usability:
    """Part an RRset into what SMTP clients can use and what not (RFC 7672 §3.1, RFC 7671 §5)."""
    usable: list[TlsaData] = []
    unusable: list[tuple[TlsaData, str]] = []
    for record in dict.fromkeys(records):
        reason = why_unusable(record)
        if reason is None:
            usable.append(record)
        else:
            unusable.append((record, reason))
    return Usability(tuple(usable), tuple(unusable))


def why_unusable(record: TlsaData) -> str | None:
    """One clause; None if the record is usable."""
    # RFC 7672 §3.1.3: "SMTP clients ... MAY treat as unusable", and Postfix, Exim and Sendmail do.
    if record.usage in (Usage.PKIX_TA, Usage.PKIX_EE):
        return f"certificate usage {record.usage} has no meaning in SMTP (RFC 7672 §3.1.3)"
    if record.usage not in (Usage.DANE_TA, Usage.DANE_EE):
        return f"certificate usage {record.usage} is not known (RFC 6698 §2.1.1)"
    if record.selector not in (Selector.CERT, Selector.SPKI):
        return f"selector {record.selector} is not known (RFC 6698 §2.1.2)"
    if record.matching_type == MatchingType.FULL:
        return _why_not_parsed(record)
    if record.matching_type not in (MatchingType.SHA2_256, MatchingType.SHA2_512):
        return f"matching type {record.matching_type} is not known (RFC 6698 §2.1.3)"
    wanted = DIGEST_LENGTHS[MatchingType(record.matching_type)]
    if len(record.data) != wanted:
        return (
            f"the digest has {len(record.data)} octets, and matching type {record.matching_type} has {wanted}"
        )
    return None


def _why_not_parsed(record: TlsaData) -> str | None:
    """A full certificate or key must be one; OpenSSL refuses the record else."""
    what = "certificate" if record.selector == Selector.CERT else "public key"
    try:
        if record.selector == Selector.CERT:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # oddities that `cryptography` announces to deprecate
                x509.load_der_x509_certificate(record.data).public_key()
        else:
            load_der_public_key(record.data)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return f"matching type 0 wants a whole {what}, and the data is none that can be read"
    return None


def passed_over(records: Sequence[TlsaData]) -> dict[TlsaData, TlsaData]:
    """Digest agility (RFC 7671 §9): records that do not count, each with the stronger one that displaces it.

    Of usable records with the same usage and selector, only the strongest
    digest counts: SHA2-512(2) before SHA2-256(1).  Full(0) always counts.
    """
    strongest: dict[tuple[int, int], TlsaData] = {}
    for record in records:
        if record.matching_type != MatchingType.FULL:
            key = (record.usage, record.selector)
            best = strongest.setdefault(key, record)
            if record.matching_type > best.matching_type:
                strongest[key] = record
    return {
        record: best
        for record in records
        if record.matching_type != MatchingType.FULL
        and (best := strongest[record.usage, record.selector]).matching_type > record.matching_type
    }


def association_data(content: bytes, matching_type: int) -> bytes:
    """The certificate association data of a certificate or SPKI in DER (RFC 6698 §2.1.4)."""
    match matching_type:
        case MatchingType.FULL:
            return content
        case MatchingType.SHA2_256:
            return sha256(content).digest()
        case MatchingType.SHA2_512:
            return sha512(content).digest()
        case _:
            raise ValueError(f"matching type {matching_type} is not known (RFC 6698 §2.1.3)")


def tlsa_for(content: bytes, usage: int = 3, selector: int = 1, matching_type: int = 1) -> TlsaData:
    """Make a record.

    Args:
        content: for selector Cert(0) the certificate, for SPKI(1) the SubjectPublicKeyInfo, in DER.
        usage: DANE-EE(3) unless there is a reason (RFC 7672 §3.1.1).
        selector: SPKI(1) survives a renewal that keeps the key.
        matching_type: SHA2-256(1) is what every client knows (RFC 7671 §10.1.2).
    """
    return TlsaData(usage, selector, matching_type, association_data(content, matching_type))
