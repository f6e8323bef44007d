"""A chain against TLSA records: RFC 7671 §5, RFC 7672 §3.1.

Standards do not import one another, so what this one needs of certificates is
a `PresentedCertificate` (octets) and, for DANE-TA(2), an `AnchorJudge` that
builds paths; `decisions.authentication` joins both with `standards.certificate`.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from mxseal.standards.dane.usability import (
    MatchingType,
    Selector,
    Usage,
    association_data,
    classify,
    passed_over,
)
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import TlsaData


class PresentedCertificate(Protocol):
    """One certificate that the server sent; `standards.certificate.Certificate` is one."""

    @property
    def der(self) -> bytes:
        """The whole certificate."""
        ...

    @property
    def spki(self) -> bytes:
        """Its SubjectPublicKeyInfo, DER as sent."""
        ...


class DesignatedAnchor(msgspec.Struct, frozen=True):
    """A trust anchor that a DANE-TA(2) record designates: a certificate or a bare key."""

    certificate: bytes | None = None
    spki: bytes | None = None


class AnchorReached(msgspec.Struct, frozen=True):
    """The server's certificate is valid under the anchor: path, dates and name."""

    depth: int
    """Of the anchor; 1 issued the server's certificate."""
    reference: HostName
    """The reference identifier that the certificate has."""
    certificate: bytes | None = None
    """The anchor; None for a bare key."""
    notes: tuple[str, ...] = ()


class AnchorMissed(msgspec.Struct, frozen=True):
    """The server's certificate is not valid under the anchors."""

    kind: str
    """Why, as a word of the judge (`standards.certificate.Distrust`)."""
    detail: str
    """One sentence without a final full stop."""


class AnchorJudge(Protocol):
    """Path validation (RFC 5280 §6) of the chain that is being verified, to designated anchors."""

    def __call__(
        self, anchors: Sequence[DesignatedAnchor], names: Sequence[HostName], at: datetime
    ) -> AnchorReached | AnchorMissed:
        """Whether a path to one of the anchors holds; the anchors' own dates do not count."""
        ...


class Failure(StrEnum):
    """Why a record did not match; what RFC 8460 calls it is `decisions.authentication.result_type`."""

    UNUSABLE = "unusable"
    PASSED_OVER = "passed-over"
    """By digest agility: a record with a stronger digest is there (RFC 7671 §9)."""
    NO_MATCH = "no-match"
    """No certificate of the right place has these octets or this digest."""
    NOT_VALID = "not-valid"
    """The anchor is there, but the server's certificate is not valid under it; see `Reason.kind`."""
    NO_CERTIFICATE = "no-certificate"


class Reason(msgspec.Struct, frozen=True):
    """Why one record did not verify the chain."""

    record: TlsaData
    failure: Failure
    detail: str
    """One sentence without a final full stop."""
    kind: str = ""
    """With `Failure.NOT_VALID`: the judge's word for it, for instance ``expired``."""

    def __str__(self) -> str:
        return f"{short(self.record)}: {self.detail}"


class Verified(msgspec.Struct, frozen=True):
    """A record matched: the server is authenticated."""

    record: TlsaData
    depth: int
    """Of the certificate (or bare key) that matched; 0 is the server's own certificate."""
    certificate: bytes | None
    """The one that matched, DER; None for a bare key that was not sent."""
    reference: HostName | None = None
    """The reference identifier that matched; None under DANE-EE(3), which ignores names."""
    notes: tuple[str, ...] = ()
    """What is odd but does not stop mail, for instance an expired trust anchor."""


class Mismatch(msgspec.Struct, frozen=True):
    """There are usable records and none matched: this host must not get mail (RFC 7672 §2.2)."""

    reasons: tuple[Reason, ...]
    """One a record, in the order of the RRset."""


class Unusable(msgspec.Struct, frozen=True):
    """No usable record: TLS is mandatory, authentication impossible (RFC 7672 §2.2)."""

    reasons: tuple[Reason, ...]


Verdict = Verified | Mismatch | Unusable


