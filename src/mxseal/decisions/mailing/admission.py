"""May this server be given the mail?  Decided when TLS stands, before anything else is said."""

from collections.abc import Callable
from datetime import datetime

from mxseal.decisions.authentication import NotListed, result_type, verify_dane, verify_mta_sts
from mxseal.decisions.delivery import HostRequirement, Level
from mxseal.decisions.mailing.words import Admission, Admitted, Denied
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.standards.certificate import Roots, Trusted
from mxseal.standards.dane import Verified
from mxseal.standards.mta_sts import Mode, Policy
from mxseal.standards.tlsrpt import ResultType
from mxseal.vocabulary.observations import Handshake
from mxseal.vocabulary.rejection import printable

_NOBODY = Reason("nobody is authenticated", "RFC 3207 §6")


def admit(
    owed: HostRequirement,
    policy: Policy | None,
    handshake: Handshake,
    *,
    roots: Callable[[], Roots],
    at: datetime,
) -> Admission:
    """Hold a server to what it is owed.

    Args:
        owed: what the decision about the domain says of this host.
        policy: the MTA-STS policy that holds, in whatever mode.
        handshake: what the server sent.
        roots: the CAs that are trusted; called only where MTA-STS wants to know.
        at: the time, aware.
    """
    match owed.level:
        case Level.DANE:
            return _by_dane(owed, handshake, at)
        case Level.PKIX:
            if policy is None or policy.mode is not Mode.ENFORCE:
                # A decision that says PKIX has its policy with it; without one nothing can be proved.
                return _deny(
                    Reason("there is no MTA-STS policy to judge by", "RFC 8461 §5"),
                    ResultType.VALIDATION_FAILURE,
                    "no policy",
                )
            return _by_pkix(owed, policy, handshake, roots(), at)
        case Level.SKIP:
            return _deny(
                Reason(f"{owed.host} must not be used now", "RFC 7672 §2.1.2"),
                ResultType.VALIDATION_FAILURE,
                "host to be skipped",
            )
        case Level.ENCRYPT:
            return Admitted(proof=_NOBODY)
        case Level.OPPORTUNISTIC:
            objection = None
            if policy is not None and policy.mode is Mode.TESTING:
                # RFC 8461 §5: in mode testing a failure is reported, and the mail delivered.
                verdict = _by_pkix(owed, policy, handshake, roots(), at)
                objection = verdict if isinstance(verdict, Denied) else None
            return Admitted(proof=_NOBODY, objection=objection)


def _by_dane(owed: HostRequirement, handshake: Handshake, at: datetime) -> Admission:
    verdict = verify_dane(owed.records, handshake.chain, names=owed.names, at=at)
    if isinstance(verdict, Verified):
        proof = f"its key is the one of TLSA {str(verdict.record)[:18]}…"
        if owed.mx_is_proved:
            return Admitted(proof=Reason(proof, "RFC 7672 §3.1"))
        # Who forges the MX records chooses the host, and has a certificate for that one.
        return Admitted(
            proof=Reason(f"{proof}, but the MX records that name it are not signed", "RFC 7672 §2.2.1")
        )
    detail = printable(verdict.reasons[0].detail if verdict.reasons else "no record can be used", 300)
    return _deny(
        Reason(f"{owed.host} does not match its TLSA records: {detail}", "RFC 7672 §2.2"),
        result_type(verdict),
        detail,
    )


def _by_pkix(
    owed: HostRequirement, policy: Policy, handshake: Handshake, roots: Roots, at: datetime
) -> Admission:
    verdict = verify_mta_sts(policy, owed.host, handshake.chain, roots=roots, at=at)
    if isinstance(verdict, Trusted):
        return Admitted(
            proof=Reason(
                f"its certificate names {printable(verdict.presented)} and comes from a trusted CA",
                "RFC 8461 §4.2",
            )
        )
    if isinstance(verdict, NotListed):
        return _deny(
            Reason(f"{owed.host} is not in the MTA-STS policy", "RFC 8461 §4.1"),
            result_type(verdict),
            "MX host not listed in the policy",
        )
    return _deny(
        Reason(f"{owed.host} shows a wrong certificate: {verdict.detail}", "RFC 8461 §4.2"),
        result_type(verdict),
        verdict.detail,
    )


def _deny(reason: Reason, kind: ResultType | None, detail: str) -> Denied:
    return Denied(reason=reason, result_type=kind or ResultType.VALIDATION_FAILURE, detail=detail)
