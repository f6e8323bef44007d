"""What a visit means: for each recipient, and for the attempts that may follow."""

from collections.abc import Sequence
from typing import Final

import msgspec

from mxseal.decisions.delivery import HostRequirement, Level
from mxseal.decisions.mailing.words import (
    Admitted,
    Bounced,
    Deferred,
    Delivered,
    Denied,
    Fate,
    TlsUse,
    Visit,
)
from mxseal.decisions.policy_lifecycle import Reason
from mxseal.standards.smtp import Answered, Declined, Mailbox, NotAsked, Said, Taken, Unfit, Unsure, Verb
from mxseal.vocabulary.observations import (
    Answer,
    Handshake,
    HandshakeFailed,
    Outcome,
    ProtocolViolation,
    Stage,
    StarttlsNotOffered,
    StarttlsRefused,
    Unreachable,
)
from mxseal.vocabulary.rejection import printable

_TOO_MANY: Final = (452, 552)
"""RFC 5321 §4.5.3.1.10: too many recipients is 452, and 552 to RCPT means the same."""

_UNFIT: Final = {
    # RFC 1870 §6, RFC 6152 §3, RFC 6531 §3.5, with the codes of RFC 3463 §3.4 and RFC 6531 §3.5.
    Unfit.TOO_LARGE: (Reason("the message is larger than it takes", "RFC 1870 §6"), "5.3.4"),
    Unfit.NEEDS_8BITMIME: (
        Reason("the message has octets above 127, and it does not offer 8BITMIME", "RFC 6152 §3"),
        "5.6.3",
    ),
    Unfit.NEEDS_SMTPUTF8: (
        Reason(
            "the message has internationalized addresses, and it does not offer SMTPUTF8", "RFC 6531 §3.5"
        ),
        "5.6.7",
    ),
}


class Obstacle(msgspec.Struct, frozen=True):
    """Why one attempt did not end a recipient's mail one way or the other."""

    reason: Reason
    status: str = ""
    """Not empty: this host can never be given this mail (RFC 3463)."""


def tls_use(level: Level) -> TlsUse:
    """What a level asks of the first attempt at an address."""
    return TlsUse.IF_OFFERED if level is Level.OPPORTUNISTIC else TlsUse.REQUIRED


def seals(owed: HostRequirement) -> bool:
    """Whether a delivery on these terms is sealed: the host is authenticated, and is the domain's for certain."""
    return owed.level is Level.PKIX or (owed.level is Level.DANE and owed.mx_is_proved)


def may_go_in_clear(level: Level, visit: Visit) -> bool:
    """Whether the same address is tried again without TLS.

    RFC 7435 §3: where nothing demands TLS, a TLS that does not work is no reason to
    keep mail that would go in the clear if TLS were not offered.  Octets that were
    put behind the 220 are no such failure: there is somebody in the path.
    """
    if level is not Level.OPPORTUNISTIC:
        return False
    match visit.session:
        case HandshakeFailed():
            return True
        case Unreachable(stage=stage):
            return stage is Stage.STARTTLS
        case Handshake(ehlo_again=False):
            # It hung up inside of TLS.
            return isinstance(visit.admission, Admitted)
        case _:
            return False


def settle(
    visit: Visit, level: Level, recipients: Sequence[Mailbox], *, seals: bool
) -> list[Fate | Obstacle]:
    """For each recipient its fate, or why the next host is to be tried.

    `level` is what the host was held to, `seals` whether that seals a delivery.
    """
    if not visit.answers:
        obstacle = _not_offered(visit, level)
        return [obstacle for _ in recipients]
    return [
        _settle_one(visit, level, str(recipient), answer, seals=seals)
        for recipient, answer in zip(recipients, visit.answers, strict=True)
    ]


def _settle_one(
    visit: Visit, level: Level, recipient: str, answer: Answered, *, seals: bool
) -> Fate | Obstacle:
    match answer:
        case Taken(said=said):
            return _delivered(visit, level, recipient, said, seals=seals)
        case Unsure(detail=detail):
            # RFC 1047: the next host would make a second copy for certain if this one has the mail.
            why = (
                f"{visit.name} got the whole mail and gave no answer: {detail}; so it may have been delivered"
            )
            return Deferred(
                recipient=recipient, reasons=(Reason(why, "RFC 5321 §4.5.3.2.6"),), maybe_delivered=True
            )
        case NotAsked(detail=detail):
            return Obstacle(Reason(f"{visit.name}: {detail}", "RFC 5321 §4.5.4.1"))
        case Declined(verb=verb, said=said):
            reason = Reason(f"{visit.name} answers {verb} with {said}", "RFC 5321 §4.2.1")
            if not said.is_permanent or (verb is Verb.RCPT and said.code in _TOO_MANY):
                return Obstacle(reason)
            status = said.status or _STATUS_OF_VERB[verb]
            return Bounced(recipient=recipient, reasons=(reason,), status=status, said=said)