def verify(
    records: Sequence[TlsaData],
    chain: Sequence[PresentedCertificate],
    *,
    names: Sequence[HostName],
    at: datetime,
    judge: AnchorJudge,
) -> Verdict:
    """Verify the certificates that a server sent against its TLSA records.

    Args:
        records: the TLSA RRset, which must have been secure.
        chain: what the server sent, its own certificate first.
        names: the reference identifiers (`reference_identifiers`), for DANE-TA(2).
        at: the time, aware, for DANE-TA(2).
        judge: path validation within this chain.

    Returns:
        `Verified` with the first record that matches, DANE-EE(3) records before
        DANE-TA(2) ones, because they cost nothing; else every reason why not.
    """
    usability = classify(records)
    reasons = {record: Reason(record, Failure.UNUSABLE, why) for record, why in usability.unusable}
    if not usability.usable:
        return Unusable(tuple(reasons[record] for record in dict.fromkeys(records)))
    if not chain:
        sent_none = (
            Reason(one, Failure.NO_CERTIFICATE, "the server sent no certificate") for one in usability.usable
        )
        reasons |= {reason.record: reason for reason in sent_none}
        return Mismatch(tuple(reasons[record] for record in dict.fromkeys(records)))
    weaker = passed_over(usability.usable)
    # RFC 7671 §5.1: no name, date or path matters for DANE-EE(3).
    for record in sorted(usability.usable, key=lambda record: -record.usage):
        if record in weaker:
            stronger = short(weaker[record])
            reasons[record] = Reason(
                record,
                Failure.PASSED_OVER,
                f"a stronger digest for the same is published ({stronger}), so it is passed over",
            )
            continue
        verdict = (
            _end_entity(record, chain)
            if record.usage == Usage.DANE_EE
            else _trust_anchor(record, chain, names, at, judge)
        )
        if isinstance(verdict, Verified):
            return verdict
        reasons[record] = verdict
    return Mismatch(tuple(reasons[record] for record in dict.fromkeys(records)))


def _end_entity(record: TlsaData, chain: Sequence[PresentedCertificate]) -> Verified | Reason:
    """RFC 7671 §5.1, RFC 7672 §3.1.1."""
    if matches(record, chain[0]):
        return Verified(record, 0, chain[0].der)
    what = "certificate" if record.selector == Selector.CERT else "public key"
    elsewhere = [number for number, one in enumerate(chain, start=1) if matches(record, one)]
    if elsewhere:
        detail = (
            f"it matches an issuer (certificate {elsewhere[0]} of those sent), not the server's own {what}"
        )
    else:
        detail = f"the server's {what} is another"
    return Reason(record, Failure.NO_MATCH, detail)


def _trust_anchor(
    record: TlsaData,
    chain: Sequence[PresentedCertificate],
    names: Sequence[HostName],
    at: datetime,
    judge: AnchorJudge,
) -> Verified | Reason:
    """RFC 7671 §5.2, RFC 7672 §3.1.2."""
    # An anchor issues: the server's own certificate is never one, not even where it is self-signed.
    issuers = [one for one in chain[1:] if one.der != chain[0].der]
    anchors = [DesignatedAnchor(certificate=one.der) for one in issuers if matches(record, one)]
    # RFC 7671 §5.2.2: with the whole certificate or key in DNS, the server need not send it.  Where it does
    # send a certificate with that key, what this certificate says counts (constraints, purposes), as in OpenSSL.
    if record.matching_type == MatchingType.FULL and not anchors:
        if record.selector == Selector.SPKI:
            anchors.append(DesignatedAnchor(spki=record.data))
        elif record.data != chain[0].der:
            anchors.append(DesignatedAnchor(certificate=record.data))
    if not anchors:
        what = "certificate" if record.selector == Selector.CERT else "public key"
        if matches(record, chain[0]):
            detail = f"it matches the server's own {what}, but usage DANE-TA(2) is about an issuer"
        elif not issuers:
            detail = (
                "the server sends its own certificate only, and not the trust anchor, which DANE-TA(2) needs"
            )
        else:
            detail = f"no issuer's {what} among those sent matches"
        return Reason(record, Failure.NO_MATCH, detail)
    found = judge(anchors, names, at)
    if isinstance(found, AnchorMissed):
        return Reason(record, Failure.NOT_VALID, found.detail, found.kind)
    return Verified(record, found.depth, found.certificate, found.reference, found.notes)


def matches(record: TlsaData, certificate: PresentedCertificate) -> bool:
    """Whether the association data is of this certificate (RFC 6698 §2.1.4), whatever the usage."""
    if record.selector not in (Selector.CERT, Selector.SPKI):
        return False
    content = certificate.der if record.selector == Selector.CERT else certificate.spki
    try:
        return association_data(content, record.matching_type) == record.data
    except ValueError:
        return False


def short(record: TlsaData) -> str:
    """A record for a message: ``3 1 1 12ab34cd…``."""
    data = record.data.hex()
    shown = data if len(data) <= 16 else f"{data[:16]}…"
    return f"{record.usage} {record.selector} {record.matching_type} {shown}"
