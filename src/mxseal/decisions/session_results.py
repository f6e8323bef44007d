"""What RFC 8460 counts of our own deliveries: visits, hosts that were passed over, policies that did not come.

Only what concerns TLS counts.  A host that does not listen, or that does not
want the mail, says nothing about its TLS (RFC 8460 §4.3); an attempt in the clear
after TLS has failed was counted when TLS failed.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from mxseal.decisions.delivery import HostRequirement, Level, Obstacle, StsKnowledge
from mxseal.decisions.mailing import Admitted, Denied, Visit
from mxseal.standards.mta_sts import Mode, Policy
from mxseal.standards.tlsrpt import PolicyType, ResultType
from mxseal.vocabulary.names import HostName
from mxseal.vocabulary.observations import (
    Answer,
    FetchStage,
    Handshake,
    HandshakeFailed,
    PolicyFetchFailed,
    ProtocolViolation,
    Security,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    TlsaLookup,
    Unreachable,
)
from mxseal.vocabulary.rejection import Rejection, printable
from mxseal.vocabulary.session_result import AppliedPolicy, SessionFailure, SessionResult

_MAX_REASON: Final = 300


def of_visit(
    domain: HostName,
    owed: HostRequirement,
    lookup: TlsaLookup | None,
    policy: Policy | None,
    *,
    visit: Visit,
    at: datetime,
) -> SessionResult | None:
    """What is counted of one visit; None: nothing.  `policy` is the MTA-STS policy in whatever mode."""
    failures = _failures(visit)
    if failures is None:
        return None
    succeeded = not failures
    if owed.level is Level.ENCRYPT and succeeded:
        # RFC 8460 §4.3.2.1: no record of the RRset was valid.  The session is as good as RFC 7672 §2.2 wants it.
        failures = (_failure(ResultType.TLSA_INVALID, "no TLSA record can be used"),)
    return SessionResult(
        at=at,
        domain=domain,
        policy=_applied(domain, owed, lookup, policy),
        succeeded=succeeded,
        failures=failures,
        mx_host=owed.host,
        receiving_helo=visit.helo,
        receiving_ip=visit.address,
        sending_ip=visit.sending_ip,
    )


def of_skipped(
    domain: HostName, owed: HostRequirement, lookup: TlsaLookup | None, policy: Policy | None, *, at: datetime
) -> SessionResult | None:
    """What is counted of a host that was not tried; None: nothing."""
    if owed.obstacle is Obstacle.NOT_LISTED and policy is not None:
        applied = _sts(domain, policy)
        # RFC 8461 §4.1: a host that the policy does not name fails validation.
        failure = _failure(ResultType.CERTIFICATE_HOST_MISMATCH, "MX host not listed in the policy")
    elif owed.obstacle is Obstacle.LOOKUP_FAILED and lookup is not None and _is_bogus(lookup):
        applied = AppliedPolicy(policy_type=PolicyType.TLSA, domain=lookup.base_domain or owed.host)
        failure = _failure(ResultType.DNSSEC_INVALID, lookup.reason)
    else:
        return None
    return SessionResult(
        at=at, domain=domain, policy=applied, succeeded=False, failures=(failure,), mx_host=owed.host
    )


def of_discovery(
    domain: HostName, mx: Answer | None, sts: StsKnowledge | None, policy: Policy | None, *, at: datetime
) -> Iterator[SessionResult]:
    """What is counted before any session: bogus MX records, and a policy that did not come or is invalid."""
    if mx is not None and mx.security is Security.BOGUS:
        yield SessionResult(
            at=at,
            domain=domain,
            policy=AppliedPolicy(policy_type=PolicyType.TLSA, domain=domain),
            succeeded=False,
            failures=(_failure(ResultType.DNSSEC_INVALID, mx.reason),),
        )
    failure = _fetch_failure(sts) if sts is not None else None
    if failure is not None:
        yield SessionResult(
            at=at,
            domain=domain,
            policy=_sts(domain, policy)
            if policy is not None
            else AppliedPolicy(policy_type=PolicyType.STS, domain=domain),
            succeeded=False,
            failures=(failure,),
        )


def _fetch_failure(sts: StsKnowledge) -> SessionFailure | None:
    """RFC 8460 §4.3.2.2."""
    match sts.fetched:
        case PolicyFetchFailed(stage=FetchStage.CERTIFICATE, detail=detail):
            return _failure(ResultType.STS_WEBPKI_INVALID, detail)
        case PolicyFetchFailed(detail=detail):
            return _failure(ResultType.STS_POLICY_FETCH_ERROR, detail)
        case Rejection():
            return _failure(ResultType.STS_POLICY_INVALID, str(sts.fetched))
        case _:
            return None


def _failures(visit: Visit) -> tuple[SessionFailure, ...] | None:
    """What failed about TLS, nothing if it went well; None: the visit says nothing about TLS."""
    match visit.session:
        case StarttlsNotOffered():
            return (_failure(ResultType.STARTTLS_NOT_SUPPORTED, ""),)
        case StarttlsRefused(code=code, text=text):
            return (_failure(ResultType.STARTTLS_NOT_SUPPORTED, f"{code} {text}".strip()),)
        case HandshakeFailed(detail=detail):
            return (_failure(ResultType.VALIDATION_FAILURE, detail),)
        case (
            ProtocolViolation(stage=Stage.STARTTLS, detail=detail)
            | Unreachable(stage=Stage.STARTTLS, detail=detail)
        ):
            return (_failure(ResultType.VALIDATION_FAILURE, detail),)
        case Handshake():
            denied = visit.admission
            if isinstance(denied, Admitted):
                denied = denied.objection
            if isinstance(denied, Denied):
                return (_failure(denied.result_type, denied.detail),)
            return ()
        case _:
            return None


def _failure(result_type: ResultType, reason: str) -> SessionFailure:
    return SessionFailure(result_type=result_type.value, reason=printable(reason, _MAX_REASON))


def _applied(
    domain: HostName, owed: HostRequirement, lookup: TlsaLookup | None, policy: Policy | None
) -> AppliedPolicy:
    if owed.level in (Level.DANE, Level.ENCRYPT):
        records = owed.records or (lookup.records if lookup is not None else ())
        base = owed.base_domain or (lookup.base_domain if lookup is not None else None)
        return AppliedPolicy(
            policy_type=PolicyType.TLSA, domain=base or owed.host, strings=tuple(map(str, records))
        )
    if policy is not None and policy.mode is not Mode.NONE:
        return _sts(domain, policy)
    return AppliedPolicy(policy_type=PolicyType.NO_POLICY_FOUND, domain=domain)


def _sts(domain: HostName, policy: Policy) -> AppliedPolicy:
    return AppliedPolicy(
        policy_type=PolicyType.STS,
        domain=domain,
        strings=policy.lines,
        mx_patterns=tuple(map(str, policy.mx)),
    )


def _is_bogus(lookup: TlsaLookup) -> bool:
    return any(answer.security is Security.BOGUS for answer in (lookup.ipv4, lookup.ipv6, *lookup.questions))