# What RFC 3463 §3 calls a refusal where the server does not say it.
_STATUS_OF_VERB: Final = {
    Verb.RSET: "5.5.0",
    Verb.MAIL: "5.1.0",
    Verb.RCPT: "5.1.0",
    Verb.DATA: "5.0.0",
    Verb.END: "5.0.0",
}


def _delivered(visit: Visit, level: Level, recipient: str, said: Said, *, seals: bool) -> Delivered:
    session, admission = visit.session, visit.admission
    within = session if isinstance(session, Handshake) else None
    return Delivered(
        recipient=recipient,
        host=visit.host,
        address=visit.address,
        level=level,
        tls=within.version if within else "",
        cipher=within.cipher if within else "",
        proof=admission.proof
        if isinstance(admission, Admitted)
        else Reason("nobody is authenticated", "RFC 3207 §6"),
        said=said,
        sealed=seals and within is not None,
    )


def _not_offered(visit: Visit, level: Level) -> Obstacle:
    """Why the mail was not even offered."""
    if visit.unfit is not None:
        reason, status = _UNFIT[visit.unfit]
        return Obstacle(Reason(f"{visit.name}: {reason.text}", reason.section), status)
    if isinstance(visit.admission, Denied):
        return Obstacle(visit.admission.reason)
    if visit.trouble:
        return Obstacle(Reason(f"{visit.name}: {visit.trouble}", "RFC 5321 §4.5.4.1"))
    return Obstacle(_about_session(visit, level))


def _about_session(visit: Visit, level: Level) -> Reason:
    host = visit.name
    match visit.session:
        case StarttlsNotOffered():
            return Reason(f"{host} offers no STARTTLS, and its {_demand(level)} TLS", _section(level))
        case StarttlsRefused(code=code, text=text):
            said = printable(f"{code} {text}".strip(), 100)
            return Reason(
                f"{host} answers STARTTLS with {said}, and its {_demand(level)} TLS", _section(level)
            )
        case ProtocolViolation(detail=detail):
            return Reason(f"{host} breaks SMTP: {detail}", "RFC 3207 §4.2")
        case HandshakeFailed(detail=detail):
            return Reason(f"{host}: {detail}", _section(level))
        case Unreachable(stage=Stage.CONNECT, detail=detail):
            return Reason(f"{host} at {visit.address}: {detail}", "RFC 5321 §4.5.4.1")
        case Unreachable(detail=detail):
            return Reason(f"{host}: {detail}", "RFC 5321 §4.5.4.1")
        case _:
            return Reason(f"{host}: the session ended before the mail was offered", "RFC 5321 §4.5.4.1")


def _demand(level: Level) -> str:
    return "MTA-STS policy demands" if level is Level.PKIX else "TLSA records demand"


def _section(level: Level) -> str:
    match level:
        case Level.PKIX:
            return "RFC 8461 §5"
        case Level.OPPORTUNISTIC:
            return "RFC 7435 §3"
        case _:
            return "RFC 7672 §2.2"


def without_fate(recipient: Mailbox, obstacles: Sequence[Obstacle]) -> Deferred | Bounced:
    """What becomes of a recipient when no host is left to try.

    It is returned only if every attempt met a host that can never be given this mail.
    """
    reasons = tuple(dict.fromkeys(obstacle.reason for obstacle in obstacles))
    if obstacles and all(obstacle.status for obstacle in obstacles):
        return Bounced(recipient=str(recipient), reasons=reasons, status=obstacles[0].status)
    return Deferred(recipient=str(recipient), reasons=reasons)


def bounce_status(mx: Answer | None) -> str:
    """The enhanced status code of a domain to which no mail can go."""
    if mx is None or mx.outcome is Outcome.NO_NAME:
        return "5.1.2"  # RFC 3463 §3.2: bad destination system address
    if mx.mx() and all(record.exchange is None for record in mx.mx()):
        return "5.1.10"  # RFC 7505 §4.1: recipient address has null MX
    return "5.4.4"  # RFC 3463 §3.5: unable to route
