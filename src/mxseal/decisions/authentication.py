"""Is this server the one that the policy means?  DANE and MTA-STS, from the octets that it sent.

Joins `standards.dane` with `standards.certificate`, which do not know each
other, and says what RFC 8460 calls each failure.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from mxseal.standards.certificate import (
    Anchor,
    Certificate,
    Distrust,
    Path,
    Roots,
    Search,
    Trusted,
    Untrusted,
    matching_dns_id,
    name_mismatch,
    parse_certificate,
    parse_chain,
    verify_pkix,
)
from mxseal.standards.dane import (
    AnchorMissed,
    AnchorReached,
    DesignatedAnchor,
    Failure,
    Mismatch,
    Reason,
    Unusable,
    Verdict,
    Verified,
    verify,
)
from mxseal.standards.mta_sts import Policy
from mxseal.standards.tlsrpt import ResultType
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import TlsaData

RESULT_TYPES: Final[dict[Distrust, ResultType]] = {
    # RFC 8460 §4.3.1.
    Distrust.EXPIRED: ResultType.CERTIFICATE_EXPIRED,
    Distrust.NAME_MISMATCH: ResultType.CERTIFICATE_HOST_MISMATCH,
    # "The certificate is not trusted": no path to an anchor that holds.
    Distrust.SELF_SIGNED: ResultType.CERTIFICATE_NOT_TRUSTED,
    Distrust.UNKNOWN_ISSUER: ResultType.CERTIFICATE_NOT_TRUSTED,
    Distrust.MISSING_INTERMEDIATE: ResultType.CERTIFICATE_NOT_TRUSTED,
    Distrust.BAD_SIGNATURE: ResultType.CERTIFICATE_NOT_TRUSTED,
    # "A general failure for a reason not matching a category above": with the reason beside it.
    Distrust.NOT_YET_VALID: ResultType.VALIDATION_FAILURE,
    Distrust.NOT_A_CA: ResultType.VALIDATION_FAILURE,
    Distrust.PATH_LENGTH: ResultType.VALIDATION_FAILURE,
    Distrust.NAME_CONSTRAINTS: ResultType.VALIDATION_FAILURE,
    Distrust.WRONG_PURPOSE: ResultType.VALIDATION_FAILURE,
    Distrust.CRITICAL_EXTENSION: ResultType.VALIDATION_FAILURE,
    Distrust.WEAK: ResultType.VALIDATION_FAILURE,
    Distrust.MALFORMED: ResultType.VALIDATION_FAILURE,
    Distrust.NO_CERTIFICATE: ResultType.VALIDATION_FAILURE,
    Distrust.TOO_COMPLEX: ResultType.VALIDATION_FAILURE,
}
"""What RFC 8460 §4.3.1 calls a chain that is not trusted; as Postfix counts, where the RFC leaves it open."""


class NotListed(msgspec.Struct, frozen=True):
    """The MX host matches no `mx` of the policy, so its certificate does not matter (RFC 8461 §4.1)."""

    host: HostName
    patterns: tuple[str, ...]


def verify_dane(
    records: Sequence[TlsaData], chain: Sequence[bytes], *, names: Sequence[HostName], at: datetime
) -> Verdict:
    """Verify what a server sent against its secure TLSA RRset (RFC 7672 §3).

    Args:
        records: the TLSA RRset, as `discover` found it.
        chain: DER, the server's own certificate first.
        names: `reference_identifiers`; only DANE-TA(2) looks at them.
        at: the time, aware.
    """
    certificates = parse_chain(chain)
    if isinstance(certificates, Untrusted):
        verdict = verify(records, (), names=names, at=at, judge=_no_chain)
        return _with_detail(verdict, certificates) if chain else verdict
    return verify(records, certificates, names=names, at=at, judge=_ChainJudge(certificates, at))


def verify_mta_sts(
    policy: Policy, host: HostName, chain: Sequence[bytes], *, roots: Roots, at: datetime
) -> Trusted | Untrusted | NotListed:
    """Verify an MX host under an MTA-STS policy (RFC 8461 §4.1, §4.2): listed, and PKIX-valid for its own name."""
    if policy.matching(host) is None:
        return NotListed(host, tuple(policy.mx))
    return verify_pkix(chain, roots, host, at)


def result_type(verdict: Verdict | Trusted | Untrusted | NotListed) -> ResultType | None:
    """What RFC 8460 §4.3 calls the failure; None for success."""
    match verdict:
        case Verified() | Trusted():
            return None
        case Unusable():
            # RFC 8460 §4.3.2.1: "None of the records in the RRset were found to be valid."
            return ResultType.TLSA_INVALID
        case NotListed():
            # RFC 8461 §4.1 and RFC 8460 §4.3.1: the host is not what the policy allows.
            return ResultType.CERTIFICATE_HOST_MISMATCH
        case Untrusted():
            return RESULT_TYPES[verdict.kind]
        case Mismatch():
            return _of_mismatch(verdict.reasons)


def _of_mismatch(reasons: Sequence[Reason]) -> ResultType:
    """The certificate did chain up to an anchor: then that failure; else it is not trusted.

    So Postfix counts, too: a digest that does not match is `certificate-not-trusted`.
    """
    kinds = [reason.kind for reason in reasons if reason.failure is Failure.NOT_VALID]
    for kind in kinds:
        if RESULT_TYPES[Distrust(kind)] is not ResultType.CERTIFICATE_NOT_TRUSTED:
            return RESULT_TYPES[Distrust(kind)]
    return ResultType.CERTIFICATE_NOT_TRUSTED


class _ChainJudge:
    """Satisfies `standards.dane.AnchorJudge` for one chain; all its searches share one budget."""

    def __init__(self, certificates: tuple[Certificate, ...], at: datetime) -> None:
        self._certificates = certificates
        self._search = Search(certificates[0], certificates[1:], at)

    def __call__(
        self, anchors: Sequence[DesignatedAnchor], names: Sequence[HostName], at: datetime
    ) -> AnchorReached | AnchorMissed:
        del at  # the search has it
        found = self._search.path(tuple(filter(None, map(_anchor, anchors))))
        if isinstance(found, Untrusted):
            return AnchorMissed(found.kind, found.detail)
        return self._named(found, names)

    def _named(self, path: Path, names: Sequence[HostName]) -> AnchorReached | AnchorMissed:
        leaf = self._certificates[0]
        match = matching_dns_id(leaf.dns_names, names)
        if match is None:
            mismatch = name_mismatch(leaf, names)
            return AnchorMissed(mismatch.kind, mismatch.detail)
        anchor = path.anchor.certificate
        return AnchorReached(path.depth, match[1], anchor.der if anchor else None, path.notes)


def _anchor(designated: DesignatedAnchor) -> Anchor | None:
    # RFC 7671 §5.2: the TLSA record vouches for the anchor, whatever its dates say.
    if designated.certificate is None:
        return Anchor(spki=designated.spki or b"", dates_count=False)
    certificate = parse_certificate(designated.certificate)
    return Anchor(certificate, dates_count=False) if isinstance(certificate, Certificate) else None


def _no_chain(anchors: Sequence[DesignatedAnchor], names: Sequence[HostName], at: datetime) -> AnchorMissed:
    del anchors, names, at
    return AnchorMissed(Distrust.NO_CERTIFICATE, "the server sent no certificate")


def _with_detail(verdict: Verdict, why: Untrusted) -> Verdict:
    """The server's certificate cannot be read: say so, instead of that it is missing."""
    if not isinstance(verdict, Mismatch):
        return verdict
    return Mismatch(
        tuple(
            Reason(reason.record, reason.failure, why.detail)
            if reason.failure is Failure.NO_CERTIFICATE
            else reason
            for reason in verdict.reasons
        )
    )
